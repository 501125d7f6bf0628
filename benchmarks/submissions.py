"""Answers in the forms that benchmarks take them in: for test sets with hidden answers, and for their own scorers.

MLVU (test): a list of `question_id`, `question_type` and `option`, a letter. EgoSchema: an object from `q_uid` to the
number of the option, from 0. Video-MME: a list of videos, each with its questions and the `response` to each.

An answer that cannot be read is left out, or empty where the format wants every question. None is ever guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode
from vz_env.errors import ConfigError
from vz_env.prompts import option_letter
from vz_env.scoring import extract_choice

from .parsers import find_parser
from .results import EvalResult

__all__ = ["SUBMISSIONS", "Submission", "only_run", "read_choices", "write_submission"]

Choices = Mapping[str, int]
"""Episode id -> the option that was chosen, from 0."""

Submission = Callable[[Dataset, Choices], Any]
"""Makes what is written as JSON."""

_MLVU_TYPES: Final = {"needle": "needleQA", "sub_scene": "subPlot"}  # as the test file calls them


def _mlvu(dataset: Dataset, choices: Choices) -> list[dict[str, str]]:
    """MLVU's test set; the questions that want free words are not part of it."""
    if dataset.split != "test":
        raise ConfigError("MLVU takes answers to its test split; those to dev are in the annotation files")
    return [
        {
            "question_id": episode.id,
            "question_type": _MLVU_TYPES.get(episode.groups["task"], episode.groups["task"]),
            "option": option_letter(choices[episode.id]) if episode.id in choices else "",
        }
        for episode in dataset
        if episode.options
    ]


def _egoschema(dataset: Dataset, choices: Choices) -> dict[str, int]:
    """EgoSchema's whole set."""
    return {episode.id: choices[episode.id] for episode in dataset if episode.id in choices}


def _videomme(dataset: Dataset, choices: Choices) -> list[dict[str, Any]]:
    """What Video-MME's own scorer reads; it wants the right answers beside the responses."""
    videos: dict[str, dict[str, Any]] = {}
    for episode in dataset:
        names = ("duration", "domain", "sub_category")
        groups = {name: episode.groups.get(name, "") for name in names}
        video = videos.setdefault(
            episode.video_group, {"video_id": episode.id.partition("-")[0], **groups, "questions": []}
        )
        video["questions"].append(_videomme_question(episode, dataset, choices))
    return list(videos.values())


def _videomme_question(episode: Episode, dataset: Dataset, choices: Choices) -> dict[str, Any]:
    right = dataset.key(episode.id).answer_indices
    return {
        "question_id": episode.id,
        "task_type": episode.groups.get("task", ""),
        "question": episode.question,
        "options": [f"{option_letter(index)}. {option}" for index, option in enumerate(episode.options)],
        "answer": option_letter(right[0]) if right else "",
        "response": option_letter(choices[episode.id]) if episode.id in choices else "",
    }


SUBMISSIONS: Final[Mapping[str, Submission]] = {"MLVU": _mlvu, "EgoSchema": _egoschema, "VideoMME": _videomme}
"""By dataset."""


def read_choices(result: EvalResult, dataset: Dataset, *, parser: str = "strict") -> dict[str, int]:
    """The option that each answer names; answers that name none, or several, are not in it.

    Args:
        result: of one policy.
        dataset: it was played on.
        parser: how replies are read, a key of `PARSERS`.

    Raises:
        ConfigError: no such parser.
    """
    read, choices = find_parser(parser), {}
    for trajectory in result.trajectories:
        episode = dataset.episode(trajectory.episode_id)
        if trajectory.is_error or not trajectory.turns or not episode.options:
            continue
        last = trajectory.turns[-1]
        if parser == "strict":  # read again: of a hidden answer nothing was noted when it was played
            index = extract_choice(str(last.info.get("answer") or ""), episode.options)
            found = [] if index is None else [index]
        else:
            found = sorted(set(read(last.action, episode.options)))
        if len(found) == 1:
            choices[episode.id] = found[0]
    return choices


def write_submission(dataset: Dataset, choices: Choices) -> Any:
    """The answers in the benchmark's own form, as JSON values.

    Raises:
        ConfigError: no form is known for this dataset, or for this split of it.
    """
    if dataset.name not in SUBMISSIONS:
        raise ConfigError(
            f"no form of submission is known for {dataset.name!r}; there is one for {', '.join(sorted(SUBMISSIONS))}"
        )
    return SUBMISSIONS[dataset.name](dataset, choices)


def only_run(results: Sequence[EvalResult], policy: str) -> EvalResult:
    """The run to submit: the only one, or the one of a policy.

    Raises:
        ConfigError: there are several and none is named, or none has that name.
    """
    found = [one for one in results if policy in ("", one.policy)]
    if len(found) != 1:
        names = ", ".join(sorted({one.policy for one in results}))
        raise ConfigError(f"a submission is of one run; name its policy with --policy, of: {names}")
    return found[0]
