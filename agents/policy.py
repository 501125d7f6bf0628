"""The Policy protocol: what turns observations into action texts, and how any callable becomes one.

A policy needs one method, `act(observations) -> actions`. It may add, and is asked for through the functions here:

- `name: str`, shown in tables (default: the class or function name);
- `reads_key: bool`, True for a policy that sees the answer key, which every report marks as cheating;
- `fingerprint: str`, changes whenever the policy could act differently (default: a hash of its source code), so that
  an evaluation never reuses the results of other weights or of an older version of the code;
- `batch_size: int`, how many episodes it likes to play side by side (default 1);
- `needs_frames: bool`, False for a policy that reads the text alone, which spares it the pixels (default True);
- `budget_for(budget) -> Budget`, a budget of its own in place of the environment's (uniform sampling wants one);
- `wrap_env(env) -> env`, an environment of its own around the one it is given, which is what it then plays in;
- `rules: dict[str, str]`, what a description of its runs says otherwise, such as of prompts;
- `run_episodes(envs, episode_ids, seeds) -> list[Trajectory]`, for a policy that keeps state over the turns of an
  episode, such as a language model with its key-value cache; the three sequences have one length.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from vz_env.episode import Episode
from vz_env.errors import ConfigError

if TYPE_CHECKING:
    from vz_env.budget import Budget

__all__ = [
    "FunctionPolicy",
    "Observation",
    "PastTurn",
    "Policy",
    "SeenTurn",
    "as_policy",
    "batch_size",
    "budget_for",
    "fingerprint",
    "load_policy",
    "needs_frames",
    "policy_name",
    "reads_key",
    "wrap_env",
]


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A turn that is over: the text that was shown and the action it got."""

    observation_text: str
    action: str


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SeenTurn(PastTurn):
    """A turn that is over, with its frames: uint8 (n, height, width, 3), and float64 (n,) in seconds.

    Rollouts keep no frames of earlier turns; a policy that takes over from another one in mid-episode is given them.
    """

    frames: NDArray[np.uint8]
    timestamps: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Observation:
    """What a policy sees before one action.

    `text` alone is complete for a text-only policy; `frames` is uint8 (n, height, width, 3) and `timestamps` float64
    (n,) in seconds, both of this turn; `budget` says what is left (`turns`, `zooms`, `frames`, and `frames_per_zoom` of
    the next zoom); `turn` counts from 0; `history` holds the earlier turns, oldest first.
    """

    text: str
    frames: NDArray[np.uint8]
    timestamps: NDArray[np.float64]
    budget: Mapping[str, int]
    episode: Episode
    turn: int = 0
    history: tuple[PastTurn, ...] = ()

    def __repr__(self) -> str:
        """Show shapes and the first line, not the pixels."""
        first = self.text.partition("\n")[0]
        return f"Observation({self.episode.id!r}, turn={self.turn}, frames={self.frames.shape}, text={first!r}...)"

    @property
    def all_text(self) -> str:
        """Every text shown so far, oldest first, joined by newlines."""
        return "\n".join([*(past.observation_text for past in self.history), self.text])

    def frames_granted(self, wanted: int) -> int:
        """How many of the wanted frames the next zoom may show, where zooms are left."""
        return min(wanted, self.budget["frames"], self.budget.get("frames_per_zoom", wanted))


@runtime_checkable
class Policy(Protocol):
    """Anything that answers a batch of observations, each from its own episode, with one action text each."""

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Return one action text for each observation, in the same order."""
        ...


class FunctionPolicy:
    """A plain function from one observation to an action text, as a policy."""

    def __init__(self, function: Callable[[Observation], str]) -> None:
        """Wrap `function`; its name becomes the policy's."""
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Call the function on each observation."""
        return [self.function(observation) for observation in observations]


def as_policy(source: Any) -> Policy:
    """Make a policy of a policy, of a class to be built without arguments, or of a function of one observation.

    Raises:
        ConfigError: the object is none of these, or its class cannot be built without arguments.
    """
    if inspect.isclass(source):
        try:
            return as_policy(source())
        except TypeError as fault:
            raise ConfigError(f"policy {source.__qualname__} cannot be built without arguments: {fault}") from fault
    if isinstance(source, Policy):
        return source
    if callable(source):
        return FunctionPolicy(source)
    raise ConfigError(
        "wanted a policy (an object with act(observations), or a function of one observation), "
        f"got {type(source).__name__}"
    )


def load_policy(spec: str, **kwargs: Any) -> Policy:
    """Import `package.module:Name` and make a policy of it.

    Args:
        spec: where the policy lies.
        **kwargs: passed to `Name`, which is then called as a class or a factory.

    Raises:
        ConfigError: the module or the name does not exist, or what it holds cannot become a policy.
    """
    module_name, colon, name = spec.partition(":")
    if not (module_name and colon and name):
        raise ConfigError(f"wanted a policy as package.module:Name, got {spec!r}")
    try:
        source = getattr(importlib.import_module(module_name), name)
    except ImportError as fault:
        raise ConfigError(f"policy {spec!r}: the module cannot be imported: {fault}") from fault
    except AttributeError as fault:
        raise ConfigError(f"policy {spec!r}: module {module_name} has no {name}") from fault
    if not kwargs:
        return as_policy(source)
    try:
        return as_policy(source(**kwargs))
    except TypeError as fault:
        raise ConfigError(f"policy {spec!r} does not take the arguments {sorted(kwargs)}: {fault}") from fault


def policy_name(policy: Policy) -> str:
    """The name that tables and records show."""
    return str(getattr(policy, "name", "") or type(policy).__name__)


def reads_key(policy: Policy) -> bool:
    """Whether the policy sees the answer key, that is: cheats, and says so."""
    return bool(getattr(policy, "reads_key", False))


def needs_frames(policy: Policy) -> bool:
    """Whether the policy looks at pixels, not at the text alone."""
    return bool(getattr(policy, "needs_frames", True))


def batch_size(policy: Policy) -> int:
    """How many episodes the policy likes to play side by side, at least 1."""
    return max(1, int(getattr(policy, "batch_size", 1)))


def budget_for(policy: Policy, budget: Budget) -> Budget:
    """The budget the policy plays with: its own where it states one, else the environment's."""
    own = getattr(policy, "budget_for", None)
    return own(budget) if own is not None else budget


def wrap_env(policy: Policy, env: gym.Env[Any, str]) -> gym.Env[Any, str]:
    """The environment the policy plays in: its own around the one given, where it states one."""
    own = getattr(policy, "wrap_env", None)
    return own(env) if own is not None else env


def fingerprint(policy: Policy) -> str:
    """A text that changes whenever the policy could act differently: its own, else a hash of its source code."""
    own = getattr(policy, "fingerprint", None)
    if own is not None:
        return str(own)
    subject = policy.function if isinstance(policy, FunctionPolicy) else type(policy)
    try:
        source = inspect.getsource(subject)
    except (OSError, TypeError):  # typed into a prompt, or compiled: the qualified name is all there is
        source = f"{getattr(subject, '__module__', '')}.{getattr(subject, '__qualname__', repr(type(subject)))}"
    return hashlib.sha256(source.encode("utf-8", "backslashreplace")).hexdigest()[:16]
