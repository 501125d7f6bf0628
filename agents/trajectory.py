"""What a rollout leaves behind: turns, outcome and, for token policies, the sampled tokens. One JSON line an episode.

A trajectory is append-only and holds what the policy saw and did, never the answer key. Sampled token ids are kept
verbatim and are never re-rendered from text: the trainer's log-probabilities are of these ids and no others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, Final

import numpy as np

from vz_env.errors import DatasetError

__all__ = ["SCHEMA_VERSION", "TokenRecord", "Trajectory", "TurnRecord", "as_plain", "status_of"]

SCHEMA_VERSION: Final = 1

_STATUS_OF_END: Final = {
    "answered": "answered",
    "out_of_turns": "out_of_budget",
    "exceeded": "out_of_budget",
    "invalid_limit": "invalid_limit",
    "stopped": "stopped",
}

_LOG_PROB_SLACK: Final = 1e-3  # a float32 log-softmax may come out a hair above zero


def status_of(end_reason: str) -> str:
    """Translate an environment's `info["end_reason"]` into a trajectory status.

    Raises:
        DatasetError: the reason is not one that an environment gives.
    """
    if end_reason not in _STATUS_OF_END:
        raise DatasetError(f"wanted an end reason out of {sorted(_STATUS_OF_END)}, got {end_reason!r}")
    return _STATUS_OF_END[end_reason]


@dataclass(slots=True, repr=False)
class TokenRecord:
    """An episode as one token sequence, prompt and observations included; four lists of equal length.

    `ids` are token ids; `mask` is 1 where the policy sampled the token and 0 where the environment wrote it;
    `log_probs` are the natural-log probabilities at sampling time in float32, 0.0 where nothing was sampled; `turn` is
    the number of the turn (from 0) that sampled the token, -1 where nothing was sampled.
    """

    ids: list[int] = field(default_factory=list)
    mask: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    turn: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    def __repr__(self) -> str:
        """Show sizes, not the tokens."""
        return f"TokenRecord({len(self)} tokens, {sum(self.mask)} sampled)"

    def observe(self, ids: list[int]) -> None:
        """Append tokens that the environment wrote."""
        self.ids += ids
        self.mask += [0] * len(ids)
        self.log_probs += [0.0] * len(ids)
        self.turn += [-1] * len(ids)

    def sample(self, token_id: int, log_prob: float, turn: int) -> None:
        """Append one token that the policy sampled in turn `turn`."""
        self.ids.append(token_id)
        self.mask.append(1)
        self.log_probs.append(log_prob)
        self.turn.append(turn)

    def check(self) -> None:
        """Refuse a record a trainer could not use.

        Raises:
            DatasetError: lists of different length, a mask that is not 0/1, a log-probability that is not finite or is
                positive, turns that go back, or an end that was not sampled.
        """
        lengths = {len(self.ids), len(self.mask), len(self.log_probs), len(self.turn)}
        if len(lengths) != 1:
            raise DatasetError(f"a token record wants four lists of one length, got lengths {sorted(lengths)}")
        if not set(self.mask) <= {0, 1}:
            raise DatasetError(f"a token record's mask wants 0 or 1, got {sorted(set(self.mask) - {0, 1})}")
        if self.mask and not self.mask[-1]:
            raise DatasetError("a token record wants to end on a sampled token: drop what the last action brought in")
        last_turn = 0
        for position, (mask, log_prob, turn) in enumerate(zip(self.mask, self.log_probs, self.turn, strict=True)):
            if not mask:
                if turn != -1 or log_prob != 0.0:
                    raise DatasetError(f"token {position} was not sampled, yet has turn {turn} and log_prob {log_prob}")
                continue
            if not (math.isfinite(log_prob) and log_prob <= _LOG_PROB_SLACK):
                raise DatasetError(f"token {position}: a log-probability wants to be finite and <= 0, got {log_prob}")
            if turn < last_turn:
                raise DatasetError(f"token {position}: turns must not go back, got turn {turn} after {last_turn}")
            last_turn = turn


@dataclass(slots=True, kw_only=True)
class TurnRecord:
    """One turn: what was observed, what the policy did, what came of it.

    `observation` is the text shown before the action and `timestamps` (seconds) are of the frames shown with it;
    `reward` and `info` are what the environment returned for the action.
    """

    observation: str
    timestamps: list[float]
    action: str
    reward: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Trajectory:
    """One episode as a policy went through it.

    `status` is `answered`, `out_of_budget`, `invalid_limit`, `stopped` (protocol `videozoomer`: a reply without an
    action) or `error:<type>`; `score` is in [0, 1], or None when the episode failed or cannot be graded offline;
    `reward` is the sum over turns; `metrics` are numbers by name (frames_used, zooms, invalid_actions, what `info` says
    of the evidence, reward terms); `error` is the message behind an `error:` status; `seconds` is wall-clock and takes
    no part in equality.
    """

    episode_id: str
    dataset: str = ""
    split: str = ""
    policy: str = ""
    seed: int = 0
    turns: list[TurnRecord] = field(default_factory=list)
    status: str = ""
    reward: float = 0.0
    score: float | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    tokens: TokenRecord | None = None
    error: str = ""
    seconds: float = field(default=0.0, compare=False)
    schema_version: int = SCHEMA_VERSION

    @property
    def is_error(self) -> bool:
        """Whether the infrastructure or the policy's own code failed: such an episode is never scored as wrong."""
        return self.status.startswith("error:")

    def to_json(self) -> str:
        """Write the trajectory as one line of ASCII JSON without a newline.

        ASCII escapes carry lone surrogates, which a model can well produce and UTF-8 cannot; NaN and infinities, which
        JSON cannot carry, become null.
        """
        return json.dumps(as_plain(asdict(self)), ensure_ascii=True, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes | Mapping[str, Any]) -> Trajectory:
        """Read what `to_json` wrote (or the mapping it decodes to).

        Raises:
            DatasetError: not JSON, another schema version, or fields that are missing or unknown.
        """
        try:
            record = dict(line) if isinstance(line, Mapping) else json.loads(line)
            if not isinstance(record, dict) or record.get("schema_version") != SCHEMA_VERSION:
                raise DatasetError(
                    f"wanted a trajectory of schema version {SCHEMA_VERSION}; write it again with this version"
                )
            record["turns"] = [TurnRecord(**turn) for turn in record.get("turns", [])]
            if record.get("tokens") is not None:
                record["tokens"] = TokenRecord(**record["tokens"])
            return cls(**record)
        except (ValueError, TypeError, RecursionError) as fault:
            if isinstance(fault, DatasetError):
                raise
            raise DatasetError(f"wanted a trajectory as one JSON object, got something else: {fault}") from fault


def as_plain(value: Any) -> Any:
    """Reduce a value to what JSON holds: numpy becomes Python, NaN and infinities become None, the rest its `str`."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(name): as_plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(inner) for inner in value]
    return value.as_posix() if isinstance(value, PurePath) else str(value)
