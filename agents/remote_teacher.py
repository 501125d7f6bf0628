"""A policy over any OpenAI-compatible server: a teacher for exemplars, or a model to evaluate.

Episodes run side by side, each with a conversation of its own. The client library retries with back-off what can be
retried; what then still fails ends that one episode as `error:TeacherError`, and no reply is asked for twice. Where the
server is comes from `OPENAI_BASE_URL`, `OPENAI_MODEL` and `OPENAI_API_KEY`; the key is written nowhere.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar
from urllib.parse import urlsplit

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vz_env.budget import Budget
from vz_env.errors import ConfigError, VZError
from vz_env.prompts import system_message

from .interchange.conversation import cut_at_frames
from .interchange.escaping import escape_tokens
from .journal import Journal
from .policy import Observation
from .rollout import EpisodeRun
from .trajectory import Trajectory

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["RemoteConfig", "RemoteTeacher", "TeacherError", "TeacherLimit", "Usage"]

_Result = TypeVar("_Result")
_REFUSALS: Final = (401, 403, 404)  # a wrong key, model or address: no episode will fare better
_HIDDEN: Final = "[key]"


class TeacherError(VZError):
    """Raised when the server cannot be reached, refuses, or replies with what is no reply; the episode is no answer."""


class TeacherLimit(TeacherError):
    """Raised before a request that a limit of requests or of cost no longer allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteConfig:
    """How to ask.

    `retries` are the client library's, with back-off; `deadline_seconds` is of a reply, retries included.
    `requests_per_minute` spaces first attempts evenly; `max_requests` and `max_cost` are of the teacher's whole life,
    and `max_cost` (in the unit of the prices, per million tokens) is passed by at most the requests under way. `extra`
    is added to every request; None in it removes a field. `images` sends the frames beside the text.
    """

    base_url: str
    model: str
    concurrency: int = 8
    images: bool = False
    temperature: float = 1.0
    max_tokens: int = 1024
    timeout_seconds: float = 60.0
    deadline_seconds: float = 300.0
    retries: int = 5
    requests_per_minute: float | None = None
    max_requests: int | None = None
    max_cost: float | None = None
    prompt_price: float = 0.0
    completion_price: float = 0.0
    system: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what could not be asked with."""
        if not (self.base_url.startswith(("http://", "https://")) and self.model):
            raise ConfigError("a teacher wants a base URL (http or https) and a model: OPENAI_BASE_URL, OPENAI_MODEL")
        if self.concurrency < 1 or self.retries < 0 or min(self.timeout_seconds, self.deadline_seconds) <= 0:
            raise ConfigError("a teacher wants concurrency >= 1, retries >= 0 and positive timeouts")
        if self.requests_per_minute is not None and self.requests_per_minute <= 0:
            raise ConfigError(f"requests_per_minute wants a positive number, got {self.requests_per_minute}")
        if self.max_cost is not None and not (self.prompt_price > 0 or self.completion_price > 0):
            raise ConfigError("max_cost wants prices: prompt_price and completion_price, per million tokens")

    @classmethod
    def from_environment(cls, **fields: Any) -> RemoteConfig:
        """Take base URL and model from the environment, the rest as given."""
        named = {"base_url": os.environ.get("OPENAI_BASE_URL", ""), "model": os.environ.get("OPENAI_MODEL", "")}
        return cls(**{**named, **fields})

    def __repr__(self) -> str:
        """Show the model and the host; a base URL may hold a password."""
        return f"RemoteConfig({self.model!r} at {urlsplit(self.base_url).hostname!r})"


@dataclass(slots=True)
class Usage:
    """What was asked and spent so far; `requests` counts first attempts, `replies` those that came to something."""

    requests: int = 0
    replies: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0


class RemoteTeacher:
    """See the module.

    Built without arguments it reads the environment, as `--policy vz_agents.remote_teacher:RemoteTeacher` does.

    Args:
        config: how to ask; of the environment by default.
        api_key: `OPENAI_API_KEY` by default; servers of one's own usually want none.
        journal: a file that holds every reply as soon as it is there. What it holds is not asked for again, and counts
            in `usage`, so that a run that was killed goes on without paying twice; `close` lets go of it.

    Raises:
        ConfigError: the openai package is not installed, or base URL or model are missing.
    """

    def __init__(
        self, config: RemoteConfig | None = None, *, api_key: str | None = None, journal: Path | None = None
    ) -> None:
        """Connect to nothing yet."""
        try:
            import openai  # noqa: F401 - said here, not in the middle of an episode
        except ModuleNotFoundError as fault:
            raise ConfigError("a remote teacher wants the openai extra: pip install 'vz-env[openai]'") from fault
        self.config = config or RemoteConfig.from_environment()
        self.usage = Usage()
        self.name = f"remote:{self.config.model}"
        self.needs_frames = self.config.images
        self.batch_size = self.config.concurrency
        self._key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._next_at = 0.0
        self._is_known = False  # to the server, since this process began: before that a refusal is the caller's to mend
        self._journal = None if journal is None else Journal(journal)
        self._known: dict[str, str] = {}
        for entry in self._journal.entries if self._journal else ():
            self._known[entry["key"]] = entry["reply"]
            self._count(entry["prompt_tokens"], entry["completion_tokens"])
            self.usage.requests += 1

    def close(self) -> None:
        """Let go of the journal, if there is one; nothing can be asked afterwards."""
        if self._journal is not None:
            self._journal.close()

    def __repr__(self) -> str:
        """Show where and what; never the key."""
        return f"RemoteTeacher({self.config!r})"

    @property
    def fingerprint(self) -> str:
        """Changes with the server, the model and how it is asked; not with the key or the limits."""
        asked = self.config
        parts = (asked.base_url, asked.model, asked.images, asked.temperature, asked.max_tokens, asked.system)
        return hashlib.sha256(repr((*parts, sorted(asked.extra.items()))).encode()).hexdigest()[:16]

    def act(self, observations: Sequence[Observation]) -> list[str]:
        """Ask about each observation; of earlier turns the server sees the texts alone.

        Raises:
            TeacherError: a request failed.
            ConfigError: the server refuses the very first request.
        """

        async def ask_all() -> list[str]:
            async with self._connect() as client:
                gate = asyncio.Semaphore(self.config.concurrency)
                return await asyncio.gather(
                    *(self._ask(client, gate, self._messages(one), one.episode.id) for one in observations)
                )

        return _run(ask_all())

    def run_episodes(
        self, envs: Sequence[gym.Env[Any, str]], episode_ids: Sequence[str], seeds: Sequence[int]
    ) -> list[Trajectory]:
        """Play episodes side by side; a request that fails ends its own episode with `error:TeacherError`.

        Raises:
            ConfigError: the server refuses the very first request.
            UnknownEpisode: an environment's dataset has no such episode.
        """

        async def play_all() -> list[Trajectory]:
            async with self._connect() as client:
                gate = asyncio.Semaphore(self.config.concurrency)
                runs = [
                    EpisodeRun(env, policy=self.name, episode_id=episode_id, seed=seed)
                    for env, episode_id, seed in zip(envs, episode_ids, seeds, strict=True)
                ]
                return await asyncio.gather(*(self._play(client, gate, run) for run in runs))

        return _run(play_all())

    async def _play(self, client: AsyncOpenAI, gate: asyncio.Semaphore, run: EpisodeRun) -> Trajectory:
        """One episode; the environment decodes in a thread, so that other episodes go on."""
        await asyncio.to_thread(run.reset)
        rules = getattr(run.env.unwrapped, "system_text", None)
        messages = self._opening(rules)
        while run.observation is not None:
            messages.append(self._message(run.observation))
            try:
                # Attempts at the same question are told apart by their seeds: each gets a reply of its own.
                action = await self._ask(client, gate, messages, f"{run.trajectory.episode_id} {run.seed}")
            except TeacherError as fault:
                run.fail(fault)
                break
            messages.append({"role": "assistant", "content": escape_tokens(action)})
            await asyncio.to_thread(run.step, action)
        return run.finish()

    async def _ask(
        self, client: AsyncOpenAI, gate: asyncio.Semaphore, messages: list[dict[str, Any]], what: str
    ) -> str:
        """One reply, of the journal or of the server; `what` tells apart requests of the same words."""
        async with gate:
            if self._journal is None:
                text, _, _ = await self._request(client, messages)
                return text
            asked = f"{self.fingerprint} {what} {json.dumps(messages)}"
            key = hashlib.sha256(asked.encode("utf-8", "backslashreplace")).hexdigest()[:32]
            if key not in self._known:
                text, prompt, completion = await self._request(client, messages)
                # Nothing is awaited between the reply and its line: a kill costs the replies that never came.
                self._journal.append(
                    {"key": key, "reply": text, "prompt_tokens": prompt, "completion_tokens": completion}
                )
                self._known[key] = text
            return self._known[key]

    async def _request(self, client: AsyncOpenAI, messages: list[dict[str, Any]]) -> tuple[str, int, int]:
        """One reply of the server, within the limits: its text, and the tokens that were read and written."""
        from openai import APIStatusError, OpenAIError

        config = self.config
        fields = {"model": config.model, "temperature": config.temperature, "max_tokens": config.max_tokens}
        request = {name: value for name, value in {**fields, **config.extra}.items() if value is not None}
        await self._wait_for_turn()
        try:
            async with asyncio.timeout(config.deadline_seconds):
                reply = await client.chat.completions.create(messages=messages, **request)
        except APIStatusError as fault:
            self._refuse(fault.status_code, fault)
        except TimeoutError:
            raise TeacherError(f"{self!r}: no whole reply within {config.deadline_seconds:g} s") from None
        except (OpenAIError, ValueError, TypeError) as fault:  # ValueError: a body that is cut off is no JSON
            raise TeacherError(self._clean(f"{self!r}: {type(fault).__name__}: {fault}")) from None
        return self._read(reply)

    def _refuse(self, status: int, fault: Exception) -> NoReturn:
        """Turn a status into an error; `from None`, as a server may say the key in its refusal."""
        said = self._clean(f"{self!r}: status {status}: {fault}")
        if status in _REFUSALS and not self._is_known:
            raise ConfigError(f"{said}; check OPENAI_API_KEY, OPENAI_MODEL and OPENAI_BASE_URL") from None
        raise TeacherError(said) from None

    async def _wait_for_turn(self) -> None:
        """Hold the limits; everything here runs in one event loop, so nothing comes between a check and its count."""
        config = self.config
        if config.max_requests is not None and self.usage.requests >= config.max_requests:
            raise TeacherLimit(f"{self!r}: max_requests={config.max_requests} are spent; raise it to go on")
        if config.max_cost is not None and self.usage.cost >= config.max_cost:
            raise TeacherLimit(f"{self!r}: {self.usage.cost:.4g} of max_cost={config.max_cost:g} is spent")
        self.usage.requests += 1
        if config.requests_per_minute is not None:
            now = time.monotonic()
            at = max(now, self._next_at)
            self._next_at = at + 60.0 / config.requests_per_minute
            await asyncio.sleep(at - now)

    def _read(self, reply: Any) -> tuple[str, int, int]:
        """The text of a reply, and the tokens that were read and written, which are counted."""
        usage = getattr(reply, "usage", None)
        prompt = getattr(usage, "prompt_tokens", None) or 0
        completion = getattr(usage, "completion_tokens", None) or 0
        if self.config.max_cost is not None and not (prompt or completion):
            raise TeacherError(f"{self!r}: the server tells no usage: max_cost cannot be held, use max_requests")
        choices = getattr(reply, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        content = getattr(message, "content", None)
        is_text = isinstance(content, str) and bool(content.strip())
        self._count(prompt, completion, replies=int(is_text))
        if not is_text:
            raise TeacherError(f"{self!r}: the server sent no text: wanted choices[0].message.content")
        self._is_known = True
        text = str(content) if self._key == "none" else str(content).replace(self._key, _HIDDEN)
        return text, prompt, completion

    def _count(self, prompt: int, completion: int, *, replies: int = 1) -> None:
        """Add a reply's tokens to what was spent."""
        spent, config = self.usage, self.config
        spent.replies += replies
        spent.prompt_tokens += prompt
        spent.completion_tokens += completion
        spent.cost += (prompt * config.prompt_price + completion * config.completion_price) / 1e6

    def _clean(self, text: str) -> str:
        """A message without the key, whatever the server put into it, and not too long."""
        return (text if self._key == "none" else text.replace(self._key, _HIDDEN))[:400]

    def _connect(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        config = self.config
        return AsyncOpenAI(
            base_url=config.base_url, api_key=self._key, timeout=config.timeout_seconds, max_retries=config.retries
        )

    def _opening(self, rules: str | None = None) -> list[dict[str, Any]]:
        system = self.config.system if self.config.system is not None else rules or system_message(Budget())
        return [{"role": "system", "content": system}] if system else []

    def _messages(self, observation: Observation) -> list[dict[str, Any]]:
        messages = self._opening()
        for past in observation.history:
            messages.append({"role": "user", "content": escape_tokens(past.observation_text)})
            messages.append({"role": "assistant", "content": escape_tokens(past.action)})
        return [*messages, self._message(observation)]

    def _message(self, observation: Observation) -> dict[str, Any]:
        """What is seen, its text escaped: a server's template must not find a role or an image in it."""
        if not (self.config.images and len(observation.frames)):
            return {"role": "user", "content": escape_tokens(observation.text)}
        parts: list[dict[str, Any]] = []
        pieces = cut_at_frames(observation.text, observation.timestamps.tolist())
        for number, piece in enumerate(pieces):
            if number:
                url = _data_url(observation.frames[number - 1])
                parts.append({"type": "image_url", "image_url": {"url": url}})
            parts += [{"type": "text", "text": escape_tokens(piece)}] if piece else []
        return {"role": "user", "content": parts}


def _data_url(frame: NDArray[np.uint8]) -> str:
    """A frame (height, width, 3) as the address of a JPEG that it holds itself."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, format="JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run in a thread of its own: a notebook has an event loop in this one."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="teacher") as pool:
        return pool.submit(asyncio.run, work).result()
