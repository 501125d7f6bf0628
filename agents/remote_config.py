"""How a server is asked: what is sent with every request, how long one waits, and what may be spent in all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from vz_env.errors import ConfigError, VZError

__all__ = ["RemoteConfig", "ServerConfig", "TeacherError", "TeacherLimit", "Usage", "without_password"]


class TeacherError(VZError):
    """Raised when the server cannot be reached, refuses, or replies with what is no reply; the episode is no answer."""


class TeacherLimit(TeacherError):
    """Raised before a request that a limit of requests or of cost no longer allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """What is asked with, and the limits, whichever the server; the limits are of a teacher's whole life."""

    concurrency: int = 8
    """Episodes side by side."""
    images: bool = False
    """Whether frames are sent beside the text, as JPEGs."""
    temperature: float = 1.0
    """Of the server's sampling."""
    max_tokens: int = 1024
    """Most tokens of a reply."""
    timeout_seconds: float = 60.0
    """Of one try."""
    deadline_seconds: float = 300.0
    """Of a reply, retries included."""
    retries: int = 5
    """The client library's, with back-off."""
    requests_per_minute: float | None = None
    """First tries are spaced evenly; none: as fast as it goes."""
    max_requests: int | None = None
    """Most first tries in all."""
    max_cost: float | None = None
    """Most that may be spent, in the unit of the prices; it is passed by at most the requests under way."""
    prompt_price: float = 0.0
    """Per million tokens that the server reads."""
    completion_price: float = 0.0
    """Per million tokens that it writes."""

    def __post_init__(self) -> None:
        """Refuse what could not be asked with."""
        if self.concurrency < 1 or self.retries < 0 or min(self.timeout_seconds, self.deadline_seconds) <= 0:
            raise ConfigError("a teacher wants concurrency >= 1, retries >= 0 and positive timeouts")
        if self.requests_per_minute is not None and self.requests_per_minute <= 0:
            raise ConfigError(f"requests_per_minute wants a positive number, got {self.requests_per_minute}")
        if self.max_cost is not None and not (self.prompt_price > 0 or self.completion_price > 0):
            raise ConfigError("max_cost wants prices: prompt_price and completion_price, per million tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteConfig(ServerConfig):
    """Where the server is, and how it is asked.

    `system` takes the place of the environment's rules (an empty text: no system message). `extra` is added to every
    request; None in it removes a field.
    """

    base_url: str
    model: str
    system: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an address that is none, and what could not be asked with."""
        if not (self.base_url.startswith(("http://", "https://")) and self.model):
            raise ConfigError("a teacher wants a base URL (http or https) and a model: OPENAI_BASE_URL, OPENAI_MODEL")
        ServerConfig.__post_init__(self)  # by name: super() does not find a class that slots have made anew

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


def without_password(url: str) -> str:
    """An address without the name and password that may stand in it, for files that are kept."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
