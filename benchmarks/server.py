"""The policy `openai` of the command line: any OpenAI-compatible server, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from vz_agents.policy import Policy
from vz_env.errors import ConfigError

__all__ = ["ServerArgs"]


@dataclass(frozen=True, kw_only=True)
class ServerArgs:
    """The server behind the policy `openai`; its key is read from OPENAI_API_KEY and written nowhere."""

    base_url: str = ""
    """Of an OpenAI-compatible server, such as http://localhost:8000/v1; OPENAI_BASE_URL by default."""
    model: str = ""
    """The model to ask for; OPENAI_MODEL by default."""
    images: bool = True
    """Send frames as images, for a model that sees; else it reads the text alone."""
    temperature: float = 0.0
    """Of the server's sampling."""
    max_tokens: int = 1024
    """Most tokens of a reply."""
    concurrency: int = 8
    """Episodes played at the same time."""

    def build(self, system: str | None = None) -> Policy:
        """The policy.

        Args:
            system: the system message; None for the environment's rules, an empty text for none.

        Raises:
            ConfigError: the openai package is not installed, or neither flags nor environment name server and model.
        """
        from vz_agents.remote_teacher import RemoteConfig, RemoteTeacher

        named = {name: value for name, value in (("base_url", self.base_url), ("model", self.model)) if value}
        asked = {"images": self.images, "temperature": self.temperature, "max_tokens": self.max_tokens}
        try:
            config = RemoteConfig.from_environment(**named, **asked, concurrency=self.concurrency, system=system)
        except ConfigError as fault:
            raise ConfigError(f"--policy openai wants --base-url and --model: {fault}") from fault
        return RemoteTeacher(config)
