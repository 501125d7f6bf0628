"""A service that is shown a run besides the run's own files: Weights & Biases, where it is asked for, and nothing else.

`learning_curve.jsonl` and `tensorboard/` are the record of a run; a tracker is told the same and never relied on. What
keeps it from starting is an error before any work is done; what goes wrong later is said once, the tracker is told no
more, and the run goes on. It is sent scalars, the configuration, and the trajectories that are shown: no code, no
command line, no console, no list of packages, and no address of a teacher's server, which may hold a password. Of the
machine it hears what its client tells by itself: the platform, and the versions of Python and of the client.
"""

from __future__ import annotations

import html
import json
import logging
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vz_env.errors import ConfigError

__all__ = ["TRACKING_NAME", "NoTracker", "Track", "Tracker", "WandbTracker", "open_tracker"]

Track = Literal["", "wandb"]

TRACKING_NAME: Final = "tracking.json"
"""Holds the run's id at the service, in the run folder: the same command goes on with the same run there."""

PROJECT: Final = "vz-env"
_AXIS: Final = "iteration"
_CLOSED: Final = {
    **{"console": "off", "quiet": True, "disable_code": True, "disable_git": True, "x_save_requirements": False},
    **{"x_disable_meta": True, "x_disable_stats": True, "x_disable_machine_info": True, "host": ""},
}
"""Settings under which nothing is sent but what is handed over here."""
_LOG: Final = logging.getLogger(__name__)


class Tracker(Protocol):
    """What a run is shown to; used as a context, which closes it."""

    def scalars(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Show an iteration's metrics, by TensorBoard name."""

    def trajectory(self, iteration: int, text: str, sheets: Sequence[NDArray[np.uint8]]) -> None:
        """Show a trajectory: its transcript, and a picture a turn, (height, width, 3) each."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End; an error that ends the run is told as one."""


class NoTracker:
    """Shows nobody anything."""

    def scalars(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Show nothing."""

    def trajectory(self, iteration: int, text: str, sheets: Sequence[NDArray[np.uint8]]) -> None:
        """Show nothing."""

    def __enter__(self) -> Self:
        """Begin nothing."""
        return self

    def __exit__(self, *_: object) -> None:
        """End nothing."""


class WandbTracker:
    """A run at Weights & Biases; where and whether online is the service's own configuration (WANDB_MODE and so on)."""

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        """Begin the run of a run folder, or go on with it.

        Args:
            out: the run folder; the service's own files go to `wandb/` in it.
            config: as JSON holds it.

        Raises:
            ConfigError: the package is not installed, or the service does not let the run begin.
        """
        try:
            import wandb
            from wandb import Settings  # which a folder that happens to have that name does not hold
        except ImportError as fault:
            raise ConfigError("--track wandb wants the wandb extra: pip install 'vz-env[llm,wandb]'") from fault
        self._wandb, known = wandb, _run_id(out, "wandb")
        try:
            self._run: Any = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=out.name,
                id=known,
                resume="allow",
                dir=str(out),
                config=dict(config),
                allow_val_change=True,  # of the settings that may be changed for a run that goes on
                settings=Settings(**_CLOSED),
            )
            # The service's own steps only ever rise; a run that goes on repeats the iterations that a kill has cost it.
            self._run.define_metric(_AXIS, hidden=True)
            self._run.define_metric("*", step_metric=_AXIS)
        except (wandb.Error, OSError, ValueError) as fault:
            raise ConfigError(
                f"--track wandb cannot begin: {fault}; log in with `wandb login`, set WANDB_MODE=offline and "
                "`wandb sync` later, or leave --track out"
            ) from fault

    def scalars(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Show an iteration's metrics."""
        self._tell(lambda run: run.log({_AXIS: iteration, **metrics}))

    def trajectory(self, iteration: int, text: str, sheets: Sequence[NDArray[np.uint8]]) -> None:
        """Show a trajectory; its text is escaped, as a dataset's words may be markup."""

        def tell(run: Any) -> None:
            page = self._wandb.Html(f"<pre>{html.escape(text)}</pre>", data_is_not_path=True)
            shown = {"eval/trajectory": page}
            for number, sheet in enumerate(sheets, 1):
                shown[f"eval/trajectory_turn_{number}"] = self._wandb.Image(Image.fromarray(sheet))
            run.log({_AXIS: iteration, **shown})

        self._tell(tell)

    def __enter__(self) -> Self:
        """The run has begun."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Hand over what is left to send, and say how the run ended."""
        self._tell(lambda run: run.finish(exit_code=0 if kind is None else 1))

    def _tell(self, work: Callable[[Any], object]) -> None:
        if self._run is None:
            return
        try:
            work(self._run)
        except Exception as fault:  # noqa: BLE001 - whatever a tracker raises must not end the training
            self._run = None
            _LOG.warning(
                "wandb failed and is told no more of this run (%s: %s); training goes on, and learning_curve.jsonl and "
                "tensorboard/ hold all of it",
                type(fault).__name__,
                fault,
            )


def open_tracker(track: Track, out: Path, config: Mapping[str, Any]) -> Tracker:
    """Begin to track a run.

    Args:
        track: wandb; empty: nothing is imported, started or sent.
        out: the run folder.
        config: what the run was asked for, as JSON holds it.

    Raises:
        ConfigError: there is no such tracker, or it cannot begin.
    """
    if track not in get_args(Track):
        raise ConfigError(f"--track wants wandb, or nothing, got {track!r}")
    if not track:
        return NoTracker()
    return WandbTracker(out, {name: value for name, value in config.items() if name != "base_url"})


def _run_id(out: Path, service: str) -> str:
    """The run's id at a service: made once, and on the disk before the service hears of it.

    Raises:
        ConfigError: the file that holds it was altered.
    """
    path = out / TRACKING_NAME
    if not path.is_file():
        unfinished = path.with_name(f".unfinished-{TRACKING_NAME}")
        unfinished.write_text(json.dumps({service: uuid.uuid4().hex[:12]}) + "\n", encoding="ascii")
        unfinished.replace(path)
    try:
        return str(json.loads(path.read_text(encoding="ascii"))[service])
    except (ValueError, KeyError, TypeError) as fault:
        raise ConfigError(f"{path} holds no id of a {service} run: remove it, and a new run begins there") from fault
