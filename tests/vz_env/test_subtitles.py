from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vz_env.episode import Segment, SubtitleFile
from vz_env.errors import DatasetError
from vz_env.subtitles import MAX_LINE_CHARACTERS, SubtitleLine, SubtitleTrack, load_subtitles

SRT = """1
00:00:01,000 --> 00:00:03,000
<i>Hello</i>
there

2
00:00:02,500 --> 00:00:04,000
&amp; goodbye {\\an8}

3
00:01:00,250 --> 00:01:00,250
no length
"""

VTT = """WEBVTT

NOTE x

00:01.000 --> 00:03.000 align:start
<v Ann>Hello <b>there</b>

01:00:00.000 --> 01:00:01.000
late
"""


def write(folder: Path, text: str | bytes, kind: str = "srt", offset: float = 0.0) -> SubtitleFile:
    path = folder / f"a.{kind}"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return SubtitleFile(path=path, format=kind, offset_seconds=offset)  # type: ignore[arg-type]


def test_srt(tmp_path: Path) -> None:
    track = load_subtitles(write(tmp_path, SRT))
    assert [(line.start_seconds, line.end_seconds) for line in track.lines] == [(1, 3), (2.5, 4)]
    assert track.at(0.999) == ""
    assert track.at(1.0) == "Hello there"
    assert track.at(2.7) == "Hello there & goodbye"
    assert track.at(3.0) == "& goodbye"
    assert track.at(4.0) == ""
    assert "2 lines, 1.0s to 4.0s" in repr(track)


def test_vtt(tmp_path: Path) -> None:
    track = load_subtitles(write(tmp_path, VTT, "vtt"))
    assert track.at(2.0) == "Hello there"
    assert track.at(3600.5) == "late"


def test_json(tmp_path: Path) -> None:
    cues = [
        {"start": 1, "end": 2.5, "line": "one"},
        {"start": "00:00:02.250", "end": "00:01:02,5", "text": "two\nlines"},
        {"start": "01:02", "end": "01:03.5", "line": "three", "speaker": "x"},
    ]
    track = load_subtitles(write(tmp_path, json.dumps(cues), "json"))
    assert track.at(2.3) == "one two lines"
    assert track.at(63.0) == "three"
    assert len(track) == 3


def test_offset_moves_everything_and_cuts_at_zero(tmp_path: Path) -> None:
    track = load_subtitles(write(tmp_path, SRT, offset=-2.0))
    assert [(line.start_seconds, line.end_seconds) for line in track.lines] == [(0, 1), (0.5, 2)]
    assert len(load_subtitles(write(tmp_path, SRT, offset=-3.5))) == 1


def test_between_is_half_open() -> None:
    track = SubtitleTrack([SubtitleLine(1, 2, "a"), SubtitleLine(0, 9, "long"), SubtitleLine(2, 3, "b")])
    assert [line.text for line in track.between(Segment(2, 2.5))] == ["long", "b"]
    assert [line.text for line in track.between(Segment(0, 1))] == ["long"]
    assert track.between(Segment(9, 10)) == ()


def test_an_empty_file_is_an_empty_track(tmp_path: Path) -> None:
    track = load_subtitles(write(tmp_path, "\n"))
    assert len(track) == 0
    assert track.at(1.0) == ""
    assert repr(track) == "SubtitleTrack(0 lines)"


def test_byte_order_mark_and_long_lines(tmp_path: Path) -> None:
    text = "\ufeff1\n00:00:01,000 --> 00:00:03,000\n" + "x" * 50_000 + "\n"
    assert load_subtitles(write(tmp_path, text)).at(2) == "x" * MAX_LINE_CHARACTERS


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"\xff\xfe\x00", "srt", "UTF-8"),
        (b"just words", "srt", "-->"),
        (b"{", "json", "not a json"),
        (b"{}", "json", "a list was wanted"),
        (b"[1]", "json", "cue 1: an object"),
        (b'[{"start": 1, "end": 2}]', "json", "'line' or 'text'"),
        (b'[{"start": 1, "line": "x"}]', "json", "'start' and 'end'"),
        (b'[{"start": 1, "end": NaN, "line": "x"}]', "json", "cue 1: a time"),
        (b'[{"start": true, "end": 2, "line": "x"}]', "json", "cue 1: a time"),
        (b'[{"start": "soon", "end": 2, "line": "x"}]', "json", "cue 1: a time"),
        (b"[" * 100_000, "json", "not a json"),
    ],
)
def test_trouble_names_the_file(content: bytes, kind: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        load_subtitles(write(tmp_path, content, kind))
    assert f"a.{kind}" in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.srt", tmp_path):
        with pytest.raises(DatasetError, match="no such subtitle file"):
            load_subtitles(SubtitleFile(path=path, format="srt"))


def test_sizes_are_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vz_env.subtitles.MAX_LINES", 1)
    with pytest.raises(DatasetError, match="the limit is 1"):
        load_subtitles(write(tmp_path, SRT))
    monkeypatch.setattr("vz_env.subtitles.MAX_FILE_BYTES", 10)
    with pytest.raises(DatasetError, match="limit for subtitles is 10"):
        load_subtitles(write(tmp_path, SRT))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=300), st.sampled_from(["srt", "vtt", "json"]))
def test_any_text_is_a_track_or_a_dataset_error(tmp_path: Path, text: str, kind: str) -> None:
    try:
        track = load_subtitles(write(tmp_path, text.encode("utf-8", "replace"), kind))
    except DatasetError:
        return
    assert all(line.end_seconds > line.start_seconds for line in track.lines)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.01, 50)), max_size=20), st.floats(0, 150))
def test_look_up_agrees_with_a_plain_search(spans: list[tuple[float, float]], moment: float) -> None:
    lines = [SubtitleLine(start, start + length, f"{i:03}") for i, (start, length) in enumerate(spans)]
    track = SubtitleTrack(lines)
    expected = [line.text for line in track.lines if line.start_seconds <= moment < line.end_seconds]
    assert track.at(moment).split() == expected


def test_timestamp_pairs_are_read_and_an_end_of_null_lasts(tmp_path):
    path = tmp_path / "s.json"
    path.write_text('[{"timestamp": [2, 3.5], "text": "one"}, {"timestamp": [9, null], "text": "two"}]')
    track = load_subtitles(SubtitleFile(path, "json", offset_seconds=-1.0))
    assert (track.at(1.5), track.at(2.6), track.at(7.9), track.at(1e9)) == ("one", "", "", "two")


def test_search_finds_the_lines_that_hold_most_words():
    track = SubtitleTrack(
        [
            SubtitleLine(9.0, 10.0, "A red, red rose"),
            SubtitleLine(1.0, 2.0, "RED card!"),
            SubtitleLine(5.0, 6.0, "the card is redder"),
            SubtitleLine(3.0, 4.0, "a red card"),
        ]
    )

    assert [line.start_seconds for line in track.search("red card", 8)[0]] == [1.0, 3.0]
    assert track.search("red card", 1)[1] == 2
    assert [line.start_seconds for line in track.search("Red", 8)[0]] == [1.0, 3.0, 9.0]
    assert track.search("blue", 8) == ((), 0)
    assert track.search("?!", 8) == ((), 0)
    assert SubtitleTrack([]).search("red", 8) == ((), 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("红色", [1.0]),
        ("卡片", [1.0, 3.0]),
        ("赤いカード", [5.0]),
        ("3号", [3.0]),
        ("빨간", [7.0]),
        ("빨", []),
        ("ÉTÉ", [9.0]),
    ],
)
def test_search_in_scripts_without_spaces_and_with_accents(words, expected):
    texts = ["一张红色的卡片", "3号卡片。", "赤いカードです", "빨간 카드", "un été rouge"]
    track = SubtitleTrack([SubtitleLine(1.0 + 2 * n, 2.0 + 2 * n, text) for n, text in enumerate(texts)])

    assert [line.start_seconds for line in track.search(words, 8)[0]] == expected


def test_whole_ends_may_count_as_none(tmp_path):
    path = tmp_path / "s.json"
    path.write_text('[{"timestamp": [2, 3], "text": "one"}, {"timestamp": [4, 5.0], "text": "two"}]')
    short = tmp_path / "short.json"
    short.write_text('[{"timestamp": [2.0, 2.2], "text": "brief"}]')
    said = [load_subtitles(SubtitleFile(short, "json", has_open_whole_ends=flag)).at(2.5) for flag in (False, True)]
    assert said == ["", "brief"]  # with them, what is said is on for a second at least
    plain, official = (load_subtitles(SubtitleFile(path, "json", has_open_whole_ends=flag)) for flag in (False, True))

    assert [plain.at(time) for time in (2.5, 3.5, 4.5, 99.0)] == ["one", "", "two", ""]
    assert [official.at(time) for time in (2.5, 3.5, 4.5, 99.0)] == ["one", "one", "one two", "one"]
