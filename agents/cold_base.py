"""The weights a tiny model begins from: the shipped cold-start base, or the same made from random weights.

The base has seen generated lists and nothing else, no video, question or answer of any dataset: the look-up
curriculum, then rehearsals. It is shipped because these take longer than the demo may; `--from-scratch` makes it again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Final

import torch

from vz_env.actions import format_answer, format_zoom
from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError
from vz_env.prompts import frame_lines, overview_message
from vz_env.video.palette import PALETTE

from .checkpoint import Checkpoints, hash_files, write_folder
from .curriculum import CurriculumConfig, train_curriculum
from .look_ups import look_up_document
from .model import LanguageModel, TinyConfig, no_progress_bar
from .rehearsal import rehearsal_example
from .sft import SFTConfig, train_sft
from .stages import Stage, silent
from .tokenizer import train_tokenizer

__all__ = ["BASE_FOLDER", "REHEARSALS", "load_base", "make_base", "verify_base"]

BASE_FOLDER: Final = Path(__file__).parent / "assets" / "tiny-base"

REHEARSALS: Final = 6_000
_REHEARSAL_LR: Final = 7e-4
_FILES: Final = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_MANIFEST: Final = "base.json"


def make_base(
    folder: Path,
    dataset: Dataset,
    *,
    curriculum: CurriculumConfig,
    rehearsals: int = REHEARSALS,
    stage: Stage = silent,
) -> LanguageModel:
    """Make the cold-start base from random weights: the tokenizer, the look-up curriculum, then the rehearsals.

    Both leave checkpoints beside the folder until it is written, from which a call that was killed goes on.

    Args:
        folder: where to write it; the weights are stored in half precision.
        dataset: the train split on whose questions and options the tokenizer is trained.
        curriculum: length and pace.
        rehearsals: conversations to be trained on afterwards, each once; 0 for none.
        stage: shows progress.

    Returns:
        The model, as `load_base` gives it.
    """
    tokenizer = train_tokenizer(_tokenizer_texts(dataset, Random(curriculum.seed)))
    model = LanguageModel.tiny(tokenizer, TinyConfig(), seed=curriculum.seed)
    kept = folder.with_name(f"{folder.name}-checkpoints")
    with stage("Look-up curriculum") as show:
        progress = train_curriculum(
            model,
            curriculum,
            checkpoints=Checkpoints(kept / "curriculum", keep=1),
            on_progress=lambda made: show(made.step, curriculum.steps),
        )
    if rehearsals:
        _rehearse(model, rehearsals, Checkpoints(kept / "rehearsals", keep=1), seed=curriculum.seed, stage=stage)

    def write(target: Path) -> None:
        with no_progress_bar():
            model.lm.half().save_pretrained(target)
        tokenizer.save_pretrained(target)
        manifest = {
            "parameters": model.num_parameters,
            "curriculum": {
                "lines": progress.lines,
                "accuracy": round(progress.accuracy, 4),
                "by_kind": {kind: round(share, 4) for kind, share in progress.by_kind.items()},
                "steps": progress.step,
            },
            "rehearsals": rehearsals,
            "sha256": hash_files(target, sorted(path.name for path in target.iterdir())),
        }
        (target / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")

    write_folder(folder, write)
    shutil.rmtree(kept, ignore_errors=True)
    return load_base(folder)


def _rehearse(model: LanguageModel, count: int, checkpoints: Checkpoints, *, seed: int, stage: Stage) -> None:
    """Train on `count` rehearsals, each once."""
    random = Random(seed)
    examples = [rehearsal_example(random, model.chat) for _ in range(count)]
    config = SFTConfig(epochs=1, batch_tokens=10_000, lr=_REHEARSAL_LR, seed=seed)
    with stage("Rehearsals") as show:
        train_sft(
            model, examples, config, checkpoints=checkpoints, on_progress=lambda made: show(made.step, made.steps)
        )


def load_base(folder: Path = BASE_FOLDER) -> LanguageModel:
    """Load a cold-start base in single precision, after checking its hashes.

    Raises:
        ConfigError: it is not there, or a file is not what the manifest says.
    """
    verify_base(folder)
    return LanguageModel.load(folder, dtype=torch.float32)


def verify_base(folder: Path = BASE_FOLDER) -> dict[str, object]:
    """Check every file of a base against its manifest, and return the manifest.

    Raises:
        ConfigError: a file is missing or altered.
    """
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        hashes = manifest["sha256"]
        found = hash_files(folder, {*_FILES, *hashes})
        wrong = sorted(name for name in found if found[name] != hashes[name])
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ConfigError(
            f"wanted a cold-start base in {folder}, got: {fault}; reinstall the package, or train with --from-scratch"
        ) from fault
    if wrong:
        raise ConfigError(
            f"the cold-start base in {folder} was altered: {', '.join(wrong)} does not match its sha256; reinstall the "
            "package, or train with --from-scratch"
        )
    return dict(manifest)


def _tokenizer_texts(dataset: Dataset, random: Random) -> Iterable[str]:
    """The train split's questions in the wording of the environment, actions, and a few curriculum documents."""
    colors = list(PALETTE)
    for episode in dataset.episodes:
        times = [random.uniform(0, 999) for _ in range(8)]
        words = [f"new {random.choice(colors)} {random.randint(8, 99)}%, {random.choice(colors)} 9%" for _ in times]
        yield overview_message(
            question=episode.question,
            options=episode.options,
            duration_seconds=episode.duration_seconds or 0.0,
            timestamps_seconds=times,
            descriptions=words,
            zooms_left=random.randint(0, 5),
            frames_per_zoom=16,
        )
        yield "\n".join([f"Zoom {times[0]:.0f}s to {times[1]:.0f}s", *frame_lines(times, words)])
        start = random.randint(0, 900)
        zoom, answer = format_zoom((start, start + 10), random.randint(10, 16) / 10), random.choice(episode.options)
        yield f"<think>first new {random.choice(colors)}</think>{zoom}"
        yield f"<think>saw {random.choice(colors)} {random.choice(colors)}</think>{format_answer(answer)}"
        yield "<think>saw none</think>"
    for _ in range(200):
        yield "".join(text for text, _ in look_up_document(random, 6))
