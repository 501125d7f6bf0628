"""Feature extractors for SB3's policies on `DiscreteZoom`: by colours over bins, or by a language model over the text.

`BinExtractor` never sees which colour is which, only where colours of the question and of the options are, and it
treats every bin and every option alike. So what it learns of one colour, place or option holds for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from gymnasium.spaces import Dict
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from vz_env.errors import ConfigError

from ..model import LanguageModel

__all__ = ["BinExtractor", "TextExtractor"]

_WORDS: Final = 8  # size of the embedding of a bag of words
_NOTICED: Final = 0.05
"""A colour that fills less of a picture than this is taken as absent."""


class BinExtractor(BaseFeaturesExtractor):
    """Features of `DiscreteZoom(features="palette")` that begin with a score for every value of every action number.

    The output, float (batch, features_dim), is the scores of zoom and answer, of each start bin, length and share, of
    each option, and then `width` numbers on the whole. A linear action layer that begins as a selection of the scores
    (`select_scores`) makes a policy of it.

    Args:
        observation_space: of a `DiscreteZoom`.
        lengths: how many lengths of a zoom the action space has.
        shares: how many shares of frames it has.
        width: units of the hidden layers.
    """

    def __init__(self, observation_space: Dict, *, lengths: int = 4, shares: int = 3, width: int = 48) -> None:
        """Build the layers.

        Raises:
            ConfigError: the observations hold no palette features.
        """
        if "overview" not in observation_space.spaces:
            raise ConfigError("BinExtractor wants DiscreteZoom(features='palette')")
        bins = observation_space["overview"].shape[0]
        options = observation_space["option_mask"].shape[0]
        words = observation_space["question_words"].shape[0]
        self.num_scores = 2 + bins + lengths + shares + options
        super().__init__(observation_space, self.num_scores + width)
        self.words = nn.Linear(words, _WORDS)
        self.option_words = nn.Linear(words, _WORDS, bias=False)
        bin_inputs, option_inputs = 11 + _WORDS + 3, 28 + 2 * _WORDS
        self.bin_layers = nn.Sequential(
            nn.Conv1d(bin_inputs, width, 3, padding=1), nn.ReLU(), nn.Conv1d(width, width, 3, padding=1), nn.ReLU()
        )
        self.start = nn.Conv1d(width, 1, 1)
        self.option_layers = nn.Sequential(
            nn.Linear(option_inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.option = nn.Linear(width, 1)
        self.whole = nn.Sequential(
            nn.Linear(2 * width + _WORDS + 3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.rest = nn.Linear(width, 2 + lengths + shares)
        self.num_rest = lengths + shares

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        """Scores and features, float (batch, features_dim)."""
        words = torch.tanh(self.words(observations["question_words"]))
        bins = self.bin_layers(self._bin_inputs(observations, words))  # (batch, width, bins)
        options = self.option_layers(self._option_inputs(observations, words))  # (batch, options, width)
        whole = self.whole(
            torch.cat([bins.amax(-1), options.amax(1), words, observations["budget"]], -1)
        )  # (batch, width)
        kind, rest = self.rest(whole).split([2, self.num_rest], -1)
        absent = (1.0 - observations["option_mask"]) * -20.0
        scores = [kind, self.start(bins)[:, 0], rest, self.option(options)[..., 0] + absent]
        return torch.cat([*scores, whole], -1)

    def _bin_inputs(self, seen: Mapping[str, Tensor], words: Tensor) -> Tensor:
        """What is known of each bin: float (batch, channels, bins)."""
        overview, zoomed = seen["overview"], seen["zoomed"]  # (batch, bins, colours)
        largest = overview.amax(-1, keepdim=True).clamp_min(_NOTICED)
        named = seen["question_colors"].transpose(1, 2)  # (batch, colours, 2)
        offered = seen["option_colors"].amax(2).transpose(1, 2)  # (batch, colours, options)
        before = torch.cat([torch.zeros_like(overview[:, :1]), overview[:, :-1]], 1)
        count = overview.shape[1]
        place = torch.linspace(0, 1, count, device=overview.device).expand(overview.shape[0], count)
        channels = [
            (overview @ named) / largest,
            zoomed @ named,
            (zoomed @ offered).amax(-1, keepdim=True),
            ((zoomed - overview) @ offered).amax(-1, keepdim=True),
            seen["seen"],
            (overview * before).sum(-1, keepdim=True) / (largest**2),
            seen["early"].amax(-1, keepdim=True),
            place[..., None],
            torch.cat([words, seen["budget"]], -1)[:, None].expand(-1, count, -1),
        ]
        return torch.cat(channels, -1).transpose(1, 2)

    def _option_inputs(self, seen: Mapping[str, Tensor], words: Tensor) -> Tensor:
        """What is known of each option: float (batch, options, numbers)."""
        facts = _color_facts(seen)  # (batch, facts, colours)
        options = seen["option_colors"]  # (batch, options, 2, colours)
        batch, count = options.shape[:2]
        of_options = torch.einsum("bfc,bokc->bokf", facts, options)  # (batch, options, 2, facts)
        of_question = torch.einsum("bfc,bkc->bkf", facts, seen["question_colors"])[:, None].expand(-1, count, -1, -1)
        came, _, runs, first, last = of_options.unbind(-1)
        came_named, _, runs_named, _, last_named = of_question.unbind(-1)
        numbers = seen["option_numbers"][..., None]
        steps = seen["overview"].shape[1]  # times are shares of the video: counted in bins a step is 1

        def apart(difference: Tensor) -> Tensor:
            return (difference * steps).clamp(-2.0, 2.0)

        named = seen["option_colors"].sum(-1)  # (batch, options, 2): whether it names a colour at all
        relations = [
            of_options.flatten(2),
            named,
            apart(came[..., :1] - came_named),
            apart(came[..., :1] - came[..., 1:]),
            apart(came[..., :1] - _best_of_others(came[..., 0])[..., None]),
            apart(1.0 - first[..., :1] - last_named),
            apart(last[..., :1] - _best_of_others(last[..., 0])[..., None]),
            (8.0 * (numbers - runs_named)).clamp(-2.0, 2.0),
            (runs_named * 8.0).clamp(0.0, 4.0) / 4.0,
            numbers,
            seen["option_mask"][..., None],
            (runs[..., :1] > 0).float(),
            (came_named > 0).float(),
        ]
        bags = [words[:, None].expand(-1, count, -1), torch.tanh(self.option_words(seen["option_words"]))]
        return torch.cat([*relations, *bags], -1).reshape(batch, count, -1)


def _color_facts(seen: Mapping[str, Tensor]) -> Tensor:
    """Five numbers on each colour: float (batch, 5, colours).

    When it came in a zoom (1 at the video's start, falling to 0; 0 never), how much of a zoomed picture it filled at
    most, how often it came, and the first (1 at the start) and the last bin where it fills most of the overview.
    """
    overview, zoomed, early = seen["overview"], seen["zoomed"], seen["early"]
    bins = overview.shape[1]
    place = torch.arange(bins, device=overview.device, dtype=overview.dtype)[None, :, None]
    came = torch.where(early > 0, 1.0 - (place + 1.0 - early) / bins, torch.zeros_like(early)).amax(1)
    leads = (overview >= overview.amax(-1, keepdim=True)) & (overview > _NOTICED)
    nothing = torch.zeros_like(overview)
    first = torch.where(leads, 1.0 - place / bins, nothing).amax(1)
    last = torch.where(leads, (place + 1.0) / bins, nothing).amax(1)
    return torch.stack([came, zoomed.amax(1), seen["runs"].sum(1), first, last], 1)


def _best_of_others(scores: Tensor) -> Tensor:
    """For each option the largest score among the other options: (batch, options)."""
    count = scores.shape[1]
    own = torch.eye(count, dtype=torch.bool, device=scores.device)
    return scores[:, None].expand(-1, count, -1).masked_fill(own, -1.0).amax(-1)


class TextExtractor(BaseFeaturesExtractor):
    """Features of `DiscreteZoom(text_bytes=...)`: a language model's state at the last token of the text.

    So SB3's own PPO trains with a language model as its backbone, on a CPU or wherever the policy lies.

    Args:
        observation_space: holds `text`, uint8 (bytes,).
        model: a `LanguageModel`, or the folder of one.
        is_trained: whether the model's weights are trained too; frozen, it is a fixed encoder.
        max_tokens: of a longer text the last ones are read.
    """

    def __init__(
        self,
        observation_space: Dict,
        *,
        model: LanguageModel | str,
        is_trained: bool = False,
        max_tokens: int | None = None,
    ) -> None:
        """Load the model where a folder is given.

        Raises:
            ConfigError: the observations hold no text, or the folder no model.
        """
        if "text" not in observation_space.spaces:
            raise ConfigError("TextExtractor wants DiscreteZoom(text_bytes=...), whose observations hold `text`")
        backbone = LanguageModel.load(model) if isinstance(model, str) else model
        super().__init__(observation_space, backbone.lm.config.get_text_config().hidden_size)
        self.backbone, self.is_trained = backbone.requires_grad_(is_trained), is_trained
        self.max_tokens = min(max_tokens or backbone.max_length, backbone.max_length)
        self.norm = nn.LayerNorm(self.features_dim)

    def apply(self, fn: Callable[[nn.Module], None]) -> TextExtractor:
        """Spare the language model: SB3 initialises every layer of an extractor anew, which would undo its training."""
        self.norm.apply(fn)
        return self

    def train(self, mode: bool = True) -> TextExtractor:
        """Leave a frozen backbone in evaluation mode."""
        super().train(mode)
        self.backbone.train(mode and self.is_trained)
        return self

    def forward(self, observations: Mapping[str, Tensor]) -> Tensor:
        """The states, float (batch, hidden size)."""
        rows = [self._ids(row) for row in observations["text"]]
        longest = max(map(len, rows))
        device = observations["text"].device
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        mask = (torch.arange(longest, device=device) < lengths[:, None]).long()  # padded behind: causal states stand
        with torch.set_grad_enabled(self.is_trained and torch.is_grad_enabled()):
            hidden = self.backbone.hidden(ids, attention_mask=mask)
        last = hidden[torch.arange(len(rows), device=device), lengths - 1]
        return self.norm(last.float())

    def _ids(self, row: Tensor) -> list[int]:
        """Token ids of one text; never of special tokens, which a dataset's words could otherwise forge."""
        data = bytes(row.to(torch.uint8).tolist()).rstrip(b"\0")
        return self.backbone.chat.text_ids(data.decode("utf-8", "replace"))[-self.max_tokens :] or [0]
