"""`vz play`: a person plays an episode, in the terminal or, with --web, in the browser."""

from __future__ import annotations

import sys
import threading
import webbrowser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import tyro
from rich.console import Console

from vz_env.budget import Budget
from vz_env.env import VideoZoomEnv
from vz_env.wrappers import RecordTrajectory

from ..console import note, show
from ..play.session import PlaySession
from ..play.terminal import play_in_terminal
from ..play.web import PlayServer
from .eval import DatasetArgs, open_dataset

__all__ = ["PlayArgs", "run_play"]


@dataclass(frozen=True, kw_only=True)
class PlayArgs:
    """Play an episode yourself."""

    data: Annotated[DatasetArgs, tyro.conf.OmitArgPrefixes] = field(default_factory=DatasetArgs)
    """Which questions."""
    episode: str | None = None
    """Id of the question; any by default."""
    seed: int | None = None
    """Chooses the question."""
    describe: str = "none"
    """The words beside each frame: none, palette or captions."""
    budget: Budget = field(default_factory=Budget)
    """What an episode may cost."""
    record: Path | None = None
    """File that the finished episodes are appended to, as trajectories."""
    web: bool = False
    """Play in the browser: a page is served on this machine alone."""
    port: int = 0
    """Of the page; 0 takes a free one."""
    browser: bool = True
    """Open the page in a browser."""


def run_play(args: PlayArgs) -> int:
    """Run the command; returns its exit code."""
    dataset = open_dataset(args.data)
    env: gym.Env[dict[str, Any], str] = VideoZoomEnv(dataset, budget=args.budget, describe=args.describe)
    if args.record is not None:
        env = RecordTrajectory(env, args.record, policy="human")
    session = PlaySession(env=env)
    try:
        if args.web:
            return _serve(session, args)
        console = Console(highlight=False)
        play_in_terminal(session, console, _ask, episode_id=args.episode, seed=args.seed)
    except KeyboardInterrupt:
        return 0
    finally:
        env.close()
    return 0


def _ask(prompt: str) -> str:
    """Ask for a line; without a terminal the prompt stays silent."""
    if sys.stdin.isatty():
        return input(prompt)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


def _serve(session: PlaySession, args: PlayArgs) -> int:
    """Serve the page until it is interrupted."""
    session.begin(args.episode, seed=args.seed)
    with PlayServer(session, port=args.port) as server:
        show(server.url)
        note("play there; Ctrl-C ends it")
        if args.browser:
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        server.serve_forever()
    return 0
