from __future__ import annotations

from collections import Counter

import pytest

from vz_env.datasets.needle_config import SPLITS, NeedleConfig
from vz_env.datasets.needle_events import ZOOM_FRAMES
from vz_env.datasets.needle_questions import NeedleVideo, Question, needle_script
from vz_env.datasets.needle_script import FAMILIES, VideoScript
from vz_env.errors import ConfigError
from vz_env.video.palette import VIVID


@pytest.fixture(scope="module")
def videos() -> list[NeedleVideo]:
    return [needle_script(NeedleConfig(), split, index) for split in SPLITS for index in range(60)]


def questions_of(videos: list[NeedleVideo], task: str) -> list[tuple[VideoScript, Question]]:
    return [(video.script, q) for video in videos for q in video.questions if q.task == task]


def test_same_arguments_give_the_same_video() -> None:
    assert needle_script(NeedleConfig(), "test", 7) == needle_script(NeedleConfig(), "test", 7)


def test_other_seed_split_or_index_gives_another_video() -> None:
    drawn = [
        needle_script(NeedleConfig(seed=seed), split, index).script.scenes
        for seed in (0, 1)
        for split in SPLITS
        for index in (0, 1)
    ]
    assert len(set(drawn)) == 12


@pytest.mark.parametrize("split", SPLITS)
def test_number_of_videos_does_not_change_a_video(split: str) -> None:
    assert needle_script(NeedleConfig(videos={"test": 1}), split, 3) == needle_script(NeedleConfig(), split, 3)


@pytest.mark.parametrize(("split", "index"), [("dev", 0), ("test", -1)])
def test_unknown_split_or_negative_index_is_refused(split: str, index: int) -> None:
    with pytest.raises(ConfigError, match="a needle video wants a split"):
        needle_script(NeedleConfig(), split, index)


@pytest.mark.parametrize("overview_frames", [6, 7, 8, 9, 12, 35, 36])
@pytest.mark.parametrize("spacing", [8, 16])
def test_extreme_configs_keep_the_promises(overview_frames: int, spacing: int) -> None:
    config = NeedleConfig(overview_frames=overview_frames, spacings_seconds=(spacing,))
    for index in range(100):
        video = needle_script(config, "train", index)  # checks its own promises
        assert all(len(set(q.options)) == 4 for q in video.questions)


def test_overview_shows_no_event(videos: list[NeedleVideo]) -> None:
    assert not any(v.script.card_at(t) for v in videos for t in v.script.overview_timestamps_seconds)


def test_every_slot_of_a_scene_begins_in_its_scene(videos: list[NeedleVideo]) -> None:
    for video in videos:
        script = video.script
        for scene in script.scenes:
            for slot in range(scene.first_slot, scene.first_slot + scene.slots):
                assert script.scene_at(slot * script.overview_spacing_seconds) is scene


def test_scene_colors_are_distinct_and_cards_differ_from_neighbours(videos: list[NeedleVideo]) -> None:
    for video in videos:
        scenes = video.script.scenes
        colors = [scene.color for scene in scenes]
        assert len(set(colors)) == len(colors)
        for number, scene in enumerate(scenes):
            near = {s.color for s in scenes[max(0, number - 1) : number + 2]}
            assert near.isdisjoint(card.color for card in scene.cards)
            assert {*near, *(card.color for card in scene.cards)} <= set(VIVID)


def test_events_last_and_lie_apart_as_promised(videos: list[NeedleVideo]) -> None:
    for video in videos:
        for scene in video.script.scenes:
            seconds = [card.segment.duration_seconds for card in scene.cards]
            assert all(0.4 - 1e-9 <= s <= 1.5 + 1e-9 for s in seconds)
            gaps = [
                late.segment.start_seconds - early.segment.end_seconds
                for early, late in zip(scene.cards, scene.cards[1:], strict=False)
            ]
            low, high = {"change": (0.0, 0.0), "after": (0.2, 0.6)}.get(scene.family, (1.0, 1000.0))
            assert all(low - 1e-9 <= gap <= high + 1e-9 for gap in gaps)


@pytest.mark.parametrize("decimals", [None, 2])
def test_one_sweep_of_its_slot_shows_every_counted_card(videos: list[NeedleVideo], decimals: int | None) -> None:
    for script, question in questions_of(videos, "count"):
        spacing = script.overview_spacing_seconds
        fps = ZOOM_FRAMES / spacing if decimals is None else int(ZOOM_FRAMES / spacing * 100) / 100
        for segment in question.evidence:
            start = segment.start_seconds // spacing * spacing
            looked = [start + k / fps for k in range(int(spacing * fps + 1e-9))]
            assert any(segment.contains(t) for t in looked)


def test_families_are_mixed_evenly(videos: list[NeedleVideo]) -> None:
    counts = Counter(scene.family for video in videos for scene in video.script.scenes)
    assert set(counts) == set(FAMILIES)
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_controls_are_one_or_two_a_video(videos: list[NeedleVideo]) -> None:
    for video in videos:
        tasks = [question.task for question in video.questions]
        assert 1 <= tasks.count("control") <= 2
        assert len(tasks) - tasks.count("control") == len(video.script.scenes)


def test_right_option_stands_at_every_place_equally_often(videos: list[NeedleVideo]) -> None:
    places = Counter(q.answer_index for v in videos for q in v.questions)
    total = sum(places.values())
    assert all(abs(places[place] / total - 0.25) < 0.05 for place in range(4))


def test_ids_are_unique_over_splits(videos: list[NeedleVideo]) -> None:
    ids = [q.id for v in videos for q in v.questions]
    assert len(set(ids)) == len(ids)


def seen(script: VideoScript, scene_name: str) -> list[tuple[str, float]]:
    """What someone who looks at every frame of a scene writes down: card colours and when each came on."""
    notes: list[tuple[str, float]] = []
    was_on = None
    for number in range(round(script.duration_seconds * 24)):
        card = script.card_at(number / 24) if script.scene_at(number / 24).color == scene_name else None
        if card is not None and card != was_on:
            notes.append((card.color, number / 24))
        was_on = card
    return notes


@pytest.mark.parametrize("task", FAMILIES)
def test_watching_every_frame_gives_the_right_option(videos: list[NeedleVideo], task: str) -> None:
    for script, question in questions_of(videos[:12], task):
        answer = question.options[question.answer_index]
        cards = [
            color
            for color, _ in seen(script, next(s.color for s in script.scenes if f" {s.color} scene" in question.text))
        ]
        match task:
            case "appears":
                expected = {cards[0]}
            case "first":
                expected = {cards[0]}
            case "count":
                expected = {str(len(cards))}
            case "change":
                expected = {f"{cards[0]} to {cards[1]}"}
                assert f"{cards[1]} to {cards[0]}" in question.options
            case _:
                expected = {cards[1]}
                assert f"the {cards[0]} one" in question.text
                assert cards[0] not in question.options
        assert {answer} == expected


def test_overview_gives_the_controls_right_option(videos: list[NeedleVideo]) -> None:
    for script, question in questions_of(videos, "control"):
        looked = [script.scene_at(t).color for t in script.overview_timestamps_seconds]
        order = list(dict.fromkeys(looked))
        if "last" in question.text:
            expected = order[-1]
        else:
            named = next(color for color in order if f"the {color} scene" in question.text)
            expected = order[order.index(named) + 1]
        assert question.options[question.answer_index] == expected


def test_difficulty_grows_as_the_shortest_event_shrinks(videos: list[NeedleVideo]) -> None:
    for script, question in ((v.script, q) for v in videos for q in v.questions if q.task != "control"):
        shortest = min(s.duration_seconds for s in question.evidence)
        misses_possible = shortest < script.overview_spacing_seconds / ZOOM_FRAMES
        assert (question.difficulty == "hard") == misses_possible
