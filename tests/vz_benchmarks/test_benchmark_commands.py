"""The command line on official benchmarks: eval, shards and merge, score, compare, list, baselines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmark_trees import TREES, write_tree
from make_assets import asset

from vz_benchmarks.cli import main
from vz_benchmarks.policies import CURVE_FRAMES, expand_policies, find_policy
from vz_benchmarks.records import read_records
from vz_benchmarks.sharding import merge_results, take_shard
from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError, DatasetError


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("benchmarks")
    video = asset("cfr.mp4").write(folder)
    return {
        name: write_tree(folder / name, TREES[name], video) for name in ("mlvu-dev", "videomme-subtitles", "vnbench")
    }


def test_eval_takes_a_benchmark_and_prints_its_own_figures(roots, tmp_path, capsys):
    words = ["eval", "--benchmark", "mlvu-dev", "--root", str(roots["mlvu-dev"]), "--out", str(tmp_path)]
    words += ["--policy", "uniform", "oracle", "--frames", "64", "--fps", "0.5", "--max-pixels", "9216"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "M-Avg (macro)" in printed.out
    assert "invalid: no question" in printed.err
    records = read_records(tmp_path / "results.jsonl")
    assert {len(record.trajectory.turns[0].timestamps) for record in records if record.run == records[0].run} == {5}
    oracle = [record for record in records if record.reads_key]
    scores = [record.trajectory.score for record in oracle]
    assert scores.count(1.0) == 8
    assert scores.count(None) == 4  # two bad records, two that wait for a judge
    (first, _) = json.loads((tmp_path / "runs.json").read_text()).values()
    assert first["env_options"]["overview_fps"] == 0.5
    assert first["env_options"]["budget"]["max_pixels"] == 9216
    assert set(first["rules"]) == {"frames", "resize", "prompts", "answers"}


def test_score_reads_the_same_results_by_other_rules(roots, tmp_path, capsys):
    words = ["eval", "--benchmark", "vnbench", "--root", str(roots["vnbench"]), "--out", str(tmp_path)]
    assert main([*words, "--policy", "oracle"]) == 0
    capsys.readouterr()
    assert main(["score", str(tmp_path), "--parser", "official", "--denominator", "official"]) == 0
    printed = capsys.readouterr()
    assert "vnbench_official" in printed.err
    assert "type ord_insert1" in printed.out
    assert main(["score", str(tmp_path), "--parser", "guess"]) == 2
    assert "no parser is called 'guess'" in capsys.readouterr().err
    assert main(["score", str(tmp_path), "--judge-url", "http://127.0.0.1:9"]) == 2
    assert "--judge-model" in capsys.readouterr().err


def test_shards_together_are_the_whole(needle_root, tmp_path, capsys):
    words = ["eval", "--root", str(needle_root), "--policy", "blind", "random"]
    parts = [tmp_path / str(number) for number in range(3)]
    for number, part in enumerate(parts):
        assert main([*words, "--out", str(part), "--shard", f"{number}/3"]) == 0
    assert main(["merge", *map(str, parts), "--out", str(tmp_path / "merged")]) == 0
    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "merged"), str(tmp_path / "whole"), "--first-policy", "Blind"]) == 0
    printed = capsys.readouterr().out
    assert "settings: all the same" in printed
    assert "gained 0, lost 0" in printed

    def results(folder: Path) -> dict[str, object]:
        return {record.key: record.trajectory for record in read_records(folder / "results.jsonl")}

    assert results(tmp_path / "merged") == results(tmp_path / "whole")
    assert main(["merge", *map(str, parts), "--out", str(tmp_path / "merged")]) == 0  # again: nothing doubles
    assert len(read_records(tmp_path / "merged" / "results.jsonl")) == len(results(tmp_path / "whole"))
    assert main(["report", str(tmp_path / "merged")]) == 0


def test_merging_keeps_results_before_failures_and_refuses_what_disagrees(needle_root, tmp_path):
    words = ["eval", "--root", str(needle_root), "--policy", "blind", "--limit", "1"]
    for name in ("a", "b"):
        assert main([*words, "--out", str(tmp_path / name)]) == 0
    lines = (tmp_path / "a" / "results.jsonl").read_text()
    failed = json.loads(lines)
    failed["trajectory"] |= {"status": "error:VideoDecodeError", "score": None}
    (tmp_path / "a" / "results.jsonl").write_text(json.dumps(failed) + "\n")
    assert merge_results([tmp_path / "a"], tmp_path / "m") == (1, 1)
    assert merge_results([tmp_path / "a", tmp_path / "b"], tmp_path / "m") == (1, 0)
    assert merge_results([tmp_path / "a"], tmp_path / "m") == (1, 0)
    runs = json.loads((tmp_path / "b" / "runs.json").read_text())
    for description in runs.values():
        description["seed"] = 9
    (tmp_path / "b" / "runs.json").write_text(json.dumps(runs))
    with pytest.raises(DatasetError, match="described otherwise"):
        merge_results([tmp_path / "a", tmp_path / "b"], tmp_path / "n")


@pytest.mark.parametrize("shard", ["3/3", "-1/3", "1", "1/0", "a/b", "1/3/5"])
def test_a_shard_that_is_none_is_refused(needle, shard):
    with pytest.raises(ConfigError, match="wanted a shard as i/n"):
        take_shard(needle, shard)


def test_shards_divide_the_questions(needle):
    parts = [take_shard(needle, f"{number}/3").ids for number in range(3)]
    assert sorted(name for part in parts for name in part) == sorted(needle.ids)
    assert take_shard(needle, "") is needle
    with pytest.raises(ConfigError, match="take fewer shards"):
        take_shard(needle.subset(limit=1), "1/2")


def test_compare_names_settings_and_questions_that_differ(needle_root, tmp_path, capsys):
    words = ["eval", "--root", str(needle_root), "--out"]
    assert main([*words, str(tmp_path / "a"), "--policy", "blind", "--seed", "1"]) == 0
    assert main([*words, str(tmp_path / "b"), "--policy", "oracle", "--budget.max-zooms", "2"]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    printed = capsys.readouterr().out
    assert "first minus second: -" in printed
    assert "seed: 1 / 0" in printed
    assert "env_options.budget.max_zooms: 0 / 2" in printed
    assert "only the second got right: " in printed
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--second-policy", "Nobody"]) == 2
    assert "holds Oracle: name one of them with --second-policy" in capsys.readouterr().err


def test_list_shows_what_each_benchmark_wants_on_the_disk(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    assert "VZ/MLVU-v0   --benchmark mlvu-dev | mlvu-test" in printed
    assert "cg_videos_720p/<video_uid>.mp4" in printed
    assert "charades_sta_test.txt" in printed


def test_a_missing_benchmark_is_one_message_with_the_tree(tmp_path, capsys):
    assert main(["eval", "--benchmark", "lvbench", "--root", str(tmp_path)]) == 2
    printed = capsys.readouterr().err
    assert "Expected (from" in printed
    assert "videos/<key>.mp4" in printed
    assert main(["eval", "--benchmark", "lvbench"]) == 2
    assert "wants root=" in capsys.readouterr().err
    assert main(["eval", "--benchmark", "nothing"]) == 2


def test_words_stand_for_several_policies(needle, roots):
    assert expand_policies(["curve", "uniform@8"], needle) == [f"uniform@{frames}" for frames in CURVE_FRAMES]
    assert expand_policies(["baselines"], needle)[-2:] == ["random", "oracle"]
    plain = Dataset(name="P", episodes=needle.episodes[:1], keys={needle.ids[0]: keyless()})
    assert "oracle" not in expand_policies(["baselines"], plain)
    assert find_policy("uniform@7", needle).name == "UniformSampling-7"
    assert find_policy("first-frames@9", needle).name == "FirstFrames-9"
    assert find_policy("subtitles", needle).name == "SubtitleSearch"
    for word in ("uniform@x", "blind@3", "uniform@"):
        with pytest.raises(ConfigError, match="wanted a"):
            find_policy(word, needle)


def keyless():
    from vz_env.episode import AnswerKey

    return AnswerKey(answer_indices=(0,))


def test_all_baselines_play_a_subtitled_benchmark(roots, tmp_path, capsys):
    words = ["eval", "--benchmark", "videomme-subtitles", "--root", str(roots["videomme-subtitles"])]
    assert main([*words, "--policy", "baselines", "--describe", "captions", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    for name in ("Blind", "FirstFrames-32", "UniformSampling-128", "RandomZoom", "SubtitleSearch"):
        assert name in printed


def test_a_report_of_everything_writes_a_page_for_each_dataset_and_names_what_is_missing(roots, tmp_path, capsys):
    for name in ("mlvu-dev", "vnbench"):
        words = ["eval", "--benchmark", name, "--root", str(roots[name]), "--out", str(tmp_path / "runs" / name)]
        assert main([*words, "--policy", "blind", "uniform@8"]) == 0
    (tmp_path / "runs" / "page").mkdir()
    capsys.readouterr()
    assert main(["report", *map(str, sorted((tmp_path / "runs").iterdir()))]) == 0
    said = capsys.readouterr().err.replace("\n", " ")
    assert "page holds no results.jsonl: left out" in said
    assert "Baselines that are not here: first-frames, uniform@16, uniform@32, uniform@64, uniform@128, random." in said
    assert f"vz eval --benchmark mlvu-dev --root {roots['mlvu-dev']} --policy baselines" in said
    page = (tmp_path / "runs" / "mlvu-dev" / "report.html").read_text()
    assert page.count("<article>") == 24  # every trajectory of both, the invalid and ungraded ones too
    assert page.count('type="radio"') == 3
    assert "Guessing gives" in page
    assert "M-Avg (macro),8," in (tmp_path / "runs" / "mlvu-dev" / "figures.csv").read_text()
    assert (
        main(
            [
                "report",
                *map(str, (tmp_path / "runs" / "mlvu-dev", tmp_path / "runs" / "vnbench")),
                "--out",
                str(tmp_path / "both"),
            ]
        )
        == 0
    )
    assert {path.name for path in (tmp_path / "both").iterdir()} == {"MLVU-dev", "VNBench-test"}


def test_compare_prints_how_much_of_the_clues_accuracy_is_recovered(tmp_path, capsys):
    video = asset("cfr.mp4").write(tmp_path)
    root = write_tree(tmp_path / "cg", TREES["cgbench-mini"], video)
    for variant, policy in (("cgbench-mini", "blind"), ("cgbench-mini-clues", "oracle")):
        words = ["eval", "--benchmark", variant, "--root", str(root), "--out", str(tmp_path / variant)]
        assert main([*words, "--policy", policy]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "cgbench-mini"), str(tmp_path / "cgbench-mini-clues")]) == 0
    assert "clue recovery rate (first on whole videos, second on the clues): 50.0 %" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "cgbench-mini-clues"), str(tmp_path / "cgbench-mini")]) == 0
    assert "clue recovery" not in capsys.readouterr().out
