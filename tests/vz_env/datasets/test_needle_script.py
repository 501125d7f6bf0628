from __future__ import annotations

import dataclasses

import pytest

from vz_env.datasets.needle_config import SPLITS, NeedleConfig
from vz_env.datasets.needle_questions import needle_script
from vz_env.datasets.needle_script import VideoScript, check_script
from vz_env.episode import Segment
from vz_env.errors import DatasetError


@pytest.fixture
def script() -> VideoScript:
    return needle_script(NeedleConfig(), "train", 0).script


def with_event_at(script: VideoScript, start: float, end: float) -> VideoScript:
    scene = script.scenes[1]
    card = dataclasses.replace(scene.cards[0], segment=Segment(start, end))
    scenes = (script.scenes[0], dataclasses.replace(scene, cards=(card,)), *script.scenes[2:])
    return dataclasses.replace(script, scenes=scenes)


def test_duration_is_slots_times_spacing(script: VideoScript) -> None:
    assert script.duration_seconds == 32 * script.overview_spacing_seconds
    assert script.scenes[-1].segment.end_seconds == script.duration_seconds


def test_card_is_on_from_its_start_until_its_end(script: VideoScript) -> None:
    card = script.cards[0]
    assert script.card_at(card.segment.start_seconds) is card
    assert script.card_at(card.segment.end_seconds - 1 / 24) is card
    assert script.card_at(card.segment.end_seconds) is not card


def test_moments_outside_the_video_clamp_into_it(script: VideoScript) -> None:
    assert script.scene_at(-1.0) is script.scenes[0]
    assert script.scene_at(script.duration_seconds + 1) is script.scenes[-1]


def test_event_at_an_overview_timestamp_is_found(script: VideoScript) -> None:
    moment = float(script.scenes[1].first_slot * script.overview_spacing_seconds)
    with pytest.raises(DatasetError, match="the overview shows the event"):
        check_script(with_event_at(script, moment - 0.5, moment + 0.5))


def test_event_ending_at_an_overview_timestamp_is_allowed(script: VideoScript) -> None:
    moment = float((script.scenes[1].first_slot + 1) * script.overview_spacing_seconds)
    check_script(with_event_at(script, moment - 0.5, moment))


def test_event_outside_its_scene_is_found(script: VideoScript) -> None:
    end = script.scenes[1].segment.end_seconds
    with pytest.raises(DatasetError, match="leaves its scene"):
        check_script(with_event_at(script, end - 0.1, end + 0.1))


def test_gap_between_scenes_is_found(script: VideoScript) -> None:
    with pytest.raises(DatasetError, match="do not follow one another"):
        check_script(dataclasses.replace(script, scenes=script.scenes[:-1]))


def test_appearance_seeds_are_disjoint_over_splits() -> None:
    seeds = [needle_script(NeedleConfig(), split, i).script.appearance_seed for split in SPLITS for i in range(50)]
    assert len(set(seeds)) == 150
