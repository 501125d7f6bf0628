"""`vz play --web`: a small server on this machine for one page that one person plays in.

It listens on the loopback address alone, and every path begins with a token that only the printed address holds: no
other page of the browser can find it, and a request whose `Host` is another name (DNS rebinding) is refused. The page
holds no script of its own making: what a dataset says is set as text, and a content policy allows our own files only.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, Final

from vz_env.errors import ConfigError, ResetNeeded, VZError
from vz_env.prompts import option_letter

from .session import PlayedTurn, PlaySession

__all__ = ["PlayServer", "state_of"]

MAX_BODY_BYTES: Final = 128 << 10
_PAGES: Final = {
    "": ("play.html", "text/html; charset=utf-8"),
    "play.css": ("play.css", "text/css; charset=utf-8"),
    "play.js": ("play.js", "text/javascript; charset=utf-8"),
}
_FRAME: Final = re.compile(r"frames/(\d{1,6})/(\d{1,3})/(\d{1,4})\.jpg")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class PlayServer(ThreadingHTTPServer):
    """Serves one session on 127.0.0.1.

    Args:
        session: what is played; an episode has begun.
        port: 0 takes a free one.

    Raises:
        ConfigError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, session: PlaySession, *, port: int = 0) -> None:
        """Bind the port; nothing is served before `serve_forever`."""
        self.session, self.token, self.lock = session, secrets.token_urlsafe(16), threading.Lock()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as fault:
            raise ConfigError(f"port {port} cannot be listened on ({fault.strerror}): choose another --port") from fault

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.server_port}/{self.token}/"


def state_of(session: PlaySession) -> dict[str, Any]:
    """All that the page shows, as JSON holds it; nothing of the key before the end."""
    episode, outcome = session.episode, session.outcome
    return {
        "number": session.number,
        "episode_id": episode.id,
        "question": episode.question,
        "options": [{"letter": option_letter(i), "text": text} for i, text in enumerate(episode.options)],
        "context": episode.context_text,
        "duration_seconds": session.duration_seconds,
        "budget": session.budget,
        "frames_per_zoom": session.frames_per_zoom,
        "turns": [_turn(session.number, index, turn) for index, turn in enumerate(session.turns)],
        "outcome": None if outcome is None else asdict(outcome),
    }


def _turn(number: int, index: int, turn: PlayedTurn) -> dict[str, Any]:
    """One turn; its frames by their paths."""
    times = turn.timestamps.tolist()[: len(turn.frames)]
    return {
        "kind": turn.kind,
        "action": turn.action,
        "text": turn.text,
        "segment": turn.segment,
        "frames": [{"time": time, "source": f"frames/{number}/{index}/{i}.jpg"} for i, time in enumerate(times)],
    }


def _play(session: PlaySession, command: Mapping[str, Any]) -> None:
    """Do what the page asks for: begin, zoom, answer, or an action in a policy's words.

    Raises:
        ConfigError: a command that is none of these.
    """
    verb = command.get("do")
    try:
        if verb == "begin":
            episode_id = command.get("episode_id")
            session.begin(None if episode_id is None else str(episode_id))
        elif verb == "zoom":
            fps = command.get("fps")
            session.zoom(float(command["start"]), float(command["end"]), None if fps is None else float(fps))
        elif verb == "answer":
            session.answer(str(command["text"]))
        elif verb == "act":
            session.act(str(command["text"]))
        else:
            raise ConfigError(f"wanted begin, zoom, answer or act, got {verb!r}")
    except (KeyError, TypeError, ValueError, OverflowError) as fault:
        if isinstance(fault, VZError):
            raise
        raise ConfigError(f"{verb} wants other values: {fault}") from fault


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of the page."""

    server: PlayServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a connection may idle

    def do_GET(self) -> None:
        """The page, its files, the state, a frame."""
        path = self._path()
        if path is None:
            return
        if path in _PAGES:
            name, kind = _PAGES[path]
            self._send(HTTPStatus.OK, (files("vz_benchmarks") / "templates" / name).read_bytes(), kind)
        elif path == "api/state":
            with self.server.lock:
                self._send_json(HTTPStatus.OK, state_of(self.server.session))
        elif found := _FRAME.fullmatch(path):
            self._send_frame(*(int(number) for number in found.groups()))
        else:
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "no such page"})

    def do_POST(self) -> None:
        """A command."""
        path = self._path()
        if path is None:
            return
        body = self._body()
        if body is None:
            return
        if path != "api/play":
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "no such command"})
            return
        with self.server.lock:
            try:
                _play(self.server.session, body)
            except ResetNeeded:
                self._send_json(HTTPStatus.CONFLICT, {"error": "This episode is over: begin another one."})
            except VZError as fault:
                self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(fault)})
            else:
                self._send_json(HTTPStatus.OK, state_of(self.server.session))

    def _path(self) -> str | None:
        """The path below the token; None after a refusal."""
        host = f"127.0.0.1:{self.server.server_port}"
        token, slash, rest = self.path.removeprefix("/").partition("/")
        if self.headers.get("Host") not in {host, host.replace("127.0.0.1", "localhost")}:
            self._refuse(HTTPStatus.FORBIDDEN, "another host name")
        elif not (slash and secrets.compare_digest(token.encode(), self.server.token.encode())):
            self._refuse(HTTPStatus.NOT_FOUND, "no such page")
        else:
            return rest
        return None

    def _body(self) -> dict[str, Any] | None:
        """The command, an object in JSON; None after a refusal."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a command has at most {MAX_BODY_BYTES} bytes")
            return None
        if self.headers.get_content_type() != "application/json":  # what a form of another page cannot send
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a command is application/json")
            return None
        try:
            command = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            command = None
        if not isinstance(command, dict):
            self._refuse(HTTPStatus.BAD_REQUEST, "a command is an object in JSON")
            return None
        return command

    def _send_frame(self, number: int, turn: int, index: int) -> None:
        with self.server.lock:
            session = self.server.session
            shown = session.turns[turn] if number == session.number and turn < len(session.turns) else None
        if shown is None or index >= len(shown.frames):
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "no such frame"})
        else:
            self._send(HTTPStatus.OK, shown.jpeg(index), "image/jpeg")

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        """Answer and close: what is left of the request is not read."""
        self.close_connection = True
        self._send_json(status, {"error": reason})

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        self._send(status, json.dumps(value, default=asdict).encode("ascii"), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal belongs to the person."""
