from __future__ import annotations

import dataclasses
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vz_env.datasets import needle
from vz_env.datasets.needle import NeedleConfig, as_config, cache_folder, load_needle, make_needle, needle_script
from vz_env.errors import ConfigError, DatasetError


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def one_video() -> NeedleConfig:
    return NeedleConfig(seed=5, videos={"test": 1}, overview_frames=6, spacings_seconds=(8,))


def test_folder_holds_videos_annotations_and_manifest(tiny_needle: Path) -> None:
    assert sorted(contents(tiny_needle)) == [
        "config.json", "manifest.json", "test.jsonl", "test/test-000.mp4", "test/test-001.mp4", "train.jsonl",
        "train/train-000.mp4", "validation.jsonl", "validation/validation-000.mp4",
    ]  # fmt: skip


def test_manifest_holds_the_hash_of_every_file(tiny_needle: Path) -> None:
    hashes = json.loads((tiny_needle / "manifest.json").read_text())["sha256"]
    files = {name: data for name, data in contents(tiny_needle).items() if name in hashes}
    assert len(files) == 7
    assert hashes == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_same_config_gives_the_same_bytes(tiny_needle: Path, tiny_config: NeedleConfig, tmp_path: Path) -> None:
    assert contents(make_needle(tmp_path, tiny_config, workers=1)) == contents(tiny_needle)


def test_other_seed_gives_other_bytes(tiny_needle: Path, tiny_config: NeedleConfig, tmp_path: Path) -> None:
    other = make_needle(tmp_path, dataclasses.replace(tiny_config, seed=4))
    same = [name for name, data in contents(other).items() if contents(tiny_needle)[name] == data]
    assert same == []


def test_splits_share_no_video_question_or_appearance(tiny_needle: Path) -> None:
    seen: list[set[object]] = []
    for split in ("train", "validation", "test"):
        lines = [json.loads(line) for line in (tiny_needle / f"{split}.jsonl").read_text().splitlines()]
        seen.append({line["id"] for line in lines} | {line["meta"]["appearance_seed"] for line in lines})
        seen[-1] |= {hashlib.sha256((tiny_needle / line["video"]).read_bytes()).digest() for line in lines}
    assert all(not a & b for i, a in enumerate(seen) for b in seen[:i])


def test_loaded_episodes_are_those_of_the_script(tiny_needle: Path, tiny_config: NeedleConfig) -> None:
    made = load_needle(split="test", root=tiny_needle)
    assert (made.name, made.split, made.notes) == ("Needle", "test", ())
    for index in range(2):
        video = needle_script(tiny_config, "test", index)
        for question in video.questions:
            episode, key = made.episode(question.id), made.key(question.id)
            assert (episode.question, episode.options) == (question.text, question.options)
            assert (key.answer_indices, key.evidence) == ((question.answer_index,), question.evidence)
            assert episode.duration_seconds == video.script.duration_seconds
            assert episode.video_path.is_file()
            assert episode.groups["task"] == question.task
            assert episode.groups["haystack"] == "generated"


def test_records_hold_what_reports_need(tiny_needle: Path) -> None:
    for line in (tiny_needle / "test.jsonl").read_text().splitlines():
        record = json.loads(line)
        cards = sum(len(scene["cards"]) for scene in record["hidden"]["script"]["scenes"])
        own = 0 if record["groups"]["task"] == "control" else len(record["evidence_spans_s"])
        assert record["meta"]["distractors"] == cards - own
        assert record["meta"]["overview_spacing_seconds"] == 8
        shortest = min(end - start for start, end in record["evidence_spans_s"])
        assert record["meta"]["event_seconds"] == pytest.approx(shortest)


def test_finished_folder_is_left_as_it_is(
    tiny_needle: Path, tiny_config: NeedleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needle, "encode_video", lambda *_: pytest.fail("encoded again"))
    calls: list[tuple[int, int]] = []
    make_needle(tiny_needle, tiny_config, progress=lambda *call: calls.append(call))
    assert calls == []


def test_interrupted_making_is_continued(tiny_needle: Path, tiny_config: NeedleConfig, tmp_path: Path) -> None:
    def stop_after_two(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_needle(tmp_path, tiny_config, progress=stop_after_two, workers=1)
    assert not (tmp_path / "manifest.json").exists()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    calls: list[tuple[int, int]] = []
    make_needle(tmp_path, tiny_config, progress=lambda *call: calls.append(call))
    assert calls == [(done, 4) for done in range(len(kept), 5)]
    assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items())
    assert contents(tmp_path) == contents(tiny_needle)


def test_two_makers_at_once_do_not_disturb_each_other(
    tiny_needle: Path, tiny_config: NeedleConfig, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: make_needle(tmp_path, tiny_config), range(2)))
    assert contents(tmp_path) == contents(tiny_needle)


def test_folder_of_another_config_is_refused(tiny_needle: Path, tiny_config: NeedleConfig) -> None:
    with pytest.raises(DatasetError, match="holds another needle dataset"):
        make_needle(tiny_needle, dataclasses.replace(tiny_config, seed=9))
    with pytest.raises(DatasetError, match="holds another needle dataset"):
        load_needle(root=tiny_needle, config=dataclasses.replace(tiny_config, seed=9))


def test_folder_with_other_files_is_refused(tmp_path: Path, one_video: NeedleConfig) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(DatasetError, match="wanted an empty folder"):
        make_needle(tmp_path, one_video)


def test_broken_config_file_is_refused(tmp_path: Path, one_video: NeedleConfig) -> None:
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"config\.json: wanted a needle dataset's config"):
        make_needle(tmp_path, one_video)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path, one_video: NeedleConfig) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        make_needle(tmp_path / "file" / "needle", one_video)


def test_fewer_than_one_worker_is_refused(tmp_path: Path, one_video: NeedleConfig) -> None:
    with pytest.raises(ConfigError, match="workers must be 1 or more"):
        make_needle(tmp_path, one_video, workers=0)


def test_first_use_makes_the_dataset_in_the_cache_folder(
    tmp_path: Path, one_video: NeedleConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VZ_CACHE_DIR", str(tmp_path / "cache"))
    made = load_needle(config=one_video)
    assert made.root == (tmp_path / "cache" / f"needle-{one_video.fingerprint()[:16]}").resolve()
    monkeypatch.setattr(needle, "encode_video", lambda *_: pytest.fail("encoded again"))
    assert load_needle(config=one_video).revision == made.revision


def test_cache_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VZ_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "vz_env"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "vz_env"


def test_split_without_videos_is_refused(one_video: NeedleConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="makes no videos for split 'train'"):
        load_needle(split="train", root=tmp_path, config=one_video)
    with pytest.raises(ConfigError, match="got 'dev'"):
        load_needle(split="dev")


def test_mapping_becomes_a_config(one_video: NeedleConfig) -> None:
    fields = {"seed": 5, "videos": {"test": 1}, "overview_frames": 6, "spacings_seconds": [8]}
    assert as_config(fields) == one_video
    assert as_config(None) == NeedleConfig()
    with pytest.raises(ConfigError, match=r"needle config: .*colour.*; its fields are seed, videos"):
        as_config({"colour": "red"})
