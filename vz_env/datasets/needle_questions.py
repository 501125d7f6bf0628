"""The questions of a needle video: one a scene from its events, and one or two that the overview alone answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ..episode import Segment
from ..video.palette import VIVID
from .needle_config import NeedleConfig
from .needle_events import ZOOM_FRAMES
from .needle_scenes import draw_video
from .needle_script import Family, Scene, VideoScript, check_script

__all__ = ["Difficulty", "NeedleVideo", "Question", "needle_script"]

Difficulty = Literal["easy", "medium", "hard"]
OPTIONS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question with its answer; `evidence` are the events' segments (of a control: the scenes')."""

    id: str
    task: Family | Literal["control"]
    text: str
    options: tuple[str, ...]
    answer_index: int
    evidence: tuple[Segment, ...]
    difficulty: Difficulty
    scene_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedleVideo:
    """A script and the questions about it."""

    script: VideoScript
    questions: tuple[Question, ...]


def needle_script(config: NeedleConfig, split: str, index: int) -> NeedleVideo:
    """Everything there is to know about one needle video, without its pixels (about a millisecond).

    Args:
        config: the dataset's config.
        split: train, validation or test.
        index: 0 or more; may lie beyond the config's number of videos (scripts for a curriculum).

    Returns:
        the script (`scene_at(t)` and `card_at(t)` say what is on) and about eleven questions.

    Raises:
        ConfigError: an unknown split or a negative index.
        DatasetError: the drawn script breaks one of the promises (a fault of this module).
    """
    script, rng = draw_video(config, split, index)
    check_script(script)
    drafts = [_ask_scene(rng, script, number) for number in range(len(script.scenes))]
    drafts += _ask_controls(rng, script)
    questions = tuple(_finish(rng, script, number, draft) for number, draft in enumerate(drafts))
    return NeedleVideo(script=script, questions=questions)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A question before its options are shuffled: the right one, wrong ones in order of preference."""

    task: Family | Literal["control"]
    text: str
    right: str
    wrong: Sequence[str]
    evidence: tuple[Segment, ...]
    scene_index: int


def _ask_scene(rng: np.random.Generator, script: VideoScript, number: int) -> _Draft:
    """The question about one scene's events."""
    scene = script.scenes[number]
    shown = list(dict.fromkeys(card.color for card in scene.cards))
    near = {s.color for s in script.scenes[max(0, number - 1) : number + 2]}
    others = [str(c) for c in rng.permutation([c for c in VIVID if c not in near and c not in shown])]
    text, right, wrong = _word(scene, shown, others)
    return _Draft(scene.family, text, right, wrong, tuple(card.segment for card in scene.cards), number)


def _word(scene: Scene, shown: list[str], others: list[str]) -> tuple[str, str, list[str]]:
    """A family's text, its right option and its wrong ones."""
    name, first = scene.color, shown[0]
    match scene.family:
        case "appears":
            return f"In the {name} scene a card appears. Which colour is it?", first, others
        case "first":
            return f"In the {name} scene two cards appear. Which comes first?", first, [shown[1], *others]
        case "count":
            text = f"How many times does the {first} card appear in the {name} scene?"
            count = len(scene.cards)
            return text, str(count), [str(n) for n in range(1, OPTIONS + 1) if n != count]
        case "change":
            text = f"In the {name} scene a card changes colour. From what into what?"
            second = shown[1]
            wrong = [f"{second} to {first}", f"{first} to {others[0]}", f"{others[1]} to {second}"]
            return text, f"{first} to {second}", wrong
        case _:
            return f"In the {name} scene, which card is shown right after the {first} one?", shown[1], others


def _ask_controls(rng: np.random.Generator, script: VideoScript) -> list[_Draft]:
    """One or two questions about the order of scenes, which plain overview frames answer."""
    scenes, last = script.scenes, len(script.scenes) - 1
    spare = [str(c) for c in rng.permutation([c for c in VIVID if c not in {s.color for s in scenes}])]
    earlier = int(rng.integers(0, last))
    pair, following = scenes[earlier : earlier + 2], scenes[earlier + 1].color
    wrong = [str(c) for c in rng.permutation([s.color for s in scenes if s not in pair])] + spare
    text = f"Which scene comes right after the {pair[0].color} scene?"
    after = _Draft("control", text, following, wrong, tuple(s.segment for s in pair), earlier + 1)
    wrong = [str(c) for c in rng.permutation([s.color for s in scenes[:-1]])] + spare
    ending = _Draft("control", "Which scene is the last one?", scenes[-1].color, wrong, (scenes[-1].segment,), last)
    return [[after], [ending], [after, ending]][int(rng.integers(0, 3))]


def _finish(rng: np.random.Generator, script: VideoScript, number: int, draft: _Draft) -> Question:
    """Shuffle the options and give the question its name."""
    options = [draft.right, *draft.wrong[: OPTIONS - 1]]
    order = [int(i) for i in rng.permutation(len(options))]
    return Question(
        id=f"{script.video_id}-{number:02d}",
        task=draft.task,
        text=draft.text,
        options=tuple(options[i] for i in order),
        answer_index=order.index(0),
        evidence=draft.evidence,
        difficulty=_difficulty(script, draft),
        scene_index=draft.scene_index,
    )


def _difficulty(script: VideoScript, draft: _Draft) -> Difficulty:
    """How a question's shortest event compares with the frame spacing of a 16-frame zoom of one slot."""
    if draft.task == "control":
        return "easy"
    shortest = min(segment.duration_seconds for segment in draft.evidence)
    ratio = shortest * ZOOM_FRAMES / script.overview_spacing_seconds
    if ratio < 1.0:
        return "hard"
    return "medium" if ratio < 1.25 else "easy"
