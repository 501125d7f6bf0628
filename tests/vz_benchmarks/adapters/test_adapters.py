"""Every benchmark's adapter on files of its schema: all records, the golden prompt and frames, ids, missing pieces."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from benchmark_trees import TREES, VIDEO, write_tree
from gymnasium.utils.env_checker import check_env
from make_assets import asset, read_number

from vz_benchmarks.adapters.builder import index_of_letter, split_options
from vz_benchmarks.adapters.catalogue import BENCHMARKS, VARIANTS, find_variant
from vz_benchmarks.parsers import find_parser
from vz_env.datasets.dataset import Dataset
from vz_env.datasets.registry import list_datasets, load_dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import Segment
from vz_env.errors import ConfigError, DatasetError
from vz_env.registration import env_id

GOLDEN = Path(__file__).with_name("golden")
SAMPLES = Path(__file__).parents[4] / "shared" / "samples"
FRAMES = 4


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("benchmarks")
    video = asset("cfr.mp4").write(folder)  # ten seconds, thirty numbered frames a second
    return {name: write_tree(folder / name, tree, video) for name, tree in TREES.items()}


@pytest.fixture(params=TREES)
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def dataset(variant: str, roots: dict[str, Path]) -> Dataset:
    return load(variant, roots[variant])


def load(variant: str, root: Path, **more: Any) -> Dataset:
    benchmark, options = VARIANTS[variant]
    return load_dataset(benchmark.name, root=root, **{**options, **more})


def golden_text(dataset: Dataset) -> str:
    """The one-shot prompt, our first message and its frames, for every record."""
    env = VideoZoomEnv(dataset, describe="captions", budget={"overview_frames": FRAMES})
    lines = []
    for episode in dataset:
        lines += [f"=== {episode.id}", f"--- one-shot prompt\n{BENCHMARKS[dataset.name].prompt(episode)}"]
        seen, _ = env.reset(options={"episode_id": episode.id})
        lines += [
            f"--- observation\n{seen['text']}",
            f"--- frames {[read_number(frame) for frame in seen['frames']]} at {seen['timestamps'].tolist()}",
        ]
    return "\n".join(lines) + "\n"


def test_prompts_and_frames_are_byte_for_byte_the_golden_ones(variant: str, dataset: Dataset) -> None:
    assert golden_text(dataset) == (GOLDEN / f"{variant}.txt").read_text(encoding="utf-8")


def test_every_benchmark_has_a_tree_here() -> None:
    assert {VARIANTS[name][0].name for name in TREES} == set(BENCHMARKS)
    assert set(BENCHMARKS) <= set(list_datasets())


def test_every_id_can_be_made_and_passes_gymnasiums_checks(variant: str, roots: dict[str, Path]) -> None:
    benchmark, options = VARIANTS[variant]
    split = {"split": options["split"]} if "split" in options else {}
    more = {name: value for name, value in options.items() if name != "split"}
    env = gym.make(
        env_id(benchmark.name), root=roots[variant], **split, dataset_options=more, budget={"overview_frames": 2}
    )
    check_env(env.unwrapped, skip_render_check=True)
    assert json.loads(gym.spec(env_id(benchmark.name)).to_json())["id"] == env_id(benchmark.name)


def test_secrets_do_not_show(variant: str, dataset: Dataset) -> None:
    env = VideoZoomEnv(dataset, budget={"overview_frames": 1})
    for episode in dataset:
        seen, info = env.reset(options={"episode_id": episode.id})
        shown = f"{seen['text']} {info} {episode!r} {env!r}"
        assert "secret words" not in shown
        assert "answer_ind" not in shown


def test_every_right_answer_is_graded_right_and_bad_records_not_at_all(dataset: Dataset) -> None:
    from vz_agents.baselines import right_answer

    env = VideoZoomEnv(dataset, describe="none", budget={"overview_frames": 1})
    for episode in dataset:
        key = dataset.key(episode.id)
        env.reset(options={"episode_id": episode.id})
        score = env.step(f"<answer>{right_answer(key)}</answer>")[4]["score"]
        assert score == (None if key.needs_judge else 1.0), episode.id


def test_a_missing_piece_names_what_was_expected_and_what_is_there(variant: str, tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("")
    with pytest.raises(DatasetError, match=r"Expected(.|\n)*Found: holiday\.txt"):
        load(variant, tmp_path)
    benchmark, options = VARIANTS[variant]
    with pytest.raises(ConfigError, match="wants root="):
        load_dataset(benchmark.name, **options)


@pytest.mark.parametrize("variant", [name for name in TREES if name != "videozoomer"])
def test_missing_videos_are_said_at_once(variant: str, tmp_path: Path) -> None:
    tree = {name: content for name, content in TREES[variant].items() if content is not VIDEO}
    write_tree(tmp_path, tree, None)
    with pytest.raises(DatasetError, match="Expected"):
        load(variant, tmp_path)
    dataset = load(variant, tmp_path, need_videos=False)
    assert any("videos are not on the disk" in note for note in dataset.notes)


def test_a_tree_may_lie_one_folder_deeper(roots: dict[str, Path], tmp_path: Path) -> None:
    write_tree(tmp_path / "MLVU", TREES["mlvu-dev"], roots["mlvu-dev"] / "video" / "4_count" / "count_1.mp4")
    deeper = load("mlvu-dev", tmp_path)
    assert deeper.episodes[0].video_path.is_file()
    assert deeper.revision == load("mlvu-dev", roots["mlvu-dev"]).revision


def test_the_revision_follows_content_and_variant(roots: dict[str, Path], tmp_path: Path) -> None:
    plain, subtitled = load("videomme", roots["videomme"]), load("videomme-subtitles", roots["videomme-subtitles"])
    assert plain.revision != subtitled.revision
    tree = {**TREES["videomme"], "videomme.jsonl": TREES["videomme"]["videomme.jsonl"].replace("nails", "bolts")}
    changed = write_tree(tmp_path, tree, roots["videomme"] / "data" / "wood-01.mp4")
    assert load("videomme", changed).revision != plain.revision


def test_bad_records_are_kept_and_marked(roots: dict[str, Path]) -> None:
    dataset = load("mlvu-dev", roots["mlvu-dev"])
    invalid = {episode.id: episode.groups["invalid"] for episode in dataset if "invalid" in episode.groups}
    assert invalid == {
        "2_needle_1": "the right answer is not among the options",
        "7_topic_reasoning_1": "no question",
    }
    assert dataset.key("1_plotQA_1").answer_indices == (0, 2)  # the right text stands there twice: either is right
    assert any("2_needle.json:15: 2_needle_1: invalid" in note for note in dataset.notes)


def test_options_out_of_order_keep_their_letter(roots: dict[str, Path]) -> None:
    dataset = load("longvideo-reason", roots["longvideo-reason"])
    assert dataset.episodes[0].options == ("For a bus.", "For him.", "For rain.", "No reason.")
    assert dataset.key("0").answer_indices == (1,)


def test_evidence_comes_from_the_annotations(roots: dict[str, Path]) -> None:
    assert load("lvbench", roots["lvbench"]).key("7").evidence == (Segment(3.0, 5.0),)
    assert load("cgbench-mini", roots["cgbench-mini"]).key("2").evidence == (Segment(9.0, 10.0),)  # clamped
    assert load("nextgqa-val", roots["nextgqa-val"]).key("1001_1").evidence == (Segment(5, 6), Segment(8, 10))
    root = roots["longvideobench"]
    assert load("longvideobench", root).key("walk01_1").evidence == ()
    found = load("longvideobench", root, evidence=True).key("walk01_1").evidence
    np.testing.assert_allclose([one.start_seconds for one in found], [1.0, 3.0])


def test_a_rough_length_cuts_no_evidence_short(roots: dict[str, Path], tmp_path: Path) -> None:
    line = TREES["lvbench"]["video_info.meta.jsonl"].replace("00:03-00:05", "00:59-01:04")
    dataset = load("lvbench", write_tree(tmp_path, {"video_info.meta.jsonl": line}, None), need_videos=False)
    assert dataset.key("7").evidence == (Segment(59.0, 64.0),)  # of a video of "one minute"


def test_clues_alone_are_videos_of_their_own(roots: dict[str, Path]) -> None:
    whole, clues = load("cgbench-mini", roots["cgbench-mini"]), load("cgbench-mini-clues", roots["cgbench-mini"])
    assert [episode.video_path.name for episode in clues] == ["1.mp4", "2.mp4"]
    assert [clues.key(name).answer_indices for name in clues.ids] == [
        whole.key(name).answer_indices for name in whole.ids
    ]
    assert not any(clues.key(name).evidence for name in clues.ids)
    assert clues.revision == f"{whole.revision[:40]}-clues"


def test_longvideobench_reads_ends_as_its_own_loader_when_asked(roots):
    root = roots["longvideobench-subtitles"]
    plain, official = (load("longvideobench-subtitles", root, official_ends=flag) for flag in (False, True))
    flags = [{one.subtitles.has_open_whole_ends for one in dataset if one.subtitles} for dataset in (plain, official)]
    assert flags == [{False}, {True}]
    assert plain.revision != official.revision


def test_hidden_answers_stay_ungraded(roots: dict[str, Path]) -> None:
    hidden = load("longvideobench", roots["longvideobench"], split="test")
    assert hidden.key("walk01_2").needs_judge
    assert "invalid" not in hidden.episodes[0].groups
    full = load("egoschema-full", roots["egoschema-full"])
    assert [full.key(name).needs_judge for name in full.ids] == [False, True]


def test_subtitles_start_where_the_clip_does(roots: dict[str, Path]) -> None:
    env = VideoZoomEnv(load("longvideobench-subtitles", roots["longvideobench-subtitles"]), describe="captions")
    seen, _ = env.reset(options={"episode_id": "walk01_0"})
    assert "0.94s: hello there" in seen["text"]
    assert "4.06s: a tree" in seen["text"]
    assert "9.69s: the end" in seen["text"]


def test_tracks_and_tasks_can_be_chosen(roots: dict[str, Path]) -> None:
    adaptation = load("videommmu", roots["videommmu"], track="adaptation")
    assert len(adaptation) == 3
    assert adaptation.episode("adaptation_validation_Accounting_2").question_images[0].is_file()
    assert [len(load("mlvu-dev", roots["mlvu-dev"], tasks=tasks)) for tasks in ("choice", "generation")] == [10, 2]
    for variant, wrong in [("videommmu", {"track": "x"}), ("mlvu-dev", {"split": "x"}), ("mlvu-dev", {"tasks": "x"})]:
        with pytest.raises(ConfigError, match="'x'"):
            load(variant, roots[variant], **wrong)


def test_parquet_and_jsonl_give_the_same_dataset(roots: dict[str, Path], tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [json.loads(line) for line in TREES["videomme"]["videomme.jsonl"].splitlines()]
    write_tree(
        tmp_path, {"data/wood-01.mp4": VIDEO, "data/wood-02.MP4": VIDEO}, roots["videomme"] / "data" / "wood-01.mp4"
    )
    (tmp_path / "videomme").mkdir()
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "videomme" / "test-00000-of-00001.parquet")
    shown = [dataclasses.replace(one, video_path=Path("x")) for one in load("videomme", tmp_path)]
    assert shown == [dataclasses.replace(one, video_path=Path("x")) for one in load("videomme", roots["videomme"])]
    (tmp_path / "videomme" / "test-00000-of-00001.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DatasetError, match="not a Parquet file"):
        load("videomme", tmp_path)


def test_mixtures_take_their_parts(roots: dict[str, Path], tmp_path: Path) -> None:
    dataset = load("videozoomer", roots["videozoomer"], split="mixture.yaml")
    assert dataset.ids == ("longvideo-reason_0", "Video-MMLU_1")
    for strategy, count in [("first:50%", 2), ("end:1%", 1), ("random:2", 2), ("random:200%", 3), ("first:9", 3)]:
        (roots["videozoomer"] / "one.yaml").write_text(
            f"datasets: [{{json_path: val.json, sampling_strategy: '{strategy}'}}]"
        )
        assert len(load("videozoomer", roots["videozoomer"], split="one.yaml")) == count
    bomb = "datasets:\n  - json_path: &a val.json\n  - json_path: *a\n"
    for name, text, message in [
        ("bomb.yaml", bomb, "without aliases"),
        ("out.yaml", "datasets: [{json_path: /etc/hosts}]", "leaves the root"),
        ("up.yaml", "datasets: [{json_path: ../x.json}]", "leaves the root"),
        ("odd.yaml", "datasets: [{json_path: val.json, sampling_strategy: 'end:-1'}]", "with :N or :P%"),
        ("arrow.yaml", "datasets: [{data_path: /data}]", "not read"),
        ("how.yaml", "datasets: [{json_path: val.json, sampling_strategy: 'some:3'}]", "sampling_strategy wants"),
        ("no.yaml", "datasets: 3", "wanted a list"),
        ("bad.yaml", "a: [", "not YAML"),
        ("object.yaml", "!!python/object/apply:os.system ['true']", "not YAML"),
    ]:
        (roots["videozoomer"] / name).write_text(text)
        with pytest.raises(DatasetError, match=message):
            load("videozoomer", roots["videozoomer"], split=name)


def test_an_unknown_variant_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="no benchmark is called 'mlvu'; there are cgbench"):
        find_variant("mlvu")


def test_numbered_videos_are_found_by_their_address(roots: dict[str, Path], tmp_path: Path) -> None:
    key = "abcDEF-_123"
    line = TREES["lvbench"]["video_info.meta.jsonl"].replace("show01", key)
    sidecar = {"url": f"https://www.youtube.com/watch?v={key}", "key": "00000000"}
    tree = {
        "video_info.meta.jsonl": line,
        "videos/00000/00000000.json": sidecar,
        "videos/00000/00000000.mp4": VIDEO,
        "videos/show02_clean.mp4": VIDEO,
    }
    dataset = load("lvbench", write_tree(tmp_path, tree, roots["lvbench"] / "videos" / "show01.mp4"))
    assert [episode.video_path.name for episode in dataset] == ["00000000.mp4", "00000000.mp4", "show02_clean.mp4"]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the official sample records are not here")
@pytest.mark.parametrize(
    ("folder", "variant", "records"),
    [
        ("NExT-QA", "nextqa-test", 3),
        ("NExT-GQA", "nextgqa-test", 10),
        ("MLVU_dev", "mlvu-dev", 29),
        ("LongVideoBench", "longvideobench", 5),
        ("VideoMMMU", "videommmu", 12),
        ("LongVideo-Reason", "longvideo-reason", 3),
        ("CG-Bench", "cgbench-mini", 5),
        ("NExT-QA", "nextqa-val", 9),
        ("NExT-GQA", "nextgqa-val", 10),
        ("Charades-STA", "charades-sta", 8),
    ],
)
def test_real_records_are_all_read(folder: str, variant: str, records: int) -> None:
    dataset = load(variant, SAMPLES / folder, need_videos=False)
    assert len(dataset) == records
    assert all(dataset.key(name) for name in dataset.ids)
    told = [BENCHMARKS[dataset.name].prompt(episode) for episode in dataset]
    assert all(episode.question in text for episode, text in zip(dataset, told, strict=True))
    for episode in dataset:
        if not dataset.key(episode.id).needs_judge and episode.options:
            assert dataset.key(episode.id).answer_indices
        assert all(span.duration_seconds > 0 for span in dataset.key(episode.id).evidence)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the official sample records are not here")
def test_real_records_that_stand_in_other_files_are_read_too(tmp_path: Path) -> None:
    zoomer = SAMPLES / "VideoZoomer_eval_json"
    for file, records in [("LongVideoReason_test_processed.json", 4), ("mlvu_test_fixed.json", 3)]:
        dataset = load("videozoomer", zoomer, split=file)
        assert len(dataset) == records
        assert not any(dataset.key(name).needs_judge for name in dataset.ids)
    holmes = sorted((SAMPLES / "Video-Holmes" / "Pipeline_example_questions").glob("*.json"))
    films = [record for file in holmes for record in json.loads(file.read_text(encoding="utf-8"))]
    quoted = json.loads((SAMPLES / "LVBench" / "quoted_qa_item.json").read_text(encoding="utf-8"))
    line = json.dumps({"key": "k", "type": "cartoon", "qa": [quoted], "video_info": {}})
    write_tree(tmp_path, {"test_Video-Holmes.json": films, "video_info.meta.jsonl": line}, None)
    assert len(load("video-holmes", tmp_path, need_videos=False)) == len(films)
    lvbench = load("lvbench", tmp_path, need_videos=False)
    assert lvbench.key(lvbench.ids[0]).evidence[0].duration_seconds == 4.0


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the official sample records are not here")
def test_real_result_and_answer_files_agree_with_ours(tmp_path: Path) -> None:
    lines = (SAMPLES / "VNBench" / "llava-ov-7b-videoniah-result.jsonl").read_text(encoding="utf-8").splitlines()
    for record in map(json.loads, lines):
        question, letters, options = split_options(
            record["prompt"].partition("<image>\n")[2].partition("\nAnswer with")[0]
        )
        assert (len(letters), bool(question)) == (4, True)
        (index,) = find_parser("vnbench_official")(record["pred"], options)
        assert letters[index] == record["pred"][0]
        assert index_of_letter(record["gt"], options)
    answers = json.loads((SAMPLES / "EgoSchema" / "subset_answers.json").read_text(encoding="utf-8"))
    blank = {"question": "?", **{f"option {number}": str(number) for number in range(5)}}
    questions = [{"q_uid": uid, **blank} for uid in (*answers, "hidden")]
    write_tree(tmp_path, {"questions.json": questions, "subset_answers.json": answers}, None)
    dataset = load("egoschema-subset", tmp_path, need_videos=False)
    assert {name: dataset.key(name).answer_indices for name in dataset.ids} == {u: (n,) for u, n in answers.items()}
    submitted = json.loads((SAMPLES / "MLVU_test" / "submission_test_res.json").read_text(encoding="utf-8"))
    assert {tuple(sorted(one)) for one in submitted} == {("option", "question_id", "question_type")}
    types = {"plotQA", "needleQA", "ego", "count", "order", "anomaly_reco", "topic_reasoning", "sportsQA", "tutorialQA"}
    assert {one["question_type"] for one in submitted} <= types
    charades = load("charades-sta", SAMPLES / "Charades-STA", split="train", need_videos=False)
    assert len(charades) > 2


if __name__ == "__main__":  # after a change of wording that is meant, and that raised a version: write the golden files
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        film = asset("cfr.mp4").write(Path(name))
        for tree_name, tree in TREES.items():
            text = golden_text(load(tree_name, write_tree(Path(name) / tree_name, tree, film)))
            (GOLDEN / f"{tree_name}.txt").write_text(text, encoding="utf-8")
