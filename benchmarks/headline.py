"""What a report is about: one policy, what it is measured against, and the sentence that says how they compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vz_env.errors import ConfigError

from .results import EvalResult, compare, paired
from .statistics import Interval
from .viewer import clean_text
from .yardsticks import baseline_word

__all__ = ["Headline", "find_headline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """What the report is about: one policy, what it is measured against, and the sentence that says the result."""

    main: EvalResult
    baseline: EvalResult | None
    difference: Interval | None
    sentence: str


def find_headline(results: Sequence[EvalResult], *, main: str = "", baseline: str = "") -> Headline | None:
    """Choose what to compare, by name or by the figures.

    Args:
        results: one for each policy.
        main: name of the policy the report is about; by default the most accurate that zooms, does not cheat and is no
            baseline.
        baseline: name of the policy it is measured against; by default the most accurate that looks and never zooms.

    Returns:
        The headline, or None when no policy that does not cheat was graded.

    Raises:
        ConfigError: no policy has the name given.
    """
    honest = [one for one in results if not one.reads_key and one.graded]
    if not honest:
        return None
    chosen = _named(results, main) or max(
        honest,
        key=lambda one: (
            baseline_word(one.policy) is None,
            one.zooms_per_episode > 0,
            one.frames_per_episode > 0,
            one.accuracy.mean,
        ),
    )
    lookers = [one for one in honest if one.zooms_per_episode == 0 and one.frames_per_episode > 0]
    others = [one for one in lookers if one.run != chosen.run]
    rival = _named(results, baseline) or max(others, key=lambda one: one.accuracy.mean, default=None)
    difference = compare(chosen, rival) if rival is not None else None
    return Headline(main=chosen, baseline=rival, difference=difference, sentence=_sentence(chosen, rival, difference))


def _named(results: Sequence[EvalResult], name: str) -> EvalResult | None:
    found = next((one for one in results if one.policy == name), None)
    if name and found is None:
        raise ConfigError(f"no policy is called {name!r} here; there are {', '.join(one.policy for one in results)}")
    return found


def _sentence(main: EvalResult, baseline: EvalResult | None, difference: Interval | None) -> str:
    videos = len({record.video_group for record in main.records})
    split = f" of the {clean_text(main.split)} split" if main.split else ""
    text = (
        f"{clean_text(main.policy)} answers {100 * main.accuracy.mean:.1f}% of {main.graded} questions about {videos} "
        f"video{'s' * (videos != 1)}{split}, looking at {main.frames_per_episode:.0f} frames each"
    )
    if baseline is None or difference is None or math.isnan(difference.mean):
        return f"{text}."
    points = f"{100 * difference.mean:+.1f} points [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
    questions = paired(main, baseline).questions
    if questions < max(main.graded, baseline.graded):
        points += f" on the {questions} that both were graded on"
    return (
        f"{text}; {clean_text(baseline.policy)}, at {baseline.frames_per_episode:.0f} frames, "
        f"{100 * baseline.accuracy.mean:.1f}%: {points}."
    )
