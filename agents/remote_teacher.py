"""A policy over any OpenAI-compatible server: a teacher for exemplars, or a model to evaluate.

Episodes run side by side, each with a conversation of its own. The client library retries with back-off what can be
retried; what then still fails ends that one episode as `error:TeacherError`, and no reply is asked for twice. Where the
server is comes from `OPENAI_BASE_URL`, `OPENAI_MODEL` and `OPENAI_API_KEY`; the key is written nowhere.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import gymnasium as gym

from vz_env.errors import ConfigError

from .journal import Journal
from .policy import Observation
from .remote_config import RemoteConfig, TeacherError, TeacherLimit, Usage
from .remote_messages import history_messages, opening_messages, reply_message, seen_message
from .rollout import EpisodeRun
from .trajectory import Trajectory

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["RemoteConfig", "RemoteTeacher", "TeacherError", "TeacherLimit", "Usage"]

_Result = TypeVar("_Result")
_REFUSALS: Final = (401, 403, 404)  # a wrong key, model or address: no episode will fare better
_HIDDEN: Final = "[key]"


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
        self._known: dict[str, tuple[str, int]] = {}
        for entry in self._journal.entries if self._journal else ():
            self._known[entry["key"]] = entry["reply"], entry["prompt_tokens"] + entry["completion_tokens"]
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
        """Ask about each observation; of earlier turns the server sees the texts, and the frames of a `SeenTurn`.

        Raises:
            TeacherError: a request failed.
            ConfigError: the server refuses the very first request.
        """

        async def ask_all() -> list[str]:
            async with self._connect() as client:
                gate = asyncio.Semaphore(self.config.concurrency)
                asked = [self._ask(client, gate, self._conversation(one), one.episode.id) for one in observations]
                return [text for text, _ in await asyncio.gather(*asked)]

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

    def _conversation(self, observation: Observation) -> list[dict[str, Any]]:
        """All that an observation holds, as messages."""
        opening, images = opening_messages(self.config.system), self.config.images
        history = history_messages(observation, images=images)
        return [*opening, *history, seen_message(observation, images=images)]

    async def _play(self, client: AsyncOpenAI, gate: asyncio.Semaphore, run: EpisodeRun) -> Trajectory:
        """One episode; the environment decodes in a thread, so that other episodes go on.

        The metric `tokens` is what the server says that the last request and its reply took: the whole conversation.
        """
        tokens = 0
        await asyncio.to_thread(run.reset)
        rules = getattr(run.env.unwrapped, "system_text", None)
        messages = opening_messages(self.config.system, rules)
        while run.observation is not None:
            messages.append(seen_message(run.observation, images=self.config.images))
            try:
                # Attempts at the same question are told apart by their seeds: each gets a reply of its own.
                action, tokens = await self._ask(client, gate, messages, f"{run.trajectory.episode_id} {run.seed}")
            except TeacherError as fault:
                run.fail(fault)
                break
            messages.append(reply_message(action))
            await asyncio.to_thread(run.step, action)
        if tokens and not run.trajectory.is_error:
            run.trajectory.metrics["tokens"] = float(tokens)
        return run.finish()

    async def _ask(
        self, client: AsyncOpenAI, gate: asyncio.Semaphore, messages: list[dict[str, Any]], what: str
    ) -> tuple[str, int]:
        """One reply, of the journal or of the server, and its tokens; `what` tells apart requests of the same words."""
        async with gate:
            if self._journal is None:
                text, prompt, completion = await self._request(client, messages)
                return text, prompt + completion
            asked = f"{self.fingerprint} {what} {json.dumps(messages)}"
            key = hashlib.sha256(asked.encode("utf-8", "backslashreplace")).hexdigest()[:32]
            if key not in self._known:
                text, prompt, completion = await self._request(client, messages)
                # Nothing is awaited between the reply and its line: a kill costs the replies that never came.
                self._journal.append(
                    {"key": key, "reply": text, "prompt_tokens": prompt, "completion_tokens": completion}
                )
                self._known[key] = text, prompt + completion
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


def _run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Run in a thread of its own: a notebook has an event loop in this one."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="teacher") as pool:
        return pool.submit(asyncio.run, work).result()
