"""A real HTTP server on this machine that answers as an OpenAI-compatible one does, or fails as the test asks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["JSON", "ChatServer", "Reply", "chat"]

JSON = {"Content-Type": "application/json"}
Reply = tuple[int, dict[str, str], bytes]


def chat(content: Any, *, prompt_tokens: int = 100, completion_tokens: int = 10, usage: bool = True) -> Reply:
    """A completion with this content, and with what it cost if `usage`."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
    if usage:
        spent = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
        body["usage"] = {**spent, "total_tokens": prompt_tokens + completion_tokens}
    return 200, JSON, json.dumps(body).encode()


class ChatServer:
    """Answers POSTs with what `answer(number, body)` makes of each: a reply, or a callable that is given the handler.

    Attributes:
        bodies: what was asked, decoded, in order.
        keys: the `Authorization` headers.
        served: completions that reached the client.
        most_at_once: requests that were in flight together.
    """

    def __init__(self, answer: Callable[[int, dict[str, Any]], Reply | Callable[[Any], None]]) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str | None] = set()
        self.served, self.most_at_once = 0, 0
        self._at_once, lock, outer = 0, threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(outer.bodies)
                    outer.bodies.append(body)
                    outer.keys.add(self.headers.get("Authorization"))
                    outer._at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer._at_once)
                try:
                    reply = answer(number, body)
                    if callable(reply):
                        reply(self)
                        return
                    status, headers, content = reply
                    self.send_response(status)
                    for name, value in {"Content-Length": str(len(content)), **headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                    outer.served += status == 200
                except (BrokenPipeError, ConnectionResetError):  # the client was killed, or gave up
                    pass
                finally:
                    self.close_connection = True
                    with lock:
                        outer._at_once -= 1

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        class Quiet(ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Keep quiet: faults are what some tests are about."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> ChatServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
