"""The decoding benchmark: its videos say which frame is which, its processes survive, its ratios add up."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vz_benchmarks.speed.decode import main
from vz_benchmarks.speed.decode_peer import read_numbers
from vz_benchmarks.speed.decode_rounds import FileTimes, _inside_frames
from vz_benchmarks.speed.decode_table import MARKS, DecodeTable
from vz_benchmarks.speed.footage import FOOTAGE, Footage, make_footage
from vz_benchmarks.speed.peers import Library, PeerProcess, find_libraries
from vz_env.errors import ConfigError
from vz_env.video.cache import FrameCache
from vz_env.video.reader import VideoReader

TINY = Footage(name="tiny", file="tiny.mp4", title="tiny", size=(320, 180), part_seconds=2, repeats=3)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_footage(TINY, tmp_path_factory.mktemp("footage"))


def test_every_frame_of_a_test_video_says_its_number(video: Path) -> None:
    with VideoReader(video, cache=FrameCache(0)) as reader:
        assert reader.info.duration_seconds == pytest.approx(6)
        times = [k / 30 for k in range(0, 180, 7)]
        batch = reader.frames_at(times, size=(420, 236))
    assert read_numbers(batch.frames) == [k % 60 for k in range(0, 180, 7)]


def test_a_video_that_is_there_is_not_made_again(video: Path) -> None:
    said: list[str] = []
    before = video.stat().st_mtime_ns
    make_footage(TINY, video.parent, say=said.append)
    assert (said, video.stat().st_mtime_ns) == ([], before)


@pytest.fixture
def ours(video: Path, tmp_path: Path) -> Library:
    (library,), _ = find_libraries(tmp_path / "no" / "python", frozenset({"ours"}), 2, tmp_path)
    return library


def test_our_own_process_answers(ours: Library, video: Path) -> None:
    peer = PeerProcess(ours, video, (420, 236))
    try:
        cold = peer.ask({"do": "cold", "times": [0.0, 1.5, 5.5]}, 60)
        hot = peer.ask({"do": "hot", "times": [1.5], "warm": [3.0]}, 60)
        keys = peer.ask({"do": "keyframes", "times": [1.9, 3.9]}, 60)
        floor = peer.ask({"do": "floor", "times": [0.5, 4.5], "warm": [3.0]}, 60)
        memory = peer.ask({"do": "memory"}, 60)
        wrong = peer.ask({"do": "cold", "times": ["x"]}, 60)
    finally:
        peer.close()
    assert (cold["numbers"], hot["numbers"], keys["numbers"]) == ([0, 45, 45], [45], [0, 0])
    assert floor["seconds"] > 0
    assert 0 <= memory["megabytes"] < 500
    assert "error" in wrong


@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashes"),
        ("import time; time.sleep(60)", "no answer"),
    ],
)
def test_a_library_that_dies_or_hangs_is_noted(program: str, trouble: str, video: Path, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!{sys.executable}\nprint('{{}}', flush=True)\ninput()\n{program}\n")
    fake.chmod(0o755)
    peer = PeerProcess(Library("fake", str(fake), 1, {}), video, (64, 36))
    try:
        assert trouble in peer.ask({"do": "cold", "times": [1.0]}, 1.0)["error"]
        assert trouble in peer.ask({"do": "cold", "times": [1.0]}, 1.0)["error"]
    finally:
        peer.close()


def filled_table(*, is_quick: bool = False) -> DecodeTable:
    times = FileTimes(
        seconds={
            ("overview", "ours"): [2.0, 1.0, 9.0],
            ("overview", "decord"): [8.0],
            ("overview", "limit"): [1.9],
            ("zoom hot", "ours"): [0.5],
            ("zoom cold", "decord"): [4.0],
            ("keyframes", "ours"): [0.2],
        },
        wrong={"ours": (0, 64), "decord": (3, 64)},
        troubles={"opencv": "crashes"},
        megabytes={"ours": 50.0},
    )
    table = DecodeTable(("ours", "decord", "opencv"), is_quick=is_quick, workers=2, pictures="clips")
    table.add(Footage(name="long", file="a.mp4", title="Long", size=(1280, 720), part_seconds=10), times)
    return table


def test_ratios_are_of_the_same_looks_where_all_were_done() -> None:
    times = FileTimes(seconds={("zoom", "ours"): [1.0, 10.0, 2.0], ("zoom", "peer"): [3.0, 11.0, 8.0]})
    assert times.ratio(("zoom", "peer"), ("zoom", "ours")) == 3.0  # of 3, 1.1 and 4; of medians it would be 4
    times.seconds["zoom", "peer"].pop()
    assert times.ratio(("zoom", "peer"), ("zoom", "ours")) == 3.5
    assert times.ratio(("zoom", "nobody"), ("zoom", "ours")) is None


def test_ratios_are_of_medians_and_larger_is_better() -> None:
    table = filled_table()
    assert table.ratios() == {
        "overview/long/decord": 4.0,
        "zoom/long/decord": 8.0,
        "keyframes/long/decord": 40.0,
        "limit/overview/long": 0.95,
        "memory/long": 2.0,
        "right/long": 1.0,
    }
    assert table.targets() == {
        "overview/long/decord": 4.0,
        "zoom/long/decord": 6.0,
        "keyframes/long/decord": 25.0,
        "limit/overview/long": 0.893,
        "memory/long": 1.0,
        "right/long": 1.0,
    }


def test_the_table_goes_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS[0]}\nstale figures\n{MARKS[1]}\nafter\n")
    filled_table().write_into(page)
    filled_table().write_into(page)
    text = page.read_text()
    assert "stale" not in text
    assert text.startswith("before\n")
    assert text.endswith(f"{MARKS[1]}\nafter\n")
    assert text.count("| Long | overview | 2.000 | 8.000 (4.0x) wrong frames | fails | 1.900 (0.9x) |") == 1
    assert "decord: 3 of 64 frames were wrong" in text
    with pytest.raises(ConfigError, match="without it"):
        filled_table(is_quick=True).write_into(page)
    (tmp_path / "other.md").write_text("no marks")
    with pytest.raises(ConfigError, match="has no lines"):
        filled_table().write_into(tmp_path / "other.md")


def test_the_page_of_the_docs_has_the_marks() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert 0 < text.find(MARKS[0]) < text.find(MARKS[1])


def test_without_peers_ours_is_measured_and_the_last_line_is_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vz_benchmarks.speed.decode.QUICK_FOOTAGE", (TINY,))
    monkeypatch.setattr("vz_benchmarks.speed.decode_rounds.ZOOM_SECONDS", 2.0)
    assert main(["--quick", "--repeats", "1", "--videos", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out.splitlines()[-1])
    assert found["ratios"]["right/tiny"] == 1.0
    assert set(found["targets"]) <= set(found["ratios"])
    assert "decord is left out: no environment of peers" in printed.err
    with pytest.raises(ConfigError, match="no test video is called nothing"):
        main(["--quick", "--only", "nothing"])


def test_a_run_goes_on_where_the_last_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("vz_benchmarks.speed.decode.FOOTAGE", (TINY,))
    monkeypatch.setattr("vz_benchmarks.speed.decode_rounds.ZOOM_SECONDS", 2.0)
    monkeypatch.setattr("vz_benchmarks.speed.decode_rounds.OVERVIEW_FRAMES", 4)
    page = tmp_path / "page.md"
    page.write_text(f"{MARKS[0]}\n{MARKS[1]}\n")

    def run(*more: str) -> tuple[dict[str, dict[str, int]], str]:
        assert main(["--repeats", "2", "--videos", str(tmp_path), "--docs", str(page), *more]) == 0
        printed = capsys.readouterr()
        return json.loads(printed.out.splitlines()[-1]), printed.err

    ended, told = run("--minutes", "0.001")  # no time for anything
    assert (ended["missing"], ended["ratios"]) == ({"tiny": 2}, {})
    assert "the same command goes on" in told
    assert "wanted" not in page.read_text()

    book_path = tmp_path / "patterns" / "tiny.mp4.results.json"
    assert run("--repeats", "1")[0]["missing"] == {}
    assert "Medians of 1 rounds" in page.read_text()
    kept = json.loads(book_path.read_text())
    begun = kept["seconds"][0][2]

    ended, told = run()
    assert ended["missing"] == {}
    assert "round 2 of 2" in told
    assert "round 1 of 2" not in told
    assert json.loads(book_path.read_text())["seconds"][0][2][:1] == begun
    assert "| tiny: overview, times the limit | " in page.read_text()

    kept["made_with"]["code"] = "of another version"
    book_path.write_text(json.dumps(kept))
    assert run("--minutes", "0.001")[0]["missing"] == {"tiny": 2}
    book_path.write_text("{half")
    assert run("--minutes", "0.001")[0]["missing"] == {"tiny": 2}


def test_no_time_is_asked_for_at_the_edge_of_a_frame() -> None:
    asked = np.array([0.0, 1 / 30 - 1e-5, 2 / 30 + 1e-5, 0.05])
    moved = np.array(_inside_frames(asked))
    assert (np.floor(moved * 30) == np.floor(asked * 30)).all()
    assert (abs(moved * 30 - np.round(moved * 30)) > 0.09).all()


@pytest.mark.parametrize("name", ["hevc", "av1"])
def test_pieces_of_every_codec_are_joined(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vz_benchmarks.speed.footage.PIECE_SECONDS", 1)
    footage = next(footage for footage in FOOTAGE if footage.name == name)
    path = make_footage(replace(footage, size=(320, 180), part_seconds=2, repeats=2), tmp_path)
    assert path is not None
    with VideoReader(path, cache=FrameCache(0)) as reader:
        assert reader.info.duration_seconds == pytest.approx(4, abs=0.05)
        batch = reader.frames_at([k / 30 + 1e-3 for k in range(0, 120, 13)], size=(420, 236))
    assert read_numbers(batch.frames) == [k % 60 for k in range(0, 120, 13)]


def test_a_video_is_made_of_pieces_as_far_as_the_time_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vz_benchmarks.speed.footage.PIECE_SECONDS", 1)
    odd = replace(TINY, file="odd.webm", codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"})
    said: list[str] = []

    class Two:
        """Time for one piece more, and then one more."""

        def fits(self, seconds: float) -> bool:
            return len(said) % 2 == 0

    assert make_footage(odd, tmp_path, say=said.append, box=Two()) is None
    assert [path.name for path in (tmp_path / "pieces").iterdir()] == ["odd-0-1.webm"]
    path = make_footage(odd, tmp_path, say=said.append)
    assert said == [f"encoding odd.webm: {start} to {start + 1} of 2 s" for start in (0, 1)]
    assert path is not None
    with VideoReader(path, cache=FrameCache(0)) as reader:
        assert reader.info.duration_seconds == pytest.approx(6)
        batch = reader.frames_at([k / 30 + 1e-3 for k in range(0, 180, 9)], size=(420, 236))
    assert read_numbers(batch.frames) == [k % 60 for k in range(0, 180, 9)]
