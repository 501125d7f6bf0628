"""Who plays an evaluation: the policies of the command line, as they are, with a reader, or asked in one shot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from vz_agents.policy import Policy
from vz_env.budget import Budget
from vz_env.errors import ConfigError
from vz_env.prompts import system_message

from .one_shot import OneShot
from .policies import expand_policies, find_policy
from .prompt_template import PromptTemplate
from .server import ServerArgs

if TYPE_CHECKING:
    from vz_env.datasets.dataset import Dataset

__all__ = ["LOOKING", "line_up"]

LOOKING: Final = frozenset({"blind", "first-frames", "uniform", "random", "subtitles", "oracle"})
"""Words of policies that look by a rule, whose answers a reader can give."""


def line_up(
    words: Sequence[str],
    dataset: Dataset,
    *,
    frames: int = 32,
    seed: int = 0,
    reader: str = "",
    is_one_shot: bool = False,
    template: PromptTemplate | None = None,
    server: ServerArgs | None = None,
    device: str = "",
) -> list[Policy]:
    """Build the policies that words of the command line name.

    Args:
        words: what to play, a key of `POLICY_WORDS` or something it stands for.
        dataset: what is played.
        frames: where a word states none, and of one-shot prompts.
        seed: of guesses and random places.
        reader: a word for the policy that answers where a baseline looks; by default baselines answer by their own
            rules, which know the words beside frames and nothing of pictures.
        is_one_shot: ask with the benchmark's one-shot prompt.
        template: ask with this prompt.
        server: behind the word `openai`.
        device: where models compute, see `find_policy`.

    Raises:
        ConfigError: no such policy or device, or a reader that is itself a baseline.
    """
    if reader.partition("@")[0] in {*LOOKING, "curve", "baselines"}:
        raise ConfigError(f"a reader is a model or a policy of your own, got the baseline {reader!r}")
    is_prompted = is_one_shot or template is not None
    # One-shot prompts are all that is said; elsewhere a reader is told the rules of an episode without zooms.
    rules = "" if is_prompted else system_message(Budget(max_zooms=0))
    given: dict[str, Any] = {"seed": seed, "server": server, "device": device}
    read = find_policy(reader, dataset, system=rules, **given) if reader else None
    policies: list[Policy] = []
    for word in expand_policies(words, dataset):
        system = "" if is_prompted else None
        policy = find_policy(word, dataset, frames=frames, system=system, **given)
        if read is not None and word.partition("@")[0] in LOOKING:
            policy = OneShot(read, dataset.name, template=template, look=policy, is_told_by_env=not is_prompted)
        elif is_prompted:
            policy = OneShot(policy, dataset.name, template=template, frames=frames)
        policies.append(policy)
    return policies
