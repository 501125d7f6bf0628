"""From an environment's messages to token ids: the only place where dataset text meets a chat template.

Token in, token out. The first prompt is rendered once; afterwards ids are only ever appended: what the model sampled,
verbatim, then the suffix that ends its turn, carries the next message and opens its next turn. The wrapping around a
message, and around a picture in it, is taken from the model's own template by rendering it around a marker, so no role
or image token is written down here, and message text is tokenised with special tokens split into plain text: a question
or a subtitle that spells `<|im_end|>` or `<|image_pad|>` stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from vz_env.errors import ConfigError

__all__ = ["ChatRenderer", "PictureRenderer"]

_MARK: Final = "\ue000message\ue001"  # private-use characters: no template and no message holds them
_REPLY: Final = "\ue000reply\ue001"


@dataclass(frozen=True, slots=True)
class _Wrapping:
    before: list[int]
    after: list[int]


class ChatRenderer:
    """Renders user messages of one conversation as token ids to append.

    Attributes:
        end_id: the token that ends an assistant turn; sampling stops on it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, system: str | None = None) -> None:
        """Read the wrapping off the tokenizer's chat template.

        Args:
            tokenizer: a tokenizer with a chat template.
            system: the system message that opens every conversation; None for a model that was trained without one.

        Raises:
            ConfigError: no chat template, or one that does not render a message verbatim.
        """
        if not getattr(tokenizer, "chat_template", None):
            raise ConfigError(
                "wanted a tokenizer with a chat template, got one without: use an instruction-tuned model, "
                "or set tokenizer.chat_template before saving its folder"
            )
        self.tokenizer = tokenizer
        opening = [{"role": "system", "content": system}] if system else []
        turn = [{"role": "user", "content": _MARK}]
        self._first = self._wrap(self._render([*opening, *turn]))
        reply = [{"role": "assistant", "content": _REPLY}, {"role": "user", "content": _MARK}]
        _, found, tail = self._render([*opening, *turn, *reply]).partition(_REPLY)
        if not found:
            raise ConfigError("the chat template does not render a reply verbatim: nothing could be appended to it")
        wrapped = self._wrap(tail)
        self.end_id, rest = self._split_turn_end(wrapped.before)
        self._next = _Wrapping(rest, wrapped.after)
        self._refuse_from_text(self.end_id)

    def first(self, message: str) -> list[int]:
        """Ids of the whole first prompt: system message, this message, the opening of the reply."""
        return self._first.before + self.text_ids(message) + self._first.after

    def next(self, message: str, *, is_turn_ended: bool = True) -> list[int]:
        """Ids to append after a reply: its end when the model did not sample it, this message, the next opening."""
        end = [] if is_turn_ended else [self.end_id]
        return end + self._next.before + self.text_ids(message) + self._next.after

    def text_ids(self, text: str) -> list[int]:
        """Ids of plain text, in which no special token can appear."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)

    def reply_ids(self, text: str) -> list[int]:
        """Ids of a scripted reply, its end-of-turn token included."""
        return [*self.text_ids(text), self.end_id]

    def reply_text(self, ids: list[int]) -> str:
        """The text of a sampled reply, without its end-of-turn token."""
        body = ids[:-1] if ids and ids[-1] == self.end_id else ids
        return str(self.tokenizer.decode(body, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _refuse_from_text(self, token_id: int) -> None:
        """Make sure that text cannot become this token.

        Raises:
            ConfigError: it can: the tokenizer does not count it among its special tokens.
        """
        word = str(self.tokenizer.convert_ids_to_tokens(token_id))
        if token_id in self.text_ids(word):
            raise ConfigError(
                f"wanted a tokenizer that keeps {word!r} in a text apart from its own token, but it is no special "
                "token there: a question could end a turn or show a picture; mark it special in tokenizer.json"
            )

    def _render(self, messages: list[dict[str, Any]]) -> str:
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except (TemplateError, TypeError) as fault:  # broken, or it refuses a role: some take no system message
            roles = ", ".join(message["role"] for message in messages)
            raise ConfigError(
                f"wanted a chat template that renders the roles {roles}, got: {fault}; "
                "leave the system message out, or use another model"
            ) from fault

    def _wrap(self, rendered: str) -> _Wrapping:
        before, found, after = rendered.partition(_MARK)
        if not found:
            raise ConfigError("the chat template does not render a user message verbatim; frames could not be placed")
        return _Wrapping(self._template_ids(before), self._template_ids(after))

    def _template_ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _split_turn_end(self, ids: list[int]) -> tuple[int, list[int]]:
        """The first special token after a reply ends the turn; what follows belongs to the next message."""
        special = set(self.tokenizer.all_special_ids)
        if not ids or ids[0] not in special:
            raise ConfigError("wanted a chat template that ends a reply with a special token right after its text")
        return ids[0], ids[1:]


class PictureRenderer(ChatRenderer):
    """Renders messages with pictures between pieces of their text.

    Attributes:
        image_id: the token that stands for a piece of a picture, as many times as the picture has pieces.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, image_id: int, system: str | None = None) -> None:
        """Read the wrapping of messages and of pictures off the tokenizer's chat template.

        Args:
            tokenizer: a tokenizer with a chat template that takes pictures.
            image_id: the model's image token.
            system: see `ChatRenderer`.

        Raises:
            ConfigError: see `ChatRenderer`, or the template renders no picture.
        """
        super().__init__(tokenizer, system=system)
        self.image_id = image_id
        self._refuse_from_text(image_id)
        content = [{"type": "text", "text": _MARK}, {"type": "image"}, {"type": "text", "text": _REPLY}]
        _, _, rest = self._render([{"role": "user", "content": content}]).partition(_MARK)
        picture, _, _ = rest.partition(_REPLY)
        ids = self._template_ids(picture)
        if ids.count(image_id) != 1:
            raise ConfigError(
                "wanted a chat template that renders a picture as one image token between two texts, got "
                f"{picture[:80]!r}: use the template that the model came with"
            )
        self._picture = _Wrapping(ids[: ids.index(image_id)], ids[ids.index(image_id) + 1 :])

    def first_pictured(self, texts: Sequence[str], tokens: Sequence[int]) -> tuple[list[int], list[int]]:
        """`first` of a message with pictures.

        Args:
            texts: one piece more than there are pictures, which stand between them.
            tokens: image tokens of each picture.

        Returns:
            The ids, and the index of each picture's first image token.
        """
        return self._around(self._first.before, texts, tokens, self._first.after)

    def next_pictured(
        self, texts: Sequence[str], tokens: Sequence[int], *, is_turn_ended: bool = True
    ) -> tuple[list[int], list[int]]:
        """`next` of a message with pictures; arguments and result as of `first_pictured`."""
        end = [] if is_turn_ended else [self.end_id]
        return self._around(end + self._next.before, texts, tokens, self._next.after)

    def _around(
        self, before: list[int], texts: Sequence[str], tokens: Sequence[int], after: list[int]
    ) -> tuple[list[int], list[int]]:
        ids, starts = before + self.text_ids(texts[0]), []
        for text, count in zip(texts[1:], tokens, strict=True):
            ids += self._picture.before
            starts.append(len(ids))
            ids += [self.image_id] * count + self._picture.after + self.text_ids(text)
        return ids + after, starts
