"""The `vz` command: `demo eval train model report list play replay doctor probe prepare`, `needle make` and more.

Each verb lives in a module of its own that is imported when the verb is used, so that `vz list` waits for no torch.
Exit codes: 0 done; 1 a replay that differs; 2 usage, configuration, dataset or model; 3 too many episodes failed, or
something was left out; 74 the disk is full; 130 and 143 stopped by a signal.
"""

from __future__ import annotations

import errno
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vz_env.errors import ConfigError, VZError

__all__ = ["VERBS", "Verb", "main"]

EXIT_USAGE, EXIT_DISK_FULL, EXIT_INTERRUPTED = 2, 74, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """Where a verb lives: a dataclass of arguments and the function that runs it."""

    module: str
    args: str
    run: str
    summary: str

    def load(self) -> tuple[type, Callable[[Any], int | None]]:
        """Import the verb.

        Raises:
            ConfigError: the module, or something it needs, is not installed.
        """
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as fault:
            missing = str(fault.name)
            if missing.partition(".")[0] in {"vz_agents", "vz_benchmarks"}:
                raise ConfigError(f"this installation has no {missing}; install a version that has it") from fault
            raise ConfigError(
                f"{missing} is not installed: pip install 'vz-env[bench]' (and 'vz-env[llm]' for language models)"
            ) from fault
        return getattr(module, self.args), getattr(module, self.run)


VERBS: Final[dict[str, Verb]] = {
    "demo": Verb(
        module="vz_benchmarks.demo",
        args="DemoArgs",
        run="run_demo",
        summary="watch a small language model learn where to look, and read the report",
    ),
    "eval": Verb(
        module="vz_benchmarks.commands.eval",
        args="EvalArgs",
        run="run_eval",
        summary="evaluate policies on a dataset",
    ),
    "train": Verb(
        module="vz_benchmarks.commands.train",
        args="TrainArgs",
        run="run_training",
        summary="train a language model with SFT and PPO",
    ),
    "teach": Verb(
        module="vz_benchmarks.commands.teach",
        args="TeachArgs",
        run="run_teach",
        summary="let a teacher play, and keep what is fit to be imitated",
    ),
    "sft": Verb(
        module="vz_benchmarks.commands.sft",
        args="SFTArgs",
        run="run_sft",
        summary="fine-tune a language model on files of trajectories",
    ),
    "model": Verb(
        module="vz_benchmarks.commands.model",
        args="ModelArgs",
        run="run_model",
        summary="prepare a pretrained language model that a package registry carries",
    ),
    "report": Verb(
        module="vz_benchmarks.commands.report",
        args="ReportArgs",
        run="run_report",
        summary="write report.html for a folder of results",
    ),
    "score": Verb(
        module="vz_benchmarks.commands.score",
        args="ScoreArgs",
        run="run_score",
        summary="a benchmark's own figures, under another parser, denominator or judge",
    ),
    "compare": Verb(
        module="vz_benchmarks.commands.compare",
        args="CompareArgs",
        run="run_compare",
        summary="whether two runs differ, where, and which settings do",
    ),
    "replay": Verb(
        module="vz_benchmarks.commands.replay",
        args="ReplayArgs",
        run="run_replay",
        summary="play recorded trajectories again, and show what differs",
    ),
    "export": Verb(
        module="vz_benchmarks.commands.export",
        args="ExportArgs",
        run="run_export",
        summary="write trajectories and their frames for another trainer",
    ),
    "import": Verb(
        module="vz_benchmarks.commands.import_files",
        args="ImportArgs",
        run="run_import",
        summary="read questions or conversations of VideoZoomer's files",
    ),
    "merge": Verb(
        module="vz_benchmarks.commands.merge",
        args="MergeArgs",
        run="run_merge",
        summary="join what the shards of an evaluation wrote",
    ),
    "play": Verb(
        module="vz_benchmarks.commands.play",
        args="PlayArgs",
        run="run_play",
        summary="play an episode yourself, in the terminal or in the browser (--web)",
    ),
    "list": Verb(
        module="vz_benchmarks.commands.list",
        args="ListArgs",
        run="run_list",
        summary="list datasets and policies",
    ),
    "probe": Verb(
        module="vz_benchmarks.commands.probe",
        args="ProbeArgs",
        run="run_probe",
        summary="what a video file is, and what looking into it costs",
    ),
    "prepare": Verb(
        module="vz_benchmarks.commands.prepare",
        args="PrepareArgs",
        run="run_prepare",
        summary="re-encode a dataset's videos so that zooms get fast",
    ),
    "doctor": Verb(
        module="vz_benchmarks.commands.doctor",
        args="DoctorArgs",
        run="run_doctor",
        summary="check every record and every video of a dataset or a benchmark",
    ),
    "needle make": Verb(
        module="vz_benchmarks.commands.needle",
        args="NeedleMakeArgs",
        run="run_needle_make",
        summary="make a needle dataset, over generated scenes or over your own film",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: the words after `vz`; those of the process by default.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in {"-h", "--help"}:
        sys.stdout.write(_usage())
        return 0 if words else EXIT_USAGE
    name = next((name for name in VERBS if words[: len(name.split())] == name.split()), None)
    if name is None:
        return _complain(f"no verb {' '.join(words[:2])!r}\n\n{_usage()}")
    try:
        args_class, run = VERBS[name].load()
        import tyro

        rest = words[len(name.split()) :]
        defaults = {"default": args_class.defaults_for(rest)} if hasattr(args_class, "defaults_for") else {}
        args = tyro.cli(args_class, args=rest, prog=f"vz {name}", **defaults)
        return run(args) or 0
    except VZError as fault:
        return _complain(str(fault))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except OSError as fault:
        if fault.errno != errno.ENOSPC:
            raise
        _complain("the disk is full; what was written is whole. Make room, then run the same command to continue")
        return EXIT_DISK_FULL


def _usage() -> str:
    width = max(map(len, VERBS))
    lines = [f"  vz {name:{width}}  {verb.summary}" for name, verb in VERBS.items()]
    return "\n".join(["usage: vz VERB [arguments]   (vz VERB --help shows them)", "", *lines, ""])


def _complain(message: str) -> int:
    """Say what is wrong on stderr; without control characters, as file names and model output may hold them."""
    clean = "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in message
    )
    sys.stderr.write(f"vz: {clean.rstrip()}\n")
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
