"""TRL in a process and an environment of its own, which is asked for one GRPO step at a time."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import tempfile
import venv
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final

from vz_env.errors import ConfigError, VZError

from .group_task import GroupTask, StepCost

__all__ = ["TRL_PACKAGES", "TRLProcess", "install_trl"]

TRL_PACKAGES: Final = ("trl==1.16.0",)
_MODULE: Final = "vz_benchmarks.speed.trl_peer"


def install_trl(folder: Path, say: Callable[[str], None]) -> Path:
    """Make an environment of TRL and what it needs, in front of ours, and return its interpreter.

    What ours has already, torch and transformers among it, pip finds there and does not install again; where TRL wants
    another version, it goes into the new environment alone.

    Raises:
        ConfigError: pip fails.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        say(f"making an environment for {', '.join(TRL_PACKAGES)} in {folder}")
        venv.create(folder, with_pip=True, clear=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    behind = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"  # editable packages there included
    (packages / "behind.pth").write_text(behind, encoding="utf-8")
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:"]
    done = subprocess.run([*install, *TRL_PACKAGES], capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ConfigError(f"pip could not install {' '.join(TRL_PACKAGES)}: {done.stderr[-500:]}")
    return python


class TRLProcess:
    """A trainer of TRL's that waits before every step until it is asked for it."""

    def __init__(self, python: Path, task: GroupTask) -> None:
        """Start it."""
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(  # noqa: S603
            [str(python), "-m", _MODULE, json.dumps(asdict(task))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def step(self) -> StepCost:
        """Let it make one step.

        Raises:
            VZError: it fails.
        """
        process = self._process
        assert process.stdin is not None  # noqa: S101  (for the type checker)
        assert process.stdout is not None  # noqa: S101
        try:
            process.stdin.write("step\n")
            process.stdin.flush()
        except BrokenPipeError as fault:
            raise self._failure() from fault
        for line in process.stdout:
            try:
                return StepCost(**json.loads(line))
            except ValueError:  # something that TRL printed
                continue
        raise self._failure()

    def _failure(self) -> VZError:
        self._process.wait()
        self._errors.seek(0)
        return VZError(f"wanted a step of TRL's, but it failed: {self._errors.read().strip()[-800:]}")

    def __enter__(self) -> TRLProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what it was still to be told
                    pipe.close()
