"""Repairing one wrong trajectory after another: replay what a student did, then let a teacher go on from there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vz_env.datasets.dataset import Dataset
from vz_env.env import VideoZoomEnv

from .policy import Observation, Policy, SeenTurn, batch_size, policy_name
from .rollout import EpisodeRun, ask
from .trajectory import TokenRecord, Trajectory

if TYPE_CHECKING:
    from .chat import ChatRenderer

__all__ = ["REFLECTION_REQUEST", "REFLECTION_TURN", "Repair", "Workshop", "first_own_turn", "is_request"]

REFLECTION_TURN: Final = "reflection_turn"
"""The metric of a trajectory that names the first turn which the teacher wrote."""

REFLECTION_REQUEST: Final = (
    "The search so far led to a wrong answer, which is left out. Find its flaw: a place that was not looked at, a "
    "place that does not matter, or something misread. Say the flaw in one short sentence inside <think>, and zoom "
    "once more, where it helps most. Answer in a later turn."
)
"""What the teacher is asked, below the message that the student saw last; it is in no record."""

_DESCRIBED: Final = re.compile(r"^(<frame\d+_time[\d.]+s>|[\d.]+s(?=:)):? .*$", re.MULTILINE)
"""A line of a frame with words behind its time."""
_FLAW: Final = re.compile(r"\s*<think>\s*[^\s<]")


def is_request(text: str) -> bool:
    """Whether a message asks for a reflection."""
    return text.endswith(REFLECTION_REQUEST)


def first_own_turn(trajectory: Trajectory) -> int:
    """The first turn that is an example to follow: 0, or where the teacher took over."""
    return int(trajectory.metrics.get(REFLECTION_TURN) or 0)


class Repair:
    """One wrong trajectory under repair."""

    def __init__(self, student: Trajectory, env: VideoZoomEnv, teacher: str) -> None:
        self.student, self.reason = student, ""
        self.first = len(student.turns) - 1  # of the wrong answer, which the teacher writes anew
        self.sights: list[tuple[NDArray[np.uint8], NDArray[np.float64]]] = []  # frames and times, a turn each
        name = f"{student.policy}+{teacher}"
        self.run = EpisodeRun(env, policy=name, episode_id=student.episode_id, seed=student.seed)

    def replay(self) -> None:
        """Do again what the student did, up to its answer."""
        self.run.reset()
        for turn in self.student.turns[: self.first]:
            if not self._shows(turn.observation):
                return
            self.run.step(turn.action)
        if self._shows(self.student.turns[self.first].observation):
            left = self.run.observation.budget if self.run.observation is not None else {}
            self.reason = "" if left.get("zooms", 0) >= 1 and left.get("turns", 0) >= 2 else "no_budget"

    def _shows(self, text: str) -> bool:
        seen = self.run.observation
        # The teacher may be told words that the student was not: then all but these must be as it was.
        if seen is None or text not in (seen.text, _DESCRIBED.sub(r"\1", seen.text)):
            self.reason = "" if self.run.trajectory.is_error else "replay_differs"
            return False
        self.sights.append((seen.frames, seen.timestamps))
        return True

    @property
    def is_open(self) -> bool:
        """Whether the teacher is to act."""
        return not self.reason and self.run.observation is not None

    def view(self) -> Observation:
        """What the teacher sees: everything, with the request below the message at which it took over."""
        seen = self.run.observation
        assert seen is not None, "only open repairs are looked at"  # noqa: S101 - a fact, not input
        if len(self.sights) == len(seen.history):
            self.sights.append((seen.frames, seen.timestamps))
        history = tuple(
            SeenTurn(
                _asked(past.observation_text) if turn == self.first else past.observation_text, past.action, *sight
            )
            for turn, (past, sight) in enumerate(zip(seen.history, self.sights, strict=False))
        )
        text = _asked(seen.text) if len(seen.history) == self.first else seen.text
        return replace(seen, text=text, history=history)

    def finish(self, chat: ChatRenderer | None) -> tuple[Trajectory, str]:
        """The record, and why it is left out; empty when it is kept."""
        sampled = self.student.tokens
        repaired = self.run.finish()
        repaired.metrics[REFLECTION_TURN] = float(self.first)
        reason = self.reason or _flaw_of(repaired, self.first)
        if not reason and sampled is not None and chat is not None:
            repaired.tokens = _join(sampled, repaired, self.first, chat)
        return repaired, reason


class Workshop:
    """Repairs many trajectories, side by side where the teacher likes that."""

    def __init__(
        self, dataset: Dataset, teacher: Policy, chat: ChatRenderer | None, options: dict[str, Any], workers: int
    ) -> None:
        self.dataset, self.teacher, self.chat, self.options, self.workers = dataset, teacher, chat, options, workers

    def repair(self, waiting: Sequence[Trajectory]) -> Iterator[tuple[Trajectory, Trajectory, str]]:
        """Yield each with its repair and the reason it is left out for."""
        lanes = max(self.workers, batch_size(self.teacher))
        envs = [VideoZoomEnv(self.dataset, **self.options) for _ in range(min(lanes, len(waiting)))]
        try:
            with ThreadPoolExecutor(max_workers=self.workers, thread_name_prefix="repair") as pool:
                for start in range(0, len(waiting), lanes):
                    group = [
                        Repair(student, env, policy_name(self.teacher))
                        for student, env in zip(waiting[start : start + lanes], envs, strict=False)
                    ]
                    list(pool.map(Repair.replay, group))
                    while alive := [repair for repair in group if repair.is_open]:
                        self._act(alive, pool)
                    yield from ((repair.student, *repair.finish(self.chat)) for repair in group)
        finally:
            for env in envs:
                env.close()

    def _act(self, alive: list[Repair], pool: ThreadPoolExecutor) -> None:
        replies = ask(self.teacher, [repair.view() for repair in alive])
        told = []
        for repair, reply in zip(alive, replies, strict=True):
            if isinstance(reply, Exception):
                repair.run.fail(reply, source="the teacher failed")
            else:
                told.append((repair.run, reply))
        list(pool.map(lambda pair: pair[0].step(pair[1]), told))


def _asked(text: str) -> str:
    return f"{text}\n\n{REFLECTION_REQUEST}"


def _flaw_of(repaired: Trajectory, first: int) -> str:
    """Why a repair is left out; empty when it is kept."""
    if repaired.is_error:
        return repaired.status
    own = repaired.turns[first:]
    faults = {
        "invalid_action": any(turn.info.get("action") == "invalid" for turn in own),
        "no_flaw": not _FLAW.match(own[0].action),
        "no_new_look": not any(turn.info.get("action") == "zoom" and turn.info.get("frames_new") for turn in own),
        "out_of_budget": repaired.status != "answered",
        "wrong_answer": repaired.score != 1.0,
    }
    return next((reason for reason, is_found in faults.items() if is_found), "")


def _join(sampled: TokenRecord, repaired: Trajectory, first: int, chat: ChatRenderer) -> TokenRecord:
    """The student's tokens up to where its wrong answer began, verbatim; then the teacher's words and their replies."""
    cut = next(position for position, turn in enumerate(sampled.turn) if turn == first)
    columns = (sampled.ids, sampled.mask, sampled.log_probs, sampled.turn)
    tokens = TokenRecord(*(column[:cut] for column in columns))
    for number, turn in enumerate(repaired.turns[first:], first):
        if number > first:
            tokens.observe(chat.next(turn.observation))
        for token_id in chat.reply_ids(turn.action):
            tokens.sample(token_id, 0.0, number)
    return tokens
