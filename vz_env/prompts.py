"""The wording of every message the environment says, in one place, versioned and hashed.

A policy is trained on exactly these strings: a change of a single character changes `prompt_hash()` and wants a new
`PROMPT_VERSION`; so does one in the words beside frames and in what is said of mistakes, which other modules write.
The protocol `videozoomer` has a wording of its own. Functions take plain values, so that text can be written without a
video at hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from .action_types import PLAIN_GRAMMAR, Crop, Grammar
from .actions import InvalidAction, format_answer, format_number, format_subtitle_search, format_zoom
from .budget import Budget
from .episode import Segment

if TYPE_CHECKING:
    from .subtitles import SubtitleLine

__all__ = [
    "EPISODE_OVER",
    "PROMPT_VERSION",
    "error_message",
    "format_seconds",
    "frame_lines",
    "left_line",
    "option_letter",
    "overview_message",
    "prompt_hash",
    "search_message",
    "system_message",
    "zoom_lines",
    "zoom_message",
]

PROMPT_VERSION: Final = 2
"""2: the palette marks where the largest colour changes with `new`."""

EPISODE_OVER: Final = "Episode over."
"""The text of the observation that comes with the end of an episode."""


def format_seconds(seconds: float) -> str:
    """Write a time as `130s` or `130.62s`."""
    return f"{format_number(seconds)}s"


def option_letter(index: int) -> str:
    """The letter of an option: 0 -> A."""
    return chr(ord("A") + index)


def frame_lines(timestamps_seconds: Sequence[float], descriptions: Sequence[str]) -> list[str]:
    """One line a frame: `{time}: {description}`, or the time alone where there is no description."""
    return [
        f"{format_seconds(time)}: {words}" if words else format_seconds(time)
        for time, words in zip(timestamps_seconds, descriptions, strict=True)
    ]


def left_line(*, zooms_left: int, frames_per_zoom: int, extras: Sequence[str] = ()) -> str:
    """What may still be asked for; the last line of every message but the final one.

    Args:
        zooms_left: zooms that may still be made.
        frames_per_zoom: frames a zoom may return.
        extras: what else is left, of budgets and eyes that are off by default.
    """
    if zooms_left < 1:
        return ", ".join(["Left: no zooms", *extras]) if extras else "Left: no zooms, answer now"
    each = "1 zoom, {} frames" if zooms_left == 1 else f"{zooms_left} zooms, {{}} frames each"
    return ", ".join([f"Left: {each.format(frames_per_zoom)}", *extras])


def overview_message(
    *,
    question: str,
    options: Sequence[str],
    duration_seconds: float,
    timestamps_seconds: Sequence[float],
    descriptions: Sequence[str],
    zooms_left: int,
    frames_per_zoom: int,
    context_text: str = "",
    extras: Sequence[str] = (),
) -> str:
    """The first message of an episode: the question, the options, the video's length, the overview, what is left.

    Args:
        question: the question, without options in it.
        options: option texts without letters; empty when there are none.
        duration_seconds: length of the video.
        timestamps_seconds: times of the overview frames, n of them.
        descriptions: n descriptions, empty strings where there are none.
        zooms_left: zooms that may still be made.
        frames_per_zoom: frames a zoom may return.
        context_text: text that belongs to the question; left out when empty.
        extras: see `left_line`.

    Returns:
        The message, without a newline at its end.
    """
    lines = [f"Question: {question}"]
    lines += [f"{option_letter(index)}. {option}" for index, option in enumerate(options)]
    lines += [f"Context: {context_text}"] if context_text else []
    lines += [f"Video: {format_seconds(duration_seconds)}"]
    lines += frame_lines(timestamps_seconds, descriptions)
    lines += [left_line(zooms_left=zooms_left, frames_per_zoom=frames_per_zoom, extras=extras)]
    return "\n".join(lines)


def zoom_message(
    *,
    segment: Segment,
    timestamps_seconds: Sequence[float],
    descriptions: Sequence[str],
    zooms_left: int,
    frames_per_zoom: int,
    is_start_clamped: bool = False,
    is_end_clamped: bool = False,
) -> str:
    """The reply to one zoom: `zoom_lines`, then `left_line`; without a newline at its end."""
    lines = zoom_lines(
        segment=segment,
        timestamps_seconds=timestamps_seconds,
        descriptions=descriptions,
        is_start_clamped=is_start_clamped,
        is_end_clamped=is_end_clamped,
    )
    return "\n".join([*lines, left_line(zooms_left=zooms_left, frames_per_zoom=frames_per_zoom)])


def zoom_lines(
    *,
    segment: Segment,
    timestamps_seconds: Sequence[float],
    descriptions: Sequence[str],
    is_start_clamped: bool = False,
    is_end_clamped: bool = False,
    fixed_fps: float | None = None,
    crop: Crop | None = None,
) -> list[str]:
    """What a zoom showed: a line with the segment that was really shown, then a line a frame.

    Args:
        segment: the effective segment, after clamping.
        timestamps_seconds: times of the frames, n of them.
        descriptions: n descriptions, empty strings where there are none.
        is_start_clamped: whether the segment asked for began before the video.
        is_end_clamped: whether the segment asked for ended after the video.
        fixed_fps: the rate that the environment chose in place of the policy; None where the policy's stands.
        crop: the part of the picture that was shown; None for all of it.

    Returns:
        n + 1 lines.
    """
    head = f"Zoom {format_seconds(segment.start_seconds)} to {format_seconds(segment.end_seconds)}"
    clamped = [name for name, is_clamped in (("start", is_start_clamped), ("end", is_end_clamped)) if is_clamped]
    if clamped:
        head += f" (clamped to the {' and the '.join(clamped)} of the video)"
    if fixed_fps is not None:
        head += f" at {format_number(fixed_fps)} fps, which is fixed"
    if crop is not None:
        head += f", cropped to [{', '.join(map(format_number, crop))}]"
    return [head, *frame_lines(timestamps_seconds, descriptions)]


def search_message(
    *,
    words: str,
    lines: Sequence[SubtitleLine],
    found: int,
    zooms_left: int,
    frames_per_zoom: int,
    extras: Sequence[str] = (),
) -> str:
    """The reply to a search in the subtitles: how many lines were found, those that are shown, what is left.

    Args:
        words: what was looked for.
        lines: the lines shown, in order of time.
        found: how many were found in all.
        zooms_left: zooms that may still be made.
        frames_per_zoom: frames a zoom may return.
        extras: see `left_line`.

    Returns:
        The message, without a newline at its end.
    """
    count = f"{found} line{'s' * (found != 1)}" if found else "no line"
    head = f'Subtitles with "{words}": {count}' + (f", the first {len(lines)}" if len(lines) < found else "")
    spoken = [
        f"{format_seconds(line.start_seconds)} to {format_seconds(line.end_seconds)}: {' '.join(line.text.split())}"
        for line in lines
    ]
    left = left_line(zooms_left=zooms_left, frames_per_zoom=frames_per_zoom, extras=extras)
    return "\n".join([head, *spoken, left])


def error_message(invalid: InvalidAction, *, zooms_left: int, frames_per_zoom: int, extras: Sequence[str] = ()) -> str:
    """The reply to a mistake: its code, one sentence that says what is legal, what is left."""
    left = left_line(zooms_left=zooms_left, frames_per_zoom=frames_per_zoom, extras=extras)
    return f"Error {invalid.code}: {invalid.message}\n{left}"


def system_message(budget: Budget, grammar: Grammar = PLAIN_GRAMMAR) -> str:
    """The rules and the grammar, for chat models that have not been trained on them.

    Args:
        budget: the limits of the episode; without zooms the text does not speak of zooming.
        grammar: the eyes that are switched on; each adds a line.

    Returns:
        The message, without a newline at its end.
    """
    lines = [
        "You answer a question about a long video. First you get frames spread over the whole video, each with its "
        "time in seconds."
    ]
    if budget.max_zooms and budget.max_turns > 1:
        cap = budget.max_frames_per_zoom
        lines += [
            f"To see a part more closely, zoom into it (at most {min(budget.max_zooms, budget.max_turns - 1)} times):",
            '<video_zoom>{"segment":[start,end],"fps":n}</video_zoom>',
            "The start and the end are in seconds, fps is frames a second, and (end - start) * fps is from 1 to "
            f"{cap}. For example {format_zoom((130, 130 + cap / 2), 2)} shows {cap} frames.",
        ]
        lines += _eye_lines(grammar)
    lines += [
        "When you know the answer, give the letter of the option, or what the question asks for:",
        format_answer("B"),
        "You may think first, inside <think>...</think>. Then give exactly one action in a turn.",
    ]
    return "\n".join(lines)


def _eye_lines(grammar: Grammar) -> list[str]:
    """What the eyes that are switched on add to the rules."""
    lines = []
    if grammar.crop:
        lines.append(
            'A zoom may hold a third key, "crop":[x0,y0,x1,y1], to see only that part of the picture, in more detail; '
            "the four are fractions of its width and height from the top left."
        )
    if grammar.several_zooms:
        lines.append("You may give several zooms in one turn.")
    if grammar.subtitle_search:
        lines.append(f"To find what is said, search the subtitles: {format_subtitle_search('words')}")
    return lines


def prompt_hash(protocol: str = "strict", *, with_options: bool = False) -> str:
    """A short hash of everything a policy can be told, for logs and records: 16 hexadecimal digits.

    It covers the messages, the sentences of every mistake, the words of the palette, and the wording of the protocol.

    Args:
        protocol: whose wording.
        with_options: also hash what eyes, budgets and modes add that are off by default.
    """
    from .prompt_samples import wording_samples

    samples = [str(PROMPT_VERSION), *wording_samples(protocol, with_options=with_options)]
    return hashlib.sha256("\x00".join(samples).encode()).hexdigest()[:16]
