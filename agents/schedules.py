"""Learning rates over a run: a rise, and a fall along a line or a cosine. Pure functions of how far the run is.

A rate that is a function of the step alone is the same after a resume, without anything about it in a checkpoint.
"""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

from vz_env.errors import ConfigError

__all__ = ["FLOOR", "Schedule", "rate_scale"]

Schedule = Literal["constant", "linear", "cosine"]

FLOOR: Final = 0.02
"""What a falling rate ends at: a share of the highest."""


def rate_scale(schedule: Schedule, done: float, *, rise: float = 1.0) -> float:
    """What share of the highest learning rate is taken: the lower of a rise and of the schedule's fall.

    Args:
        schedule: constant; linear; or cosine, half a period of it (Loshchilov and Hutter 2017, arXiv 1608.03983,
            without restarts). The last two fall from 1 to `FLOOR`.
        done: share of the run that is done, in [0, 1]; what lies outside counts as the nearer end.
        rise: how far a warm-up is; 1 or more: it is over, or there is none.

    Returns:
        In [0, 1].

    Raises:
        ConfigError: there is no such schedule.
    """
    done = min(1.0, max(0.0, done))
    if schedule == "constant":
        fall = 1.0
    elif schedule == "linear":
        fall = 1.0 - (1.0 - FLOOR) * done
    elif schedule == "cosine":
        fall = FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + math.cos(math.pi * done))
    else:
        raise ConfigError(f"a learning rate's schedule wants one of {', '.join(get_args(Schedule))}, got {schedule!r}")
    return max(0.0, min(rise, fall))
