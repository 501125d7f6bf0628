"""How an episode is played: `strict`, the default, and `videozoomer`, which agrees with the published system."""

from __future__ import annotations

from typing import Final

from ..action_types import Grammar
from ..errors import ConfigError
from .base import Decision, Protocol, Stop
from .published import PublishedProtocol
from .strict import StrictProtocol

__all__ = [
    "PROTOCOLS",
    "ZOOM_MODES",
    "Decision",
    "Protocol",
    "PublishedProtocol",
    "Stop",
    "StrictProtocol",
    "as_protocol",
]

PROTOCOLS: Final = ("strict", "videozoomer")
ZOOM_MODES: Final = ("free", "forced", "forbidden")


def as_protocol(name: str, *, grammar: Grammar, zoom_mode: str, zoom_fps: float | None) -> Protocol:
    """The protocol of a name.

    Args:
        name: one of `PROTOCOLS`.
        grammar: the eyes that are switched on; the published protocol has none.
        zoom_mode: one of `ZOOM_MODES`.
        zoom_fps: the rate of every zoom whatever is asked for; None to do as asked.

    Raises:
        ConfigError: an unknown name or mode, a rate that is not positive, or eyes that the protocol does not have.
    """
    if zoom_mode not in ZOOM_MODES:
        raise ConfigError(f"zoom_mode must be one of {list(ZOOM_MODES)}, got {zoom_mode!r}")
    if zoom_fps is not None and not 0 < zoom_fps < float("inf"):
        raise ConfigError(f"zoom_fps must be positive and finite, or None, got {zoom_fps!r}")
    if name == "strict":
        return StrictProtocol(grammar=grammar, is_zoom_forced=zoom_mode == "forced", zoom_fps=zoom_fps)
    if name != "videozoomer":
        raise ConfigError(f"protocol must be one of {list(PROTOCOLS)}, got {name!r}")
    if grammar != Grammar():
        raise ConfigError("protocol 'videozoomer' knows none of the eyes: leave them out, or use protocol 'strict'")
    return PublishedProtocol(is_zoom_forced=zoom_mode == "forced", zoom_fps=zoom_fps)
