from __future__ import annotations

import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from vz_agents.baselines import Blind, Oracle, UniformSampling, letter_of
from vz_agents.trajectory import Trajectory
from vz_benchmarks.records import EpisodeRecord
from vz_benchmarks.results import summarise
from vz_benchmarks.runner import evaluate
from vz_benchmarks.selection import choose_trajectories
from vz_benchmarks.viewer import MAX_THUMBNAILS, clean_text, view_episode
from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import UnknownEpisode


def decode(source: str) -> np.ndarray:
    head, _, data = source.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def make_result(scores: dict[str, float | None], *, name="P", hits=(), **fields):
    records = [
        EpisodeRecord(
            key=episode_id,
            run=name,
            trajectory=Trajectory(
                **{"episode_id": episode_id, "policy": name, "status": "answered", "score": score} | fields,
                metrics={"evidence_hit": float(episode_id in hits)},
            ),
        )
        for episode_id, score in scores.items()
    ]
    return summarise(records, resamples=10)


def test_view_shows_turns_options_evidence_and_frames(needle, tmp_path):
    trajectory = evaluate(Oracle(needle), needle.subset(limit=1), out=tmp_path).trajectories[0]
    view = view_episode(trajectory, needle)
    episode, key = needle.episodes[0], needle.key(needle.ids[0])
    assert (view.question, view.verdict) == (episode.question, "right")
    assert [one.text for one in view.options] == list(episode.options)
    assert [one.letter for one in view.options if one.is_right] == [letter_of(key.answer_indices[0])]
    assert [one.is_chosen for one in view.options] == [one.is_right for one in view.options]
    assert [turn.outcome for turn in view.turns] == ["zoom", "answer"]
    assert [len(turn.thumbnails) for turn in view.turns] == [len(turn.timestamps) for turn in trajectory.turns]
    assert any(frame.is_evidence for frame in view.turns[1].thumbnails)
    assert 'class="zoom hit"' in view.timeline
    assert 'class="evidence"' in view.timeline
    assert decode(view.turns[0].thumbnails[0].source).shape[2] == 3
    assert "evidence seen" in view.summary


def test_thumbnails_are_the_frames_of_their_moment(needle, tmp_path):
    from vz_env.video.opening import open_reader

    trajectory = evaluate(UniformSampling(frames=6), needle.subset(limit=1), out=tmp_path).trajectories[0]
    reader = open_reader(needle.episodes[0].video_path, root=needle.root)
    shown = view_episode(trajectory, needle).turns[0].thumbnails
    truth = reader.frames_at(trajectory.turns[0].timestamps, max_pixels=128 * 80).frames
    for frame, thumbnail in zip(truth, shown, strict=True):
        assert np.abs(decode(thumbnail.source).astype(int) - frame).mean() < 12


def test_many_frames_are_thinned_out_and_said_so(needle, tmp_path):
    trajectory = evaluate(UniformSampling(frames=50), needle.subset(limit=1), out=tmp_path).trajectories[0]
    turn = view_episode(trajectory, needle).turns[0]
    assert (len(turn.thumbnails), turn.frames) == (MAX_THUMBNAILS, "32 of 50 frames")


def test_a_missing_video_leaves_a_view_without_frames(needle, tmp_path):
    trajectory = evaluate(UniformSampling(frames=6), needle.subset(limit=1), out=tmp_path).trajectories[0]
    gone = [dataclasses.replace(one, video_path=tmp_path / "gone.mp4") for one in needle.episodes]
    moved = Dataset(name="Needle", episodes=gone, keys={one: needle.key(one) for one in needle.ids}, root=tmp_path)
    view = view_episode(trajectory, moved)
    assert view.turns[0].thumbnails == ()
    assert "The frames cannot be shown" in view.note
    assert view.turns[0].frames == "6 frames"


def test_an_error_and_a_blind_episode_can_be_viewed(needle, tmp_path):
    failed = Trajectory(episode_id=needle.ids[0], status="error:VideoDecodeError", error="torn \x1b[31m")
    view = view_episode(failed, needle)
    assert (view.verdict, view.turns) == ("failed", ())
    assert "torn" in view.note
    assert "\x1b" not in view.note
    blind = evaluate(Blind(), needle.subset(limit=1), out=tmp_path).trajectories[0]
    assert view_episode(blind, needle).turns[0].frames == ""


def test_an_unknown_episode_is_named(needle):
    with pytest.raises(UnknownEpisode, match="elsewhere"):
        view_episode(Trajectory(episode_id="elsewhere"), needle)


def test_clean_text_takes_out_what_forges_a_screen():
    assert clean_text("a\x1b[2Jb\u202ec\x00d\ne\tf\u2066") == "a\ufffd[2Jb\ufffdc\ufffdd\ne\tf\ufffd"


def test_choice_is_mixed_side_by_side_and_bounded():
    names = [f"e{number}" for number in range(30)]
    mine = make_result({name: float(int(name[1:]) % 3 > 0) for name in names}, name="mine", hits=names[:20])
    theirs = make_result({name: float(int(name[1:]) % 2) for name in names}, name="theirs")
    chosen = choose_trajectories(mine, theirs)
    pairs = [group for group in chosen if len(group) == 2]
    assert sum(map(len, chosen)) == 10
    assert [(one.score, other.score) for one, other in pairs] == [(1.0, 0.0)] * 3 + [(0.0, 1.0)]
    assert all(one.episode_id == other.episode_id for one, other in pairs)
    assert all(one.metrics["evidence_hit"] for one, _ in pairs[:3])
    assert [group[0].score for group in chosen[4:]] == [0.0, 0.0]
    assert len({group[0].episode_id for group in chosen}) == len(chosen)
    assert chosen == choose_trajectories(mine, theirs)


def test_choice_without_a_baseline_and_with_failures():
    result = make_result({"a": None, "b": None}, status="error:X")
    assert sorted(group[0].episode_id for group in choose_trajectories(result)) == ["a", "b"]
    assert choose_trajectories(summarise([])) == []


def test_every_trajectory_is_chosen_once_where_there_is_room():
    names = [f"e{number}" for number in range(40)]
    scores = {name: (None, 0.0, 1.0)[number % 3] for number, name in enumerate(names)}
    mine, theirs = make_result(scores, name="mine"), make_result(dict.fromkeys(names, 0.0), name="theirs")
    failed = make_result(dict.fromkeys(names, None), name="failed", status="error:X")
    chosen = [
        one for group in choose_trajectories(mine, theirs, limit=1000, others=[mine, theirs, failed]) for one in group
    ]
    assert len(chosen) == len({id(one) for one in chosen}) == 120
    assert {one.policy for one in chosen} == {"mine", "theirs", "failed"}
    assert len([group for group in choose_trajectories(mine, theirs, limit=7, others=[failed])]) < 7


def test_a_hostile_episode_is_data(tmp_path):
    episode = Episode(id="<x>", question="<script>", video_path=tmp_path / "x.mp4", options=("a\x1b", "b"))
    dataset = Dataset(name="D", episodes=[episode], keys={"<x>": make_key()})
    view = view_episode(Trajectory(episode_id="<x>"), dataset)
    assert view.options[0].text == "a\ufffd"


def make_key():
    from vz_env.episode import AnswerKey

    return AnswerKey(answer_indices=(0,))
