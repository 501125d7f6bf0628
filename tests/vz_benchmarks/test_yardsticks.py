from __future__ import annotations

import math

import pytest

from vz_benchmarks.policies import expand_policies
from vz_benchmarks.yardsticks import baseline_word, chance_of, missing_baselines
from vz_env.datasets.dataset import Dataset
from vz_env.episode import AnswerKey, Episode


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("Blind", "blind"),
        ("FirstFrames-32", "first-frames"),
        ("UniformSampling-64", "uniform@64"),
        ("UniformSampling-8 by remote:m", "uniform@8"),
        ("RandomZoom #ab12", "random"),
        ("Oracle by x", "oracle"),
        ("Blindfold", None),
        ("Blind-er", None),
        ("my Blind", None),
    ],
)
def test_baselines_are_known_by_their_names(name, word):
    assert baseline_word(name) == word


def test_what_is_missing_is_what_baselines_would_play(needle):
    assert missing_baselines([], needle) == expand_policies(["baselines"], needle)
    there = ["Blind", "FirstFrames-8", "UniformSampling-8", "UniformSampling-16 by m", "Oracle", "PPO"]
    assert missing_baselines(there, needle) == ["uniform@32", "uniform@64", "uniform@128", "random"]


def test_chance_is_the_mean_share_of_right_options(tmp_path):
    def question(name, options):
        kind = "choice" if options else "text"
        return Episode(id=name, question="?", video_path=tmp_path / "v.mp4", options=options, answer_kind=kind)

    episodes = [question("a", ("1", "2")), question("b", ("1", "2", "3", "4")), question("c", ())]
    keys = {name: AnswerKey(answer_indices=indices) for name, indices in (("a", (0,)), ("b", (1, 2)))}
    keys["c"] = AnswerKey(answer_texts=("x",))
    assert chance_of(Dataset(name="D", episodes=episodes, keys=keys)) == 0.5
    assert math.isnan(chance_of(Dataset(name="D", episodes=episodes[2:], keys={"c": keys["c"]})))
