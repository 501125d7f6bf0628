"""What the published VideoZoomer reward pays for: its multiple-choice grader, its format rule, its count of zooms.

Pure functions of the policy's turns, after the public description of their behaviour (release 5638153), flaws included:
an answer is found in the thinking, "USB." means B, and a zoom that showed nothing earns as much as any other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .published_clip import find_zoom

__all__ = [
    "ZoomsAttempted",
    "candidate_answer",
    "count_zooms",
    "is_format_right",
    "is_right_choice",
]

_LETTER: Final = re.compile(r"[A-Z]\.")
_BOXED: Final = "\\boxed{"


def candidate_answer(turns: Iterable[str]) -> str:
    """What is graded: what follows the last `<answer>`, up to its end; the whole conversation when there is no tag."""
    text = " ".join(turns)
    start = text.rfind("<answer>")
    if start < 0:
        return text
    start += len("<answer>")
    end = text.find("</answer>", start)
    return text[start:] if end < 0 else text[start:end]


def is_right_choice(candidate: str, letter: str) -> bool:
    r"""Whether a candidate counts as an option: it is the letter, or its last `\boxed{}` is, or its last `X.` is.

    Args:
        candidate: as `candidate_answer` returns it.
        letter: the right option's letter; one full stop after it is forgiven.
    """
    truth = letter.removesuffix(".")
    if candidate.strip() == truth or _last_boxed(candidate) == truth:
        return True
    letters = _LETTER.findall(candidate)
    return bool(letters) and letters[-1].removesuffix(".") == truth


def _last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{}`, None without one."""
    start = text.rfind(_BOXED)
    end = text.find("}", start)
    return text[start + len(_BOXED) : end].strip() if 0 <= start < end else None


@dataclass(frozen=True, slots=True)
class ZoomsAttempted:
    """How many zooms an episode attempted, and how many frames the legal ones asked for; these may be negative."""

    count: int
    frames: int


def count_zooms(turns: Iterable[str], most_frames: int) -> ZoomsAttempted:
    """The attempts at a zoom, up to and with the first one that is not in the form that `is_format_right` wants.

    Args:
        turns: the policy's replies.
        most_frames: frames that a zoom may ask for.
    """
    count = frames = 0
    for turn in turns:
        body = find_zoom(turn)
        if body is None:
            continue
        count += 1
        if not _is_zoom_right(turn.strip(), most_frames):
            break
        frames += _requested(body) or 0
    return ZoomsAttempted(count, frames)


def is_format_right(turns: Sequence[str], most_frames: int) -> bool:
    """Whether every turn has the form that the format reward wants: thinking, then a zoom; in the last one an answer.

    Args:
        turns: the policy's replies.
        most_frames: frames that a zoom may ask for.
    """
    if not turns:
        return False
    # A single turn is stripped first; the last of several is not, so that a newline before its thought fails it.
    last = turns[-1].strip() if len(turns) == 1 else turns[-1].removesuffix("\n")
    return _is_final_right(last) and all(_is_zoom_right(turn.strip(), most_frames) for turn in turns[:-1])


def _is_final_right(turn: str) -> bool:
    """Thinking, then exactly one answer at the very end, and no zoom."""
    return (
        turn.startswith("<think>")
        and turn.endswith("</answer>")
        and -1 < turn.find("</think>") < turn.find("<answer>")
        and turn.count("<answer>") == turn.count("</answer>") == 1
        and "<video_zoom>" not in turn
    )


def _is_zoom_right(turn: str, most_frames: int) -> bool:
    """Thinking, then exactly one zoom at the very end, of readable JSON and not too many frames, and no answer."""
    body = find_zoom(turn)
    return (
        turn.startswith("<think>")
        and turn.endswith("</video_zoom>")
        and -1 < turn.find("</think>") < turn.find("<video_zoom>")
        and turn.count("<video_zoom>") == turn.count("</video_zoom>") == 1
        and "<answer>" not in turn
        and "</answer>" not in turn
        and (frames := _requested(body)) is not None
        and frames <= most_frames
    )


def _requested(body: str | None) -> int | None:
    """Frames that the inside of a zoom asks for; unlike the tool, this reader takes JSON on several lines."""
    try:
        value: Any = json.loads(body or "")
        start, end = value["segment"][0], value["segment"][1]
        return int(float(value["fps"]) * (float(end) - float(start)))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError):
        return None
