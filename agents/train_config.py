"""What a training run is asked for, and the file in its folder that holds another run off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vz_env.action_types import Grammar
from vz_env.budget import Budget
from vz_env.errors import ConfigError
from vz_env.protocols import as_protocol

from .cold_base import REHEARSALS
from .curriculum import CurriculumConfig
from .exemplar_filters import ExemplarConfig
from .ppo import PPOConfig
from .reflection import ReflectionConfig
from .remote_config import ServerConfig, without_password
from .sft import SFTConfig
from .tracking import Track
from .trajectory import as_plain
from .weights import WeightsConfig

__all__ = ["CONFIG_NAME", "TrainConfig", "claim_folder", "differences"]

CONFIG_NAME: Final = "training.json"

_CHANGEABLE: Final = ("keep_last", "track")
"""Settings that change nothing of what is learned, so that a run may go on with others."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a policy is trained."""

    model: str = ""
    """A folder or hub id of a causal language model, or of a Qwen2.5-VL or Qwen3-VL that sees the frames; smollm2, once
    prepared with `vz model smollm2`; empty: the tiny model on its cold-start base."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """How its weights are held, and which of them are trained."""
    from_scratch: bool = False
    """Make the tiny model's cold-start base anew instead of taking the shipped one."""
    teacher: str = ""
    """Who plays the exemplars and repairs failures: evidence, binary or coarse-to-fine (scripted searches of any
    dataset, which read the keys of the train split), openai for a server, or package.module:Name; empty: the scripted
    experts of the needle dataset (a hasty one for exemplars)."""
    base_url: str = ""
    """Of the server, with --teacher openai; empty: OPENAI_BASE_URL. The key is OPENAI_API_KEY of the environment."""
    teacher_model: str = ""
    """The server's model; empty: OPENAI_MODEL."""
    server: ServerConfig = field(default_factory=ServerConfig)
    """How the server is asked, and its limits; what changes no reply may be changed for a run that goes on."""
    exemplar_episodes: int = 0
    """Episodes that the teacher plays, the first of the split; 0: all. PPO plays all of them in any case."""
    cold_start: bool = True
    """Whether SFT comes first; without it PPO begins from the untrained weights."""
    reinforce: bool = True
    """Whether PPO follows; without it the cold start is the finished policy."""
    reflection: bool = False
    """Whether the cold start learns from repairs of the student's own failures too."""
    tool_bonus: float = 0.0
    """Reward besides for a right answer after a zoom that showed something new; the paper pays 0.5."""
    tool_bonus_steps: int = 0
    """PPO iterations over which that bonus falls to nothing, in a straight line; 0: it stays as it is."""
    protocol: str = "strict"
    """Of the environments: strict, or videozoomer (the published system's frames, errors, end and reward)."""
    describe: str = "palette"
    """What describes a frame in words: none, palette or captions."""
    teacher_describe: str = ""
    """The same for the teacher; empty: as for the policy. A scripted teacher reads words where the policy sees."""
    seed: int = 0
    """Added to the seed of every stage: runs with different seeds differ in all of them."""
    eval_every: int = 5
    """PPO iterations between evaluations on the validation split."""
    eval_episodes: int = 32
    """Episodes of such an evaluation."""
    save_every: int = 1
    """PPO iterations between checkpoints: a kill loses at most so many."""
    keep_last: int = 2
    """PPO checkpoints kept besides the best; may be changed for a run that goes on."""
    track: Track = ""
    """Who else is told of PPO what TensorBoard is: wandb, with the extra of that name; empty: nobody. May be changed
    for a run that goes on."""
    budget: Budget = field(default_factory=Budget)
    """What an episode may cost."""
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    """Of a cold-start base made from scratch."""
    rehearsals: int = REHEARSALS
    """Conversations about generated lists that such a base is trained on after the curriculum."""
    exemplars: ExemplarConfig = field(default_factory=ExemplarConfig)
    """What is asked of exemplars."""
    reflect: ReflectionConfig = field(default_factory=ReflectionConfig)
    """How failures are repaired, with --reflection."""
    sft: SFTConfig = field(default_factory=SFTConfig)
    """The cold start."""
    ppo: PPOConfig = field(default_factory=PPOConfig)
    """The second stage."""

    def __post_init__(self) -> None:
        """Refuse what would leave nothing to go on from."""
        if self.keep_last < 1:
            raise ConfigError(f"keep_last wants 1 checkpoint or more, got {self.keep_last}")

    def seeded(self) -> TrainConfig:
        """This configuration with `seed` added to its stages'; the curriculum keeps its own, as the base is shared."""
        sft, ppo = replace(self.sft, seed=self.sft.seed + self.seed), replace(self.ppo, seed=self.ppo.seed + self.seed)
        return replace(self, sft=sft, ppo=ppo)

    @property
    def env_options(self) -> dict[str, Any]:
        """Arguments of the environments, besides dataset and budget."""
        bonus: dict[str, float] = {"zoom_bonus": self.tool_bonus} if self.tool_bonus else {}
        if bonus and self.tool_bonus_steps:
            bonus |= {"zoom_bonus_end": 0.0, "anneal_steps": self.tool_bonus_steps}
        reward = {"reward": bonus} if bonus else {}
        return {"protocol": self.protocol, "describe": self.describe, "with_frames": False, **reward}

    def plain(self) -> dict[str, Any]:
        """All of it, as JSON holds it; a password in an address is left out."""
        told: dict[str, Any] = as_plain(asdict(self))
        return {**told, "base_url": without_password(self.base_url)}

    @property
    def server_options(self) -> dict[str, Any]:
        """What a teacher on a server is built with."""
        return {"base_url": self.base_url, "model": self.teacher_model, "server": self.server}

    @property
    def rules(self) -> str:
        """What opens the conversations of a model that was not made here: the protocol's rules."""
        protocol = as_protocol(self.protocol, grammar=Grammar(), zoom_mode="free", zoom_fps=None)
        return protocol.system_text(self.budget)

    @property
    def teacher_options(self) -> dict[str, Any]:
        """The same for the teacher."""
        return {**self.env_options, "describe": self.teacher_describe or self.describe}


def claim_folder(out: Path, config: TrainConfig, revision: str) -> None:
    """Write what the run folder is for, or check that it is for the same.

    A setting that the folder's run did not know yet counts as left at its default.

    Args:
        out: the run folder.
        config: what is asked for.
        revision: of the train split.

    Raises:
        ConfigError: it is for something else, and for what.
    """
    path = out / CONFIG_NAME
    if path.is_file():
        if found := differences(out, config, revision):
            told = ", ".join(f"{name} {values}" for name, values in found.items())
            raise ConfigError(
                f"{out} holds a run with another configuration ({told}): choose another folder with --out, or remove "
                "that one"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{CONFIG_NAME}")
    unfinished.write_text(json.dumps(_describe(config, revision), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    unfinished.replace(path)


def differences(out: Path, config: TrainConfig, revision: str) -> dict[str, str]:
    """What a run folder was asked for otherwise: `is 0.1, not 0.2` by the setting's name (`ppo.lr`).

    Args:
        out: a run folder that has been claimed.
        config: what it is compared with.
        revision: of the train split.

    Raises:
        ConfigError: the folder is not one of a training run.
    """
    path = out / CONFIG_NAME
    wanted = _describe(config, revision)
    known = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(known, dict) or known.keys() != wanted.keys():
        raise ConfigError(f"{path} is not of a training run: choose another folder with --out")
    return _differences(_with_defaults(known, _describe(TrainConfig(), revision)), wanted)


def _describe(config: TrainConfig, revision: str) -> dict[str, Any]:
    """What a run must have in common with one that it goes on with."""
    asked = {name: value for name, value in config.plain().items() if name not in _CHANGEABLE}
    asked["server"] = {name: asked["server"][name] for name in ("images", "temperature", "max_tokens")}
    return {"train": asked, "revision": revision}


def _with_defaults(known: Any, defaults: Any) -> Any:
    """A configuration with what it lacks filled in."""
    if not (isinstance(known, Mapping) and isinstance(defaults, Mapping)):
        return known
    filled = {name: _with_defaults(value, defaults.get(name)) for name, value in known.items()}
    return {**{name: value for name, value in defaults.items() if name not in known}, **filled}


def _differences(known: Any, wanted: Any, name: str = "") -> dict[str, str]:
    """What differs between two configurations as JSON holds them, by name."""
    if not (isinstance(known, Mapping) and isinstance(wanted, Mapping)):
        return {} if known == wanted else {name: f"is {json.dumps(known)}, not {json.dumps(wanted)}"}
    found: dict[str, str] = {}
    for inner in sorted({*known, *wanted}):
        whole = f"{name}.{inner}" if name else inner
        found |= _differences(known.get(inner), wanted.get(inner), whole.removeprefix("train."))
    return found
