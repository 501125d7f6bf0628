"""The processes that train one model together: whose share is what, and what they tell one another.

Every process holds the whole model and works on its share of the questions by itself. Where they meet, each tells the
others what all must know to decide alike (rollouts without their pixels, sums), or that it failed, so that none waits
for one that will not come. A run of one process meets nobody, and needs no launcher.

Gradients are summed here, after the backward passes, and not by the hooks of DistributedDataParallel: those want as
many backward passes of every process, and one whose questions were all left out has none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object, reduce
from torch import Tensor

from vz_env.errors import VZError

__all__ = ["ALONE", "ProcessFailed", "Processes", "joined"]

_PATIENCE: Final = timedelta(days=1)  # the cold start is one process's work, and the others wait for it

T = TypeVar("T")


class ProcessFailed(VZError, RuntimeError):
    """Raised in a process when another that trains with it has failed or is gone; says which and of what."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together: the one numbered `rank` of `count`, counted from 0."""

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> list[T]:
        """This process's part of what all divide among them. The parts, by rank, are the whole in its order."""
        start, stop = (len(items) * rank // self.count for rank in (self.rank, self.rank + 1))
        return list(items[start:stop])

    def largest_share(self, total: int) -> int:
        """How many of `total` items a process may have to take."""
        return -(-total // self.count)

    def gather(self, work: Callable[[], T]) -> list[T]:
        """Do a piece of work in every process, and tell all of them what came of each.

        Args:
            work: what to do; its result is pickled. Exchanges nothing itself.

        Returns:
            One result for each process, by rank.

        Raises:
            ProcessFailed: another process failed at it, or is gone.
            Exception: whatever this process's own work raised, once the others know.
        """
        if self.count == 1:
            return [work()]
        result, fault = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - raised again below, when nobody waits for this process any more
            fault = raised
        with self._explain_loss():
            told: list[tuple[Any, str]] = gather_object([(result, f"{type(fault).__name__}: {fault}" if fault else "")])
        if fault is not None:
            raise fault
        failed = [f"process {rank} of {self.count} failed: {reason}" for rank, (_, reason) in enumerate(told) if reason]
        if failed:
            raise ProcessFailed(f"{'; '.join(failed)}. Process {self.rank} stopped with it")
        return [result for result, _ in told]

    def total(self, sums: Mapping[str, float]) -> dict[str, float]:
        """The sums of all processes by name; one that had nothing to add up may lack a name.

        Raises:
            ProcessFailed: another process is gone.
        """
        parts = self.gather(lambda: dict(sums))
        names = {name: None for part in parts for name in part}
        return {name: sum(part.get(name, 0.0) for part in parts) for name in names}

    def first(self, work: Callable[[], T]) -> T | None:
        """Do a piece of work in the main process while the others wait; returns its result there, None elsewhere.

        Raises:
            ProcessFailed: the main process failed at it, or is gone.
            Exception: in the main process, whatever the work raised.
        """
        made: list[T] = []
        self.gather(lambda: made.append(work()) if self.is_main else None)
        return made[0] if made else None

    def main_first(self, work: Callable[[], T]) -> T:
        """Do a piece of work in the main process, and then in the others, who find on the disk what it left.

        Raises:
            ProcessFailed: another process failed at it, or is gone.
            Exception: whatever this process's own work raised.
        """
        made: list[T] = []
        for is_turn in (self.is_main, not self.is_main):
            self.gather(lambda is_turn=is_turn: made.append(work()) if is_turn else None)
        return made[0]

    @torch.no_grad()
    def sum_gradients(self, weights: Sequence[Tensor]) -> None:
        """Give every process the sum of all their gradients; where none has one for a weight, there stays none.

        All end with the same numbers to the last bit, so what is decided by them (clipping, a step that is skipped) is
        decided alike.

        Raises:
            ProcessFailed: another process is gone.
        """
        if self.count == 1 or not weights:
            return
        held = [weight.grad is not None for weight in weights]
        with self._explain_loss():
            holders = reduce(torch.tensor(held, dtype=torch.int32, device=weights[0].device), "sum").tolist()
            for weight, count in zip(weights, holders, strict=True):
                if count:
                    weight.grad = reduce(torch.zeros_like(weight) if weight.grad is None else weight.grad, "sum")

    @contextmanager
    def _explain_loss(self) -> Iterator[None]:
        """Name what it means when an exchange breaks off."""
        try:
            yield
        except RuntimeError as fault:
            reason = str(fault).strip().splitlines()[0].rpartition("] ")[2].partition(". ")[0]  # without lines of code
            raise ProcessFailed(
                f"process {self.rank} of {self.count} lost the others ({reason}): the first message of another process "
                "says why; the same command continues from the last checkpoint"
            ) from fault


ALONE: Final = Processes()
"""A process that trains by itself."""


@contextmanager
def joined(device: str = "") -> Iterator[Processes]:
    """Join the processes that `accelerate launch` or `torchrun` started; without a launcher, be alone.

    Args:
        device: what the model is to compute on. Processes meet over NCCL where that is a GPU, and over gloo on a CPU.

    Raises:
        ProcessFailed: they do not find together.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    on_cpu = device == "cpu" or not torch.cuda.is_available()
    try:
        state = PartialState(cpu=on_cpu, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as fault:
        raise ProcessFailed(f"wanted {count} processes that train together, they do not meet: {fault}") from fault
    yield Processes(state.process_index, state.num_processes)
    state.destroy_process_group()  # after a good end alone: otherwise it may wait for a process that is gone
