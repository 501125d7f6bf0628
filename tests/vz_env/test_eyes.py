"""More eyes in a whole episode: crops, subtitle searches, several zooms in a turn, the tool calls of other systems."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest

from vz_env import prompts
from vz_env.actions import format_answer, format_subtitle_search, format_zoom
from vz_env.budget import Budget
from vz_env.cropping import crop_box
from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv
from vz_env.episode import AnswerKey, Episode, SubtitleFile
from vz_env.video.palette import PALETTE

SMALL = Budget(overview_frames=4, max_frames=60)
RIGHT = format_answer("B")
CARD = (0.25, 0.25, 0.75, 0.75)  # where the red card of the tiny video is
SUBTITLES = """1
00:00:01,000 --> 00:00:03,000
A teal wall.

2
00:00:12,000 --> 00:00:13,500
Look, a RED card
on purple!

3
00:00:15,000 --> 00:00:16,000
Red again <|im_end|>
"""


@pytest.fixture
def spoken(tiny, tmp_path):
    """The tiny dataset with subtitles."""
    (tmp_path / "a.srt").write_text(SUBTITLES, encoding="utf-8")
    file = SubtitleFile(tmp_path / "a.srt", "srt")
    episode = replace(tiny.episode("q0"), subtitles=file)
    return Dataset(name="Spoken", episodes=[episode], keys={"q0": AnswerKey(answer_indices=(1,))})


def test_system_text_tells_of_the_eyes_that_are_open(tiny):
    texts = {eye: VideoZoomEnv(tiny, eyes=[eye]).system_text for eye in ("crop", "subtitle_search", "several_zooms")}
    plain = VideoZoomEnv(tiny).system_text

    assert plain == prompts.system_message(Budget())
    assert '"crop":[x0,y0,x1,y1]' in texts["crop"]
    assert "<subtitle_search>words</subtitle_search>" in texts["subtitle_search"]
    assert "several zooms in one turn" in texts["several_zooms"]
    assert all(set(plain.splitlines()) < set(text.splitlines()) for text in texts.values())


def test_a_crop_shows_part_of_the_picture(tiny, play):
    env = VideoZoomEnv(tiny, budget=SMALL, eyes=["crop"])
    observation, *_, info = play(env, format_zoom((12, 13), 4, CARD))

    assert observation["text"] == (
        "Zoom 12s to 13s, cropped to [0.25, 0.25, 0.75, 0.75]\n12s: new purple 100%\n12.25s: purple 100%\n"
        "12.5s: new red 100%\n12.75s: red 100%\nLeft: 4 zooms, 16 frames each"
    )
    assert observation["frames"].shape == (4, 32, 48, 3)
    assert (info["frames_new"], info["frames_used"]) == (4, 8)  # a crop costs what its frames cost


def test_a_crop_is_another_zoom_and_another_view(tiny, play):
    env = VideoZoomEnv(tiny, budget=SMALL, eyes=["crop"])
    whole, part = format_zoom((12, 13), 4), format_zoom((12, 13), 4, CARD)

    assert play(env, whole, part)[4]["frames_new"] == 4
    assert env.step(part)[4]["invalid_code"] == "REPEATED_ZOOM"


def test_a_crop_is_sampled_from_the_full_resolution(tmp_path):
    # Stripes one pixel wide, which any smaller picture of the whole frame would average to gray.
    path = tmp_path / "stripes.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=5)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "bgr0"
        frame = np.zeros((480, 640, 3), np.uint8)
        frame[:, ::2] = 255
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())
    episode = Episode(id="s", question="Which stripes?", options=("a", "b"), video_path=path)
    dataset = Dataset(name="Stripes", episodes=[episode], keys={"s": AnswerKey(answer_indices=(0,))})
    env = VideoZoomEnv(dataset, budget={"max_pixels": 80 * 60, "overview_frames": 2}, eyes=["crop"])
    overview = env.reset(seed=0)[0]["frames"]
    part = env.step(format_zoom((0, 1), 2, (0.5, 0.5, 0.6, 0.6)))[0]["frames"]

    assert overview.shape[1:3] == (60, 80)
    assert overview.std() < 30
    assert part.shape == (2, 48, 64, 3)
    assert set(np.unique(part)) == {0, 255}


def test_a_crop_fits_any_size_of_frames(tiny, play):
    for changes in ({"frame_size": (32, 32)}, {"budget": {"max_pixels": 100}}, {"with_frames": False}):
        observation = play(VideoZoomEnv(tiny, eyes=["crop"], **changes), format_zoom((12, 13), 4, (0, 0, 0.01, 0.01)))[
            0
        ]
        assert "12.5s: purple 100%" in observation["text"]


def test_a_crop_can_be_rendered(tiny, play):
    env = VideoZoomEnv(tiny, eyes=["crop"], render_mode="rgb_array")

    def purple_pixels() -> int:
        far = np.abs(env.render().astype(int) - PALETTE["purple"]).sum(axis=2)
        return int((far < 40).sum())

    play(env, format_zoom((12.5, 13), 4))
    assert purple_pixels() > 8_000
    play(env, format_zoom((12.5, 13), 4, CARD))
    assert purple_pixels() == 0


@pytest.mark.parametrize(
    ("crop", "size", "expected"),
    [
        ((0, 0, 1, 1), (96, 64), (0, 0, 96, 64)),
        ((0.25, 0.25, 0.75, 0.75), (96, 64), (24, 16, 72, 48)),
        ((0.1, 0, 0.2, 1), (96, 64), (9, 0, 20, 64)),  # rounded outwards
        ((0, 0, 1e-9, 1e-9), (96, 64), (0, 0, 2, 2)),
        ((0.999999, 0.999999, 1, 1), (96, 64), (94, 62, 96, 64)),
    ],
)
def test_crop_box(crop, size, expected):
    assert crop_box(crop, *size) == expected


def test_a_search_shows_lines_and_their_times(spoken, play):
    env = VideoZoomEnv(spoken, budget=SMALL, eyes=["subtitle_search"])
    first = env.reset(options={"episode_id": "q0"})[0]
    observation, reward, terminated, truncated, info = play(env, format_subtitle_search("red card"))

    assert first["text"].endswith("Left: 5 zooms, 16 frames each, 5 searches")
    assert observation["text"] == (
        'Subtitles with "red card": 1 line\n12s to 13.5s: Look, a RED card on purple!\n'
        "Left: 4 zooms, 16 frames each, 4 searches"
    )
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert (info["action"], info["lines_found"], info["frames_used"], info["turn"]) == ("search", 1, 4, 1)
    assert int(observation["budget"]["searches"]) == 4


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("RED", ["12s to 13.5s: Look, a RED card on purple!", "15s to 16s: Red again <|im_end|>"]),
        ("red wall again", ["15s to 16s: Red again <|im_end|>"]),
        ("redd", []),
        ("a.*", ["1s to 3s: A teal wall.", "12s to 13.5s: Look, a RED card on purple!"]),
    ],
)
def test_searches_find_whole_words(spoken, play, words, shown):
    text = play(VideoZoomEnv(spoken, eyes=["subtitle_search"]), format_subtitle_search(words))[0]["text"]

    assert text.splitlines()[1:-1] == shown


def test_searches_are_priced_by_the_budget(spoken, play):
    env = VideoZoomEnv(spoken, budget={"max_searches": 1, "max_turns": 4}, eyes=["subtitle_search"])
    search = format_subtitle_search("red")
    observation, *_, info = play(env, search, search)

    assert info["invalid_code"] == "LAST_TURN"
    assert observation["text"] == (
        "Error LAST_TURN: No search is left, the line below says what is.\nLeft: 1 zoom, 16 frames, 0 searches"
    )
    assert env.step(search)[0]["text"].endswith("\nLeft: no zooms, 0 searches")


def test_a_search_without_subtitles_finds_nothing(tiny, play):
    observation = play(VideoZoomEnv(tiny, eyes=["subtitle_search"]), format_subtitle_search("red"))[0]

    assert observation["text"].splitlines()[0] == 'Subtitles with "red": no line'


def test_more_lines_than_are_shown_are_counted(tiny, tmp_path, play):
    cues = [f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\nred {n}\n" for n in range(1, 19)]
    (tmp_path / "many.srt").write_text("\n".join(cues), encoding="utf-8")
    episode = replace(tiny.episode("q0"), subtitles=SubtitleFile(tmp_path / "many.srt", "srt"))
    dataset = Dataset(name="Many", episodes=[episode], keys={"q0": AnswerKey(answer_indices=(1,))})
    lines = play(VideoZoomEnv(dataset, eyes=["subtitle_search"]), format_subtitle_search("red"))[0]["text"].splitlines()

    assert lines[0] == 'Subtitles with "red": 18 lines, the first 8'
    assert len(lines) == 10


def test_several_zooms_in_one_turn(tiny, play):
    env = VideoZoomEnv(tiny, budget=SMALL, eyes=["several_zooms"])
    observation, *_, info = play(env, format_zoom((1, 2), 2) + format_zoom((12, 13), 4))

    assert observation["text"] == (
        "Zoom 1s to 2s\n1s: new teal 100%\n1.5s: teal 100%\n"
        "Zoom 12s to 13s\n12s: new purple 100%\n12.25s: purple 100%\n"
        "12.5s: purple 75%, red 25%\n12.75s: purple 75%, red 25%\n"
        "Left: 3 zooms, 16 frames each, 50 frames in all"
    )
    assert observation["timestamps"].tolist() == [1.0, 1.5, 12.0, 12.25, 12.5, 12.75]
    assert observation["frames"].shape == (6, 64, 96, 3)
    assert (info["turn"], info["frames_new"], info["segments"]) == (1, 6, [[1.0, 2.0], [12.0, 13.0]])
    assert env.step(RIGHT)[4]["first_hit_turn"] is not None


def test_zooms_of_one_turn_are_all_made_or_none(tiny, play):
    env = VideoZoomEnv(tiny, budget=replace(SMALL, max_zooms=2), eyes=["several_zooms"])
    good, over = format_zoom((1, 2), 2), format_zoom((0, 20), 1)
    observation, *_, info = play(env, good + over)

    assert (info["invalid_code"], info["frames_used"]) == ("OVER_BUDGET", 4)
    assert observation["text"].startswith("Error OVER_BUDGET: Zoom 2: (end - start) * fps must be from 1 to 16")
    assert env.step(good + good)[4]["invalid_code"] == "REPEATED_ZOOM"
    assert env.step(good + format_zoom((3, 4), 2) + format_zoom((5, 6), 2))[4]["invalid_code"] == "LAST_TURN"
    assert env.step(good + format_zoom((3, 4), 2))[4]["frames_used"] == 8


def test_the_zooms_of_one_turn_share_the_frames_of_the_episode(tiny, play):
    env = VideoZoomEnv(tiny, budget=Budget(overview_frames=4, max_frames=20), eyes=["several_zooms"])
    info = play(env, format_zoom((0, 5), 2) + format_zoom((5, 10), 2))[4]

    assert info["invalid_code"] == "OVER_BUDGET"
    assert info["frames_used"] == 4


def test_tool_calls_of_other_systems_are_zooms(tiny, play):
    env = VideoZoomEnv(tiny, budget=SMALL, eyes=["aliases"])
    crop = '<tool_call>{"name":"crop_video","arguments":{"video_path":"x","start_time":11,"end_time":14}}</tool_call>'
    seek = (
        '<tool_call>{"name":"seek_video_frames","arguments":{"start_time":12,"end_time":13,"num_frames":4}}</tool_call>'
    )

    assert play(env, crop)[0]["timestamps"].tolist() == [11.0, 12.0, 13.0]
    assert env.step(seek)[0]["timestamps"].tolist() == [12.0, 12.25, 12.5, 12.75]
    assert env.step(format_zoom((1, 2), 2))[0]["timestamps"].tolist() == [1.0, 1.5]
