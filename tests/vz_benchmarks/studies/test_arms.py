"""The studies of the cold start on two short videos: every arm runs, what they share is made once, tables find home."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields, replace

import pytest

pytest.importorskip("torch")

from vz_agents.train import TrainConfig
from vz_agents.train_config import claim_folder
from vz_benchmarks.page_tables import write_between
from vz_benchmarks.studies import ablations, cold_start_arms
from vz_benchmarks.studies.arms import StudyArgs, run_arms, sized
from vz_benchmarks.studies.lending import Loan, borrow_from_study
from vz_benchmarks.studies.study_table import markdown, verdict
from vz_env.errors import ConfigError


def weights(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


ON_REQUEST = pytest.mark.skipif("VZ_STUDIES" not in os.environ, reason="half a minute: VZ_STUDIES=1 runs both studies")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Both studies at their quickest; `page` must stay untouched by figures that mean nothing."""
    out = tmp_path_factory.mktemp("studies")
    page = out / "results.md"
    page.write_text("nothing")
    for study, kind in ((cold_start_arms, "ColdStartArmsArgs"), (ablations, "AblationsArgs")):
        args = getattr(study, kind)(out=out / study.__name__.rpartition(".")[2], size="quick", page=page)
        assert study.run_study(args) == 0
    return out


def test_two_arms_without_reinforcement(tmp_path):
    args = sized(StudyArgs(out=tmp_path, size="quick"))
    args = replace(args, config=replace(args.config, reinforce=False))
    plain, lent, masked = cold_start_arms.arms_of(args.config)
    masked = replace(masked, borrows=lent.borrows)  # the arm between is left out
    results = run_arms([plain, masked], args)
    seed = tmp_path / "seed-0"
    assert weights(seed / "exemplars" / "sft") == weights(seed / "masked" / "student")
    assert (seed / "exemplars" / "exemplars.jsonl").read_bytes() == (seed / "masked" / "exemplars.jsonl").read_bytes()
    table = markdown(results, baseline="exemplars", labels=cold_start_arms.LABELS).splitlines()
    assert {row.count("|") for row in table} == {8}
    assert [row.split("|")[1].strip() for row in table] == [
        "arm", "---", cold_start_arms.LABELS["exemplars"], cold_start_arms.LABELS["masked"],
    ]  # fmt: skip
    assert table[2].split("|")[6].strip() == "+0.0 [+0.0, +0.0]"  # no PPO: the cold start is the policy
    assert len(list(seed.rglob("results.jsonl"))) == 1  # the same weights are tested once
    told = verdict(results, baseline="exemplars", labels=cold_start_arms.LABELS)
    assert told.startswith("Told apart from exemplars alone: ")
    assert told.count(cold_start_arms.LABELS["masked"]) == 1


@ON_REQUEST
def test_arms_share_what_they_have_in_common(finished):
    seed = finished / "cold_start_arms" / "seed-0"
    assert {path.name for path in seed.iterdir()} == {"exemplars", "reflection", "masked", "test"}
    assert weights(seed / "exemplars" / "sft") == weights(seed / "reflection" / "student")
    assert len({(seed / arm / "exemplars.jsonl").read_bytes() for arm in ("exemplars", "reflection", "masked")}) == 1
    asked = {arm: json.loads((seed / arm / "training.json").read_text())["train"] for arm in ("reflection", "masked")}
    assert [asked[arm]["reflect"]["mask_student"] for arm in asked] == [False, True]
    assert all(asked[arm]["reflect"]["equal_data"] for arm in asked)
    assert (finished / "results.md").read_text() == "nothing"


@ON_REQUEST
def test_each_ablation_is_one_setting(finished):
    seed = finished / "ablations" / "seed-0"
    assert weights(seed / "no-reinforce" / "policy") == weights(seed / "whole" / "sft")
    assert weights(seed / "no-reflection" / "sft") == weights(seed / "whole" / "student")
    assert not (seed / "no-cold-start" / "exemplars.jsonl").exists()


@ON_REQUEST
def test_the_table_has_a_row_an_arm_and_a_rerun_makes_nothing_again(finished, capsys):
    args = ablations.AblationsArgs(out=finished / "ablations", size="quick")
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("model.safetensors")}
    assert ablations.run_study(args) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(ablations.LABELS)
    assert {row.count("|") for row in rows} == {8}
    assert [row.split("|")[1].strip() for row in rows[2:]] == list(ablations.LABELS.values())
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("model.safetensors")} == before


def test_the_study_of_the_cold_start_takes_over_what_the_ablations_made_alike(tmp_path):
    config = sized(StudyArgs(out=tmp_path, size="quick")).config
    theirs = {arm.name: arm.config for arm in ablations.arms_of(config)}
    lent = {}
    for arm in cold_start_arms.arms_of(config):
        (loan,) = arm.borrows_outside
        lender, folder = tmp_path / arm.name / "theirs", tmp_path / arm.name / "ours"
        lender.mkdir(parents=True)
        assert borrow_from_study(loan, lender, folder, arm.config, "r") == []  # it has not begun
        claim_folder(lender, theirs[loan.arm], "r")
        for name, _ in loan.names:
            (lender / name).write_text(loan.arm)
        (lender / "exemplars.json").unlink()  # not there yet
        assert borrow_from_study(loan, lender, folder, replace(arm.config, seed=1), "r") == ["seed"]
        assert borrow_from_study(loan, lender, folder, arm.config, "of others") == ["revision"]
        assert not folder.exists()
        assert borrow_from_study(loan, lender, folder, arm.config, "r") == []
        lent[arm.name] = sorted(path.name for path in folder.iterdir())
    plain = ["attempts.jsonl", "exemplars.jsonl"]
    assert lent["exemplars"] == [*plain, "sft"]
    assert lent["reflection"] == [*plain, "reflections.json", "reflections.jsonl", "student", "student.jsonl"]
    assert {"policy", "sft", "student"} < set(lent["masked"])


def test_a_whole_run_is_lent_to_the_same_settings_alone(tmp_path):
    claim_folder(tmp_path / "a", TrainConfig(), "r")
    asked = TrainConfig(tool_bonus=0.5)
    whole = Loan.of("a", "policy", is_whole=True)
    assert borrow_from_study(whole, tmp_path / "a", tmp_path / "b", asked, "r") == ["tool_bonus"]
    assert borrow_from_study(Loan.of("a", "student"), tmp_path / "a", tmp_path / "b", asked, "r") == []


def test_a_size_changes_how_much_is_learnt_and_not_what_is_tested(tmp_path):
    full, small = (sized(StudyArgs(out=tmp_path, size=size)) for size in ("full", "small"))
    assert small.videos_test == full.videos_test
    assert small.seeds == full.seeds == (0, 1, 2)
    assert 0 < small.questions_train < 8 * full.videos_train
    assert small.config.ppo.iterations < full.config.ppo.iterations
    assert replace(small.config, ppo=full.config.ppo) == full.config


def test_the_whole_recipe_is_the_published_one_at_equal_data():
    whole = ablations.arms_of(TrainConfig())[0].config
    assert (whole.cold_start, whole.reinforce, whole.reflection, whole.tool_bonus) == (True, True, True, 0.5)
    assert whole.reflect.equal_data


def test_ablations_differ_from_the_whole_recipe_in_one_setting_each():
    whole, *others = (arm.config for arm in ablations.arms_of(TrainConfig()))
    differing = [
        [one.name for one in fields(whole) if getattr(whole, one.name) != getattr(other, one.name)] for other in others
    ]
    assert differing == [["cold_start"], ["reinforce"], ["reflection"], ["tool_bonus"]]


def test_a_table_stands_between_its_markers(tmp_path):
    page = tmp_path / "results.md"
    rest = "<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n"
    page.write_text(f"a\n<!-- x: begin -->\nold\n{rest}")
    write_between(page, "x", "| new |")
    write_between(page, "x", "| newer |")
    assert (
        page.read_text() == "a\n<!-- x: begin -->\n| newer |\n<!-- x: end -->\nb\n<!-- y: begin -->\n<!-- y: end -->\n"
    )
    with pytest.raises(ConfigError, match="wanted the lines <!-- z: begin -->"):
        write_between(page, "z", "")
    with pytest.raises(ConfigError, match="cannot read"):
        write_between(tmp_path / "none.md", "x", "")
