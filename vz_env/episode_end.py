"""What may be known of an episode once it has ended: its score, its terms, its metrics. Reads the key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .actions import Answer
from .episode import AnswerKey
from .episode_state import EpisodeState
from .evidence import evidence_metrics
from .rewards import RewardConfig, TrainingProgress, weigh_end
from .scoring import describe_parsed

if TYPE_CHECKING:
    from .protocols import Protocol

__all__ = ["end_episode"]


def end_episode(
    run: EpisodeState,
    answer: Answer | None,
    key: AnswerKey,
    *,
    protocol: Protocol,
    config: RewardConfig,
    progress: TrainingProgress,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Grade an episode that has just ended.

    Args:
        run: the episode.
        answer: its answer, None when it ended without one.
        key: what is right.
        protocol: how it is graded.
        config: the weights of the reward.
        progress: how far a training is, which some weights depend on.

    Returns:
        The weighted terms that the end pays, and what `info` says of it.
    """
    score, values = protocol.grade(run, answer, key)
    info = {
        "end_reason": run.end_reason,
        "score": score.value,
        "answer": answer.text if answer else None,
        "parsed": describe_parsed(score.parsed, run.episode),
        **evidence_metrics(run.looks(), new_frames=run.new_frames, evidence=key.evidence),
        "zooms": len(run.zooms),
        "invalid_actions": run.state.invalid_used,
    }
    return weigh_end(config, values, progress), info
