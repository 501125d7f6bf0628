"""Stopping well: the first Ctrl-C or SIGTERM asks the work to end at its next good place, the second ends it now."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Final

__all__ = ["StopRequest"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """While the `with` block runs, signals set this flag instead of killing the process; works in the main thread only.

    Usage::

        with StopRequest() as stop:
            while not stop.is_set():
                work()
        return stop.exit_code(0)
    """

    def __init__(self) -> None:
        """Nothing is asked yet."""
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        """Take over SIGINT and SIGTERM."""
        self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def is_set(self) -> bool:
        """Whether somebody asked to stop."""
        return self.signal is not None

    def exit_code(self, otherwise: int) -> int:
        """130 after SIGINT, 143 after SIGTERM, as shells expect, else the code given."""
        return otherwise if self.signal is None else 128 + self.signal

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
