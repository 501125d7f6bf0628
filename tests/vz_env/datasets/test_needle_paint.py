from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from vz_env.datasets.needle_config import NeedleConfig
from vz_env.datasets.needle_paint import CanvasBackdrop, Picture, paint_pictures, to_planes
from vz_env.datasets.needle_questions import needle_script
from vz_env.datasets.needle_script import VideoScript
from vz_env.video.palette import PALETTE


def paint(config: NeedleConfig, script: VideoScript) -> list[Picture]:
    return list(paint_pictures(script, config, CanvasBackdrop(config)))


@pytest.fixture(scope="module")
def pictures(tiny_config: NeedleConfig) -> list[Picture]:
    return paint(tiny_config, needle_script(tiny_config, "test", 0).script)


def test_pictures_cover_every_frame_once(pictures: list[Picture]) -> None:
    assert pictures[0].first_frame == 0
    assert pictures[-1].end_frame == 12 * 8 * 24
    assert all(early.end_frame == late.first_frame for early, late in pairwise(pictures))
    assert all(1 <= picture.end_frame - picture.first_frame <= 3 for picture in pictures)


def test_pictures_are_the_same_again(tiny_config: NeedleConfig, pictures: list[Picture]) -> None:
    again = paint(tiny_config, needle_script(tiny_config, "test", 0).script)
    assert all(np.array_equal(a.planes.y, b.planes.y) for a, b in zip(pictures, again, strict=True))
    assert all(np.array_equal(a.planes.u, b.planes.u) for a, b in zip(pictures, again, strict=True))


def test_appearance_seed_changes_the_picture_and_not_the_script(tiny_config: NeedleConfig) -> None:
    script = needle_script(tiny_config, "test", 0).script
    other = dataclasses.replace(script, appearance_seed=script.appearance_seed + 1)
    first, second = (next(paint_pictures(s, tiny_config, CanvasBackdrop(tiny_config))) for s in (script, other))
    assert not np.array_equal(first.planes.y, second.planes.y)


def test_picture_pans_within_a_scene(pictures: list[Picture]) -> None:
    assert not np.array_equal(pictures[0].planes.y, pictures[8].planes.y)


@pytest.mark.parametrize("size", [(160, 96), (98, 66), (64, 64)])
def test_card_fills_its_share_of_the_picture(size: tuple[int, int]) -> None:
    config = NeedleConfig(width=size[0], height=size[1], overview_frames=12, spacings_seconds=(8,))
    script = needle_script(config, "test", 1).script
    pictures = paint(config, script)
    for card in script.cards:
        on = next(p for p in pictures if p.first_frame >= round(card.segment.start_seconds * 24) - 1e-9)
        color = to_planes(np.full((2, 2, 3), PALETTE[card.color], np.uint8))
        is_card = (on.planes.u == color.u[0, 0]) & (on.planes.v == color.v[0, 0])
        assert is_card.mean() == pytest.approx(card.area, abs=0.05)


def test_card_is_on_from_its_first_frame_to_its_last(tiny_config: NeedleConfig, pictures: list[Picture]) -> None:
    script = needle_script(tiny_config, "test", 0).script
    for card in script.cards:
        color = to_planes(np.full((2, 2, 3), PALETTE[card.color], np.uint8))
        frames = [
            frame
            for picture in pictures
            if ((picture.planes.u == color.u[0, 0]) & (picture.planes.v == color.v[0, 0])).mean() > 0.2
            and script.scene_at(picture.first_frame / 24).color != card.color
            for frame in range(picture.first_frame, picture.end_frame)
        ]
        wanted = range(round(card.segment.start_seconds * 24), round(card.segment.end_seconds * 24))
        assert set(wanted) <= set(frames)
        assert not {wanted.start - 1, wanted.stop}.intersection(frames) or script.card_at(wanted.stop / 24)


@pytest.mark.parametrize("name", PALETTE)
def test_planes_turn_back_into_the_color(name: str) -> None:
    planes = to_planes(np.full((2, 2, 3), PALETTE[name], np.uint8))
    y, u, v = (float(plane[0, 0]) for plane in (planes.y, planes.u, planes.v))
    luma = 255 * (y - 16) / 219
    red, blue = luma + 255 * 1.402 * (v - 128) / 224, luma + 255 * 1.772 * (u - 128) / 224
    green = (luma - 0.299 * red - 0.114 * blue) / 0.587
    assert [red, green, blue] == pytest.approx(PALETTE[name], abs=3)
