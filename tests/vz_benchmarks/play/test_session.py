"""One person playing: zooms, answers, mistakes, and nothing of the key before the end."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from vz_benchmarks.play.web import state_of
from vz_env.errors import ConfigError, ResetNeeded, UnknownEpisode, VideoDecodeError
from vz_env.observer import Observer


def test_a_whole_episode(session, needle, right_letter):
    zoom = session.zoom(8, 16)
    assert (zoom.kind, zoom.segment, len(zoom.frames)) == ("zoom", (8.0, 16.0), 16)
    assert session.budget == {"turns": 3, "zooms": 2, "frames": 112 - 12 - 16, "frames_per_zoom": 16}
    assert session.outcome is None
    session.answer(right_letter)
    outcome = session.outcome

    assert (outcome.score, outcome.reward, outcome.end_reason) == (1.0, 1.0, "answered")
    assert outcome.truth.startswith(f"{right_letter}. ")
    assert outcome.right_letters == (right_letter,)
    assert outcome.evidence == needle.key(needle.ids[0]).evidence
    with pytest.raises(ResetNeeded, match="has ended"):
        session.zoom(8, 16)
    session.begin(needle.ids[1])
    assert (session.number, session.outcome, len(session.turns)) == (2, None, 1)


def test_mistakes_are_outcomes_and_bad_numbers_cost_nothing(session):
    with pytest.raises(ConfigError, match="a start before its end"):
        session.zoom(9, 8)
    with pytest.raises(UnknownEpisode, match="no episode"):
        session.begin("none")
    assert session.act("hm").kind == "invalid"
    assert session.zoom(8, 16, 99).kind == "invalid"
    assert session.outcome.end_reason == "invalid_limit"
    assert session.outcome.answer is None


def test_a_video_that_cannot_be_read_leaves_what_was_played_to_be_seen(session, monkeypatch):
    def torn(*_):
        raise VideoDecodeError("torn")

    with monkeypatch.context() as patched:
        patched.setattr(Observer, "look", torn)
        with pytest.raises(VideoDecodeError, match="torn"):
            session.begin()
    assert state_of(session)["number"] == 1
    with pytest.raises(ResetNeeded, match="call reset"):
        session.zoom(8, 16)
    session.begin()
    assert session.number == 2


def test_frames_are_jpegs_of_what_was_shown(session):
    turn = session.turns[0]
    picture = np.asarray(Image.open(io.BytesIO(turn.jpeg(3))))

    assert picture.shape == turn.frames[3].shape
    assert np.abs(picture.astype(int) - turn.frames[3]).mean() < 12
    with pytest.raises(ConfigError, match="12 frames, wanted number 12"):
        turn.jpeg(12)


def test_the_state_holds_nothing_of_the_key_before_the_end(session, needle):
    session.zoom(8, 16)
    keys = {episode_id: needle.key(episode_id) for episode_id in needle.ids}
    shown = repr(state_of(session))

    assert state_of(session)["outcome"] is None
    assert "evidence" not in shown
    assert not [span for span in keys[needle.ids[0]].evidence if str(span.start_seconds) in shown]
