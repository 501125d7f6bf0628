from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vz_agents import baselines
from vz_agents.baselines import Blind, Oracle, RandomZoom, UniformSampling, guess_answer, spot_answer
from vz_agents.policy import Observation, PastTurn, fingerprint, reads_key
from vz_env.actions import Answer, Zoom, parse_action
from vz_env.budget import Budget
from vz_env.episode import AnswerKey, Episode, Segment
from vz_env.errors import ConfigError

QUESTION = "In the teal scene a card appears. Which colour is it?"


class Keys:
    revision = "r1"

    def __init__(self, key):
        self._key = key

    def key(self, episode_id):
        return self._key


def observe(text="0s: teal 88%", *, episode_id="e", turn=0, history=(), budget=None, **fields):
    fields = {"options": ("red", "blue", "gold", "pink"), "duration_seconds": 320.0, "question": QUESTION} | fields
    return Observation(
        text=text,
        frames=np.zeros((0, 2, 2, 3), np.uint8),
        timestamps=np.zeros(0),
        budget=budget or {"turns": 6 - turn, "zooms": 5 - turn, "frames": 80 - 16 * turn},
        episode=Episode(id=episode_id, video_path=Path("/a.mp4"), **fields),
        turn=turn,
        history=history,
    )


def test_blind_is_uniform_over_the_options_and_repeats_itself():
    policy = Blind(seed=1)
    observations = [observe(episode_id=f"e{number}") for number in range(400)]
    actions = policy.act(observations)
    counts = Counter(actions)
    assert set(counts) == {f"<answer>{letter}</answer>" for letter in "ABCD"}
    assert all(70 < count < 130 for count in counts.values())
    assert policy.act(observations[::-1]) == actions[::-1]
    assert Blind(seed=2).act(observations) != actions
    assert fingerprint(Blind(seed=2)) != fingerprint(policy)


def test_a_guess_without_options_says_unknown():
    assert guess_answer(observe(options=(), answer_kind="text")) == "unknown"


@pytest.mark.parametrize(
    ("lines", "letter"),
    [
        ("0s: teal 88%\n10s: teal 60%, gold 30%", "C"),
        ("0s: red 88%\n10s: red 90%\n20s: red 60%, blue 30%", "B"),
        ("0s: teal 60%, PINK 30%", "D"),
        ("0s: new teal 88%\n10s: teal 60%\n20s: new gold 60%", "C"),
    ],
)
def test_spot_answer_takes_the_rarest_option_that_was_seen(lines, letter):
    assert spot_answer(observe(f"Question: {QUESTION}\nA. red\nB. blue\nC. gold\nD. pink\n{lines}")) == letter


def test_spot_answer_reads_earlier_turns_too():
    history = (PastTurn("0s: teal 60%, gold 30%", "zoom"),)
    assert spot_answer(observe("12s: teal 88%", turn=1, history=history)) == "C"


def test_spot_answer_does_not_count_what_the_question_names():
    observation = observe("0s: teal 88%", options=("teal", "blue", "gold", "pink"))
    assert spot_answer(observation) == guess_answer(observation)


def test_spot_answer_takes_the_mark_of_a_change_for_no_word_but_a_captions_own():
    options = {"options": ("new", "old", "gold", "pink")}
    marked = observe("0s: new teal 88%\n10s: teal 60%, gray 9%\n20s: new lime 60%", **options)
    assert spot_answer(marked) == guess_answer(marked)
    assert spot_answer(observe("0s: hello\n1s: new cars are 9% of all", **options)) == "A"


def test_spot_answer_guesses_when_nothing_tells():
    observation = observe("0s: teal 88%")
    assert spot_answer(observation) == guess_answer(observation)


def test_uniform_sampling_asks_for_a_budget_of_its_own():
    policy = UniformSampling(frames=80)
    budget = policy.budget_for(Budget())
    assert (budget.overview_frames, budget.max_frames, budget.max_turns, budget.max_zooms) == (80, 80, 1, 0)
    assert budget.max_pixels == Budget().max_pixels
    assert policy.name == "UniformSampling-80"
    assert policy.act([observe("0s: teal 60%, gold 30%")]) == ["<answer>C</answer>"]


def test_uniform_sampling_takes_any_answerer():
    assert UniformSampling(frames=8, answerer=lambda _: "D", name="mine").act([observe()]) == ["<answer>D</answer>"]


def test_random_zoom_spends_its_zooms_inside_the_video_then_answers():
    policy = RandomZoom(zooms=2, seed=3)
    zoom = parse_action(policy.act([observe()])[0])
    assert isinstance(zoom, Zoom)
    assert 0 <= zoom.segment[0] < zoom.segment[1] <= 320
    assert np.isclose(zoom.segment[1] - zoom.segment[0], 10.0)
    again = parse_action(policy.act([observe(turn=1)])[0])
    assert again != zoom
    assert isinstance(parse_action(policy.act([observe(turn=2)])[0]), Answer)


@pytest.mark.parametrize("left", [{"zooms": 0}, {"turns": 1}, {"frames": 0}])
def test_random_zoom_answers_when_nothing_is_left(left):
    budget = {"turns": 6, "zooms": 5, "frames": 80} | left
    assert isinstance(parse_action(RandomZoom().act([observe(budget=budget)])[0]), Answer)


def test_random_zoom_fits_a_short_video():
    zoom = parse_action(RandomZoom().act([observe(duration_seconds=4.0)])[0])
    assert zoom.segment == (0.0, 4.0)


def test_oracle_looks_at_the_evidence_then_answers_right_and_is_marked():
    policy = Oracle(Keys(AnswerKey(answer_indices=(2,), evidence=(Segment(131.23, 131.63),))))
    zoom = parse_action(policy.act([observe()])[0])
    assert zoom.segment == (131.23, 131.63)
    frames = int((zoom.segment[1] - zoom.segment[0]) * zoom.fps + 1e-9)
    assert 1 <= frames <= 16
    assert policy.act([observe(turn=1)]) == ["<answer>C</answer>"]
    assert reads_key(policy)
    assert not reads_key(Blind())


@pytest.mark.parametrize("seconds", [0.4, 1.5, 40.0, 3600.0])
def test_the_oracles_zoom_is_never_over_budget(seconds):
    for start in np.linspace(0, 10, 41):
        policy = Oracle(Keys(AnswerKey(answer_indices=(0,), evidence=(Segment(start, start + seconds),))))
        zoom = parse_action(policy.act([observe()])[0])
        assert int((zoom.segment[1] - zoom.segment[0]) * zoom.fps + 1e-9) in range(1, 17)


@pytest.mark.parametrize("granted", [1, 3, 8])
def test_zooms_stay_within_what_one_zoom_may_show(granted):
    budget = {"turns": 4, "zooms": 3, "frames": 24, "frames_per_zoom": granted}
    oracle = Oracle(Keys(AnswerKey(answer_indices=(0,), evidence=(Segment(10.0, 14.0),))))
    for policy in (RandomZoom(), oracle):
        zoom = parse_action(policy.act([observe(budget=budget)])[0])
        assert int((zoom.segment[1] - zoom.segment[0]) * zoom.fps + 1e-9) in range(1, granted + 1)


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        (AnswerKey(answer_texts=("1969", "sixty-nine")), "1969"),
        (AnswerKey(answer_segments=(Segment(1.0, 2.5), Segment(4.0, 5.0))), "1-2.5, 4-5"),
    ],
)
def test_oracle_answers_open_questions(key, answer):
    assert Oracle(Keys(key)).act([observe()]) == [f"<answer>{answer}</answer>"]
    assert baselines.right_answer(key) == answer


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: UniformSampling(frames=0), "at least 1 frame"),
        (lambda: RandomZoom(zooms=-1), "random zooms want"),
        (lambda: RandomZoom(fps=float("nan")), "random zooms want"),
    ],
)
def test_baselines_refuse_impossible_numbers(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_random_zoom_does_not_ask_again_for_all_of_a_short_video():
    seen = [observe(turn=turn, duration_seconds=4.0) for turn in range(2)]
    assert [type(parse_action(action)) for action in RandomZoom().act(seen)] == [Zoom, Answer]
