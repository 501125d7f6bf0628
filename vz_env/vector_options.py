"""What a caller may ask of a vector environment, read and checked before anything is done: resets, seeds, autoreset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from .errors import ConfigError

__all__ = ["ResetRequest", "as_autoreset_mode", "read_reset", "read_seeds", "shortened"]

_KNOWN: Final = {"episode_ids", "group_size", "reset_mask"}
_MODES: Final = (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED)
_MOST_SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResetRequest:
    """Which slots begin anew, and with what: `mask` bool (N,), N ids or None, slots in a group."""

    mask: NDArray[np.bool_]
    episode_ids: tuple[str | None, ...]
    group_size: int

    @property
    def leaders(self) -> list[int]:
        """Slots to reset whose episode is their own: the first of each group."""
        return [slot for slot in np.flatnonzero(self.mask).tolist() if slot % self.group_size == 0]

    @property
    def followers(self) -> list[int]:
        """Slots to reset that share the episode of their leader, unless they are given an id."""
        return [slot for slot in np.flatnonzero(self.mask).tolist() if slot % self.group_size]


def read_reset(options: Mapping[str, Any], *, num_envs: int, has_begun: bool) -> ResetRequest:
    """Read the options of `reset`.

    Args:
        options: `episode_ids`, `group_size`, `reset_mask`, each optional; left as they are.
        num_envs: slots.
        has_begun: whether every slot has had an episode.

    Raises:
        ConfigError: options that are unknown, of the wrong length, or that a first reset cannot have.
    """
    if unknown := set(options) - _KNOWN:
        raise ConfigError(f"reset options must be among {sorted(_KNOWN)}, got {sorted(unknown)}")
    mask = np.asarray(options.get("reset_mask", np.ones(num_envs, dtype=np.bool_)))
    if mask.shape != (num_envs,) or mask.dtype != np.bool_ or not mask.any():
        raise ConfigError(f"reset_mask wants {num_envs} booleans, one of them True, got {shortened(mask)}")
    if not has_begun and not mask.all():
        raise ConfigError("the first reset must be of all slots: leave reset_mask out")
    ids = options.get("episode_ids")
    if ids is not None and (isinstance(ids, str) or len(ids) != num_envs):
        raise ConfigError(f"episode_ids wants {num_envs} ids, one for each slot, got {shortened(ids)}")
    size = options.get("group_size", 1)
    if not isinstance(size, int) or size < 1 or num_envs % size:
        raise ConfigError(f"group_size must divide {num_envs} slots, got {size!r}")
    if size > 1 and (mask.reshape(-1, size) != mask[::size, None]).any():
        raise ConfigError(f"with group_size {size} a group is reset as a whole, got {shortened(mask)}")
    return ResetRequest(mask=mask, episode_ids=tuple(ids or [None] * num_envs), group_size=size)


def read_seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int | None]:
    """A seed, or None, for each slot: slot i gets `seed + i`, or the i-th of a sequence.

    Raises:
        ConfigError: a sequence of another length.
    """
    if seed is None:
        return [None] * num_envs
    if isinstance(seed, int | np.integer):
        return [int(seed) + slot for slot in range(num_envs)]
    if len(seed) != num_envs:
        raise ConfigError(f"wanted one seed, or {num_envs}, one for each slot, got {len(seed)}")
    return list(seed)


def as_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Read an autoreset mode by member, name or value.

    Raises:
        ConfigError: no such mode, or `NextStep`, which is not supported.
    """
    for member in _MODES:
        if mode in (member, member.value, member.name):
            return member
    raise ConfigError(f"autoreset_mode must be one of {[member.value for member in _MODES]}, got {mode!r}")


def shortened(value: Any) -> str:
    """A value as an error shows it: its first 200 characters."""
    text = repr(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
