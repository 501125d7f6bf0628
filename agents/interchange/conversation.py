"""A trajectory as messages with pictures between pieces of their text: what every format here is written from.

Where a picture stands is read off the lines that the environment wrote for its frames, so that a picture follows its
timestamp. A record says in `extra_info` where it comes from, with the exact times and rewards; trainers ignore that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vz_env.errors import DatasetError
from vz_env.prompts import format_seconds

from ..repairs import REFLECTION_TURN, first_own_turn
from ..trajectory import Trajectory, TurnRecord, as_plain
from .escaping import IMAGE, escape_tokens, unescape_tokens

__all__ = ["Message", "conversation_of", "cut_at_frames", "extra_info", "read_record", "sharegpt_record"]

_LABELLED: Final = re.compile(r"(?:^|\n)(?:<frame\d+_time([\d.]+)s>|([\d.]+)s(?:: [^\n]*)?)\Z")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `texts` has one piece more than there are `images`: these stand between the pieces, in order.

    Texts are as the environment and the policy wrote them; who writes a format escapes them.
    """

    role: str
    texts: tuple[str, ...]
    images: tuple[str, ...] = ()

    @property
    def content(self) -> str:
        """The text with placeholders, in which no other text can be one."""
        return IMAGE.join(map(escape_tokens, self.texts))


def conversation_of(trajectory: Trajectory, images: Sequence[Sequence[str]], *, system: str = "") -> list[Message]:
    """Lay a trajectory out as messages.

    Args:
        trajectory: one without an error.
        images: for each turn the paths of its frames, as many as it has timestamps.
        system: the rules of the game; no such message when empty.

    Raises:
        DatasetError: no turns, or pictures that are not as many as the frames.
    """
    if not trajectory.turns or len(images) != len(trajectory.turns):
        raise DatasetError(
            f"{trajectory.episode_id}: wanted pictures for each of its turns (at least one), got "
            f"{len(trajectory.turns)} turns and pictures for {len(images)}"
        )
    messages = [Message("system", (system,))] if system else []
    for turn, paths in zip(trajectory.turns, images, strict=True):
        if len(paths) != len(turn.timestamps):
            raise DatasetError(
                f"{trajectory.episode_id}: wanted a picture for each of {len(turn.timestamps)} frames, got {len(paths)}"
            )
        messages += [
            Message("user", cut_at_frames(turn.observation, turn.timestamps), tuple(paths)),
            Message("assistant", (turn.action,)),
        ]
    return messages


def cut_at_frames(text: str, timestamps: Sequence[float]) -> tuple[str, ...]:
    """Cut a message of the environment behind every frame's line, so that pictures can go between the pieces.

    Returns:
        One piece more than there are timestamps; all cuts are at the start where the lines are not to be found.
    """
    cuts = _published_cuts(text, timestamps) or _strict_cuts(text, timestamps) or [0] * len(timestamps)
    return tuple(text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))


def _published_cuts(text: str, timestamps: Sequence[float]) -> list[int]:
    """Behind the labels of the protocol `videozoomer`, which stand before the question."""
    cuts, place = [], 0
    for number, time in enumerate(timestamps):
        label = f"<frame{number}_time{time:.2f}s>"
        found = text.find(label, place)
        if found < 0:
            return []
        place = found + len(label)
        cuts.append(place)
    return cuts


def _strict_cuts(text: str, timestamps: Sequence[float]) -> list[int]:
    """At the ends of the frames' lines, looked for from the last line up: the question stands before them."""
    cuts: list[int] = []
    times, end = list(timestamps), len(text)
    for line in reversed(text.split("\n")):
        if times and (line == (time := format_seconds(times[-1])) or line.startswith(f"{time}: ")):
            times.pop()
            cuts.append(end)
        end -= len(line) + 1
    return [] if times else cuts[::-1]


def extra_info(trajectory: Trajectory) -> dict[str, Any]:
    """Where a record comes from; the same fields of the same types in every record, as tables want it."""
    return {
        "episode_id": trajectory.episode_id,
        "dataset": trajectory.dataset,
        "split": trajectory.split,
        "policy": trajectory.policy,
        "seed": trajectory.seed,
        "status": trajectory.status,
        "score": as_plain(trajectory.score),
        REFLECTION_TURN: first_own_turn(trajectory),
        "rewards": [float(turn.reward) for turn in trajectory.turns],
        "timestamps": [[float(time) for time in turn.timestamps] for turn in trajectory.turns],
    }


def sharegpt_record(trajectory: Trajectory, messages: Sequence[Message]) -> dict[str, Any]:
    """Messages of role and content, the pictures of all of them in one list."""
    return {
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "images": [path for message in messages for path in message.images],
        "extra_info": extra_info(trajectory),
    }


def read_record(record: Any, *, name: str) -> Trajectory:
    """Make a trajectory of messages with placeholders; the pictures' paths go into each turn's `info["images"]`.

    What the record does not say stays empty: times that no label before the picture tells, a score, a dataset.

    Args:
        record: what `sharegpt_record` or a trainer of that format wrote.
        name: the episode's id where the record states none.

    Raises:
        DatasetError: other roles than user and assistant in turn (and a system message before them), or placeholders
            that are not as many as the pictures.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("messages"), list):
        raise DatasetError(f"{name}: wanted an object with a list of messages, got {record!r:.60}")
    images = record.get("images") or []
    pairs = [_message(message, name) for message in record["messages"]]
    if pairs and pairs[0][0] == "system":
        pairs = pairs[1:]
    if [role for role, _ in pairs] != ["user", "assistant"] * (len(pairs) // 2) or not pairs:
        raise DatasetError(f"{name}: wanted user and assistant in turn, got {[role for role, _ in pairs]!r:.120}")
    wanted = sum(content.count(IMAGE) for role, content in pairs if role == "user")
    if not isinstance(images, list) or not all(isinstance(path, str) for path in images) or wanted != len(images):
        raise DatasetError(f"{name}: wanted a path for each of {wanted} placeholders {IMAGE}, got {images!r:.120}")
    waiting = iter(images)
    turns = []
    for (_, content), (_, action) in zip(pairs[::2], pairs[1::2], strict=True):
        pieces = [unescape_tokens(piece) for piece in content.split(IMAGE)]
        paths = [next(waiting) for _ in pieces[1:]]
        text = "".join(pieces)
        turn = TurnRecord(observation=text, timestamps=_times(pieces), action=unescape_tokens(action))
        turn.info = {"images": paths} if paths else {}
        turns.append(turn)
    return _described(turns, record.get("extra_info"), name)


def _message(message: Any, name: str) -> tuple[str, str]:
    if not isinstance(message, Mapping) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
        raise DatasetError(f"{name}: wanted messages of a role and a content, both texts, got {message!r:.80}")
    return message["role"], message["content"]


def _times(pieces: Sequence[str]) -> list[float]:
    """The times that the labels before the pictures tell; none unless each of them does."""
    found = [_LABELLED.search(piece) for piece in pieces[:-1]]
    try:
        return [float(match[1] or match[2]) for match in found if match is not None] if all(found) else []
    except ValueError:
        return []


def _described(turns: list[TurnRecord], extra: Any, name: str) -> Trajectory:
    """Add what `extra_info` says, where it is of ours and fits the turns."""
    is_answered = "<answer>" in turns[-1].action
    trajectory = Trajectory(episode_id=name, turns=turns, status="answered" if is_answered else "stopped")
    if not isinstance(extra, Mapping):
        return trajectory
    for field in ("episode_id", "dataset", "split", "policy", "status"):
        if isinstance(extra.get(field), str) and extra[field]:
            setattr(trajectory, field, extra[field])
    if isinstance(extra.get("seed"), int) and extra["seed"] >= 0:
        trajectory.seed = extra["seed"]
    if isinstance(extra.get("score"), int | float):
        trajectory.score = float(extra["score"])
    first = extra.get(REFLECTION_TURN)
    if isinstance(first, int) and 0 < first < len(turns):
        trajectory.metrics[REFLECTION_TURN] = float(first)
    for turn, times in zip(turns, extra.get("timestamps") or [], strict=False):
        if isinstance(times, list) and len(times) == len(turn.info.get("images", ())):
            turn.timestamps = [float(time) for time in times]
    for turn, reward in zip(turns, extra.get("rewards") or [], strict=False):
        turn.reward = float(reward)
    trajectory.reward = sum(turn.reward for turn in turns)
    return trajectory
