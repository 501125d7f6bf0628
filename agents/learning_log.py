"""What a training run tells while it runs: TensorBoard scalars, texts, pictures, and a learning curve as JSON lines.

A tracker, where there is one, is told what TensorBoard is, after it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from .tracking import NoTracker, Tracker
from .trajectory import Trajectory

__all__ = ["CURVE_NAME", "LearningLog", "read_curve", "transcript"]

CURVE_NAME: Final = "learning_curve.jsonl"

_CURVE_COLUMNS: Final = {
    "rollout/ep_rew_mean": "reward",
    "rollout/accuracy": "accuracy",
    "rollout/format": "format",
    "rollout/zooms": "zooms",
    "rollout/frames_used": "frames",
    "rollout/evidence_hit": "evidence_hit",
    "train/kl_to_reference": "kl",
    "train/entropy": "entropy",
    "eval/accuracy": "eval_accuracy",
}


class LearningLog:
    """Writes one run's metrics; opening it at an iteration drops what an interrupted run wrote after that."""

    def __init__(self, out: Path, *, iteration: int, tracker: Tracker | None = None) -> None:
        """Open the log of a run folder for `iteration` and later; a tracker is told too, and not closed."""
        self._path = out / CURVE_NAME
        kept = [row for row in read_curve(out) if row["iteration"] < iteration]
        out.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_name(f".unfinished-{CURVE_NAME}")
        unfinished.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="ascii")
        unfinished.replace(self._path)
        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=iteration)
        self._tracker = tracker or NoTracker()

    def scalars(self, iteration: int, episodes: int, metrics: Mapping[str, float]) -> None:
        """Write one iteration's metrics to TensorBoard and its row to the learning curve."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, iteration)
        row: dict[str, Any] = {"iteration": iteration, "episodes": episodes}
        row |= {column: round(metrics[name], 6) for name, column in _CURVE_COLUMNS.items() if name in metrics}
        with self._path.open("a", encoding="ascii") as curve:
            curve.write(json.dumps(row) + "\n")
            curve.flush()
            os.fsync(curve.fileno())
        self._tracker.scalars(iteration, metrics)

    def trajectory(self, iteration: int, trajectory: Trajectory, sheets: Sequence[NDArray[np.uint8]] = ()) -> None:
        """Show one whole trajectory: as text, and what each turn was shown as pictures.

        Args:
            iteration: of the training.
            trajectory: what was played.
            sheets: one picture a turn, uint8 (height, width, 3).
        """
        text = transcript(trajectory)
        self._writer.add_text("eval/trajectory", text, iteration)
        for number, sheet in enumerate(sheets, 1):
            self._writer.add_image(f"eval/trajectory_turn_{number}", sheet, iteration, dataformats="HWC")
        self._writer.flush()
        self._tracker.trajectory(iteration, text, sheets)

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


def read_curve(out: Path) -> list[dict[str, Any]]:
    """The rows of a run folder's learning curve; a last line that a crash cut short is left out."""
    path = out / CURVE_NAME
    rows = []
    for line in path.read_text(encoding="ascii").splitlines() if path.is_file() else ():
        try:
            rows.append(dict(json.loads(line)))
        except ValueError:
            break
    return rows


def transcript(trajectory: Trajectory) -> str:
    """A trajectory as Markdown: every turn's message and action verbatim, indented as code, and the outcome."""
    outcome = f"{trajectory.status}, score {trajectory.score}, reward {trajectory.reward:.2f}"
    parts = [f"**{trajectory.episode_id}** {outcome}"]
    for number, turn in enumerate(trajectory.turns, 1):
        parts.append(f"turn {number}, shown:\n\n" + _as_code(turn.observation))
        parts.append("the policy wrote:\n\n" + _as_code(turn.action))
    return "\n\n".join(parts)


def _as_code(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
