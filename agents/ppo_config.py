"""What a PPO run is told: which estimator of advantages, which loss, how many rollouts, how fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vz_env.errors import ConfigError

from .advantages import Discounts
from .losses import Aggregation, KLKind
from .schedules import Schedule, rate_scale

__all__ = ["Estimator", "GroupFilter", "PPOConfig"]

Estimator = Literal["group_gae", "gae", "grpo", "rloo"]
GroupFilter = Literal["auto", "off", "accuracy", "total"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """Hyper-parameters; the clip bounds and the KL weight are the published ones (VideoZoomer, table 5b)."""

    iterations: int = 30
    prompts: int = 16
    """Distinct episodes an iteration."""
    samples: int = 6
    """Times each of them is played."""
    epochs: int = 1
    minibatches: int = 2
    """Optimiser steps an epoch."""
    micro_tokens: int = 16_000
    """Tokens a forward pass; what several samples have in common counts once, and is forwarded once."""
    estimator: Estimator = "group_gae"
    """gae: a critic, discounts within and across turns. group_gae: the same on rewards that count from the mean of the
    question's other samples. grpo, rloo: no critic; an episode's reward against those of the question's samples."""
    group_filter: GroupFilter = "auto"
    """Questions whose samples all got the same accuracy, or total reward, are left out; auto: total, and off for gae,
    whose critic learns from them."""
    refills: int = 0
    """Further draws of questions an iteration while the filter has left fewer than `prompts`."""
    scale_by_std: bool = True
    """Whether grpo divides by the group's standard deviation (Dr. GRPO, arXiv 2503.20783, does not)."""
    lr: float = 5e-5
    value_lr: float = 1e-3
    schedule: Schedule = "constant"
    """How both learning rates fall over the iterations: not, along a line, or along a cosine (to 2%)."""
    warmup_iterations: int = 0
    """First iterations that train the policy, at a rate that rises to `lr`; the critic's does not."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Of AdamW."""
    weight_decay: float = 0.0
    critic_warmup: int = 1
    """First iterations that train the critic alone."""
    clip_low: float = 0.2
    clip_high: float = 0.27
    dual_clip: float | None = 3.0
    """Bound on the loss of a token with a negative advantage, in advantages; none: unbounded."""
    value_clip: float = 0.2
    critic_steps: int = 8
    """Optimiser steps of the critic an iteration. It reads detached hidden states, so these cost next to nothing."""
    kl_coef: float = 0.001
    kl_kind: KLKind = "k3"
    """Estimator of the KL to the reference."""
    entropy_coef: float = 0.0
    aggregation: Aggregation = "dapo"
    """What weighs alike in the loss. dapo: every token of the minibatch, over all processes. token: every token of this
    process's minibatch. sequence: every episode. constant: as Dr. GRPO, tokens over a fixed length."""
    discounts: Discounts = field(default_factory=Discounts)
    temperature: float = 0.8
    """Of sampling, and of every log-probability. Below 1.0 a tiny model slips less in its long actions."""
    max_new_tokens: int = 32
    compile: bool = False
    """Decode in compiled steps of one shape: for a small model of text on a GPU. The first iteration waits for it."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        for name in ("prompts", "samples", "epochs", "minibatches", "micro_tokens", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"PPO wants {name} of 1 or more, got {getattr(self, name)}")
        if self.warmup_iterations < 0:
            raise ConfigError(f"PPO wants warmup_iterations of 0 or more, got {self.warmup_iterations}")
        rate_scale(self.schedule, 0.0)
        if self.compares_samples and self.samples < 2:
            raise ConfigError(
                f"the estimator {self.estimator} compares samples of one question: it wants samples of 2 or more, got "
                f"{self.samples}; raise it, or take the estimator gae"
            )
        if self.dual_clip is not None and self.dual_clip <= 1.0:
            raise ConfigError(f"PPO wants a dual_clip above 1, or none, got {self.dual_clip}")
        if self.temperature <= 0.0:
            raise ConfigError(f"PPO samples: it wants a temperature above 0, got {self.temperature}")

    @property
    def uses_critic(self) -> bool:
        """Whether advantages come from values."""
        return self.estimator in ("gae", "group_gae")

    def rate_scale(self, iteration: int) -> float:
        """What share of `lr` an iteration, counted from 0, takes: in [0, 1]; 0 while the critic is trained alone.

        It changes between iterations and not within one, as in SB3 and CleanRL: an iteration's updates are about one
        set of rollouts, however many minibatches they are cut into.
        """
        alone = self.critic_warmup if self.uses_critic else 0
        rise = (iteration - alone + 1) / (self.warmup_iterations + 1)
        return rate_scale(self.schedule, iteration / max(1, self.iterations), rise=rise)

    def critic_rate_scale(self, iteration: int) -> float:
        """The same for `value_lr`, which falls and does not rise.

        It falls as where policy and critic share an optimiser (SB3, CleanRL). Advantages are worth nothing before the
        critic fits, which is why it may begin alone: it is not held back by a warm-up.
        """
        return rate_scale(self.schedule, iteration / max(1, self.iterations))

    @property
    def compares_samples(self) -> bool:
        """Whether advantages compare the samples of one question."""
        return self.estimator != "gae"

    @property
    def filtered_by(self) -> GroupFilter:
        """`group_filter`, with auto resolved."""
        if self.group_filter == "auto":
            return "total" if self.compares_samples else "off"
        return self.group_filter
