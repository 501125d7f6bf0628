from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vz_env.episode import Episode, SubtitleFile
from vz_env.errors import ConfigError, DatasetError
from vz_env.video.access import create_video
from vz_env.video.describe import describe_palette, make_describer, mark_changes
from vz_env.video.palette import PALETTE
from vz_env.video.reader import VideoReader


@pytest.fixture
def episode(tmp_path: Path) -> Episode:
    return Episode(id="a", question="What?", video_path=tmp_path / "a.mp4", answer_kind="text")


def flat(name: str, height: int = 96, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), PALETTE[name], dtype=np.uint8)


def test_largest_first_in_whole_percent(episode: Episode) -> None:
    frame = flat("teal", 100, 100)
    frame[:31] = PALETTE["red"]
    frame[31:38] = PALETTE["white"]  # 7%: noise
    assert describe_palette(frame, 0.0, episode) == "teal 62%, red 31%"


def test_at_most_three(episode: Episode) -> None:
    frame = np.concatenate([flat(name, 10, 10) for name in ("red", "blue", "lime", "pink", "blue")])
    assert describe_palette(frame, 0.0, episode) == "blue 40%, red 20%, lime 20%"


def test_an_empty_frame_is_refused(episode: Episode) -> None:
    with pytest.raises(ConfigError, match="pixels"):
        describe_palette(np.zeros((0, 4, 3), np.uint8), 0.0, episode)


@pytest.mark.parametrize(
    ("lines", "marked"),
    [
        ([], []),
        (["teal 88%"], ["new teal 88%"]),
        (["teal 88%", "teal 60%, red 30%", "teal 9%"], ["new teal 88%", "teal 60%, red 30%", "teal 9%"]),
        (["teal 88%", "red 60%, teal 30%", "teal 88%"], ["new teal 88%", "new red 60%, teal 30%", "new teal 88%"]),
        (["teal 88%", "", "teal 88%", ""], ["new teal 88%", "", "new teal 88%", ""]),  # nothing is no colour
        (["", "", "red 8%"], ["", "", "new red 8%"]),
    ],
)
def test_new_marks_the_first_line_and_every_other_largest_colour(lines: list[str], marked: list[str]) -> None:
    before = list(lines)
    assert mark_changes(lines) == marked
    assert lines == before


def test_every_colour_is_named_after_coding_and_resizing(tmp_path: Path, episode: Episode) -> None:
    path = tmp_path / "colours.mp4"
    with create_video(path) as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number, name in enumerate(PALETTE):
            frame = av.VideoFrame.from_ndarray(flat(name), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    with VideoReader(path) as reader:
        for size in ((160, 96), (80, 48), (33, 21)):
            frames = reader.frames_at(np.arange(len(PALETTE)) / 10, size=size).frames
            named = [describe_palette(frame, 0.0, episode) for frame in frames]
            assert named == [f"{name} 100%" for name in PALETTE]


def test_none_says_nothing(episode: Episode) -> None:
    assert make_describer("none", episode)(flat("red"), 0.0, episode) == ""


def test_captions(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,500\nfirst line\nsecond line\n")
    episode = Episode(
        id="a", question="?", video_path=tmp_path, answer_kind="text", subtitles=SubtitleFile(path=path, format="srt")
    )
    describe = make_describer("captions", episode)
    assert describe(flat("red"), 1.5, episode) == "first line second line"
    assert describe(flat("red"), 2.5, episode) == ""


def test_captions_without_subtitles(episode: Episode) -> None:
    assert make_describer("captions", episode)(flat("red"), 1.0, episode) == ""


def test_broken_captions_are_found_at_once(tmp_path: Path) -> None:
    file = SubtitleFile(path=tmp_path / "absent.srt", format="srt")
    episode = Episode(id="a", question="?", video_path=tmp_path, answer_kind="text", subtitles=file)
    with pytest.raises(DatasetError, match=r"absent\.srt"):
        make_describer("captions", episode)


def test_a_callable_is_held_to_one_line(episode: Episode) -> None:
    assert (
        make_describer(lambda frame, time, e: f"at {time}\nof  {e.id}\r\n")(flat("red"), 2.0, episode) == "at 2.0 of a"
    )
    with pytest.raises(ConfigError, match="NoneType"):
        make_describer(lambda frame, time, e: None)(flat("red"), 2.0, episode)  # type: ignore[arg-type, return-value]


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ConfigError, match="none, palette, captions"):
        make_describer("colours")
