"""Playing in a browser: what the server answers and refuses, and the page in headless Chromium."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vz_benchmarks.play.session import PlaySession
from vz_benchmarks.play.web import MAX_BODY_BYTES, PlayServer
from vz_env.datasets.dataset import Dataset
from vz_env.errors import ConfigError


@pytest.fixture
def serve(session) -> Iterator[Any]:
    """Serve a session until the test ends."""
    running = []

    def start(served: PlaySession = session) -> PlayServer:
        server = PlayServer(served)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(
    server: PlayServer,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    host: str | None = None,
    kind: str = "application/json",
) -> tuple[int, Any, http.client.HTTPMessage]:
    """One request; (status, JSON or bytes, headers)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    headers = {"Host": host or f"127.0.0.1:{server.server_port}"}
    data = None
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers["Content-Type"] = kind
    target = f"/{server.token if token is None else token}/{path}"
    connection.request("POST" if body is not None else "GET", target, data, headers)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    told = json.loads(content) if reply.headers.get_content_type() == "application/json" else content
    return reply.status, told, reply.headers


def test_an_episode_over_http(serve, right_letter):
    server = serve()
    status, state, headers = ask(server, "api/state")
    assert (status, len(state["turns"][0]["frames"]), state["outcome"]) == (200, 12, None)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    picture = ask(server, state["turns"][0]["frames"][5]["source"])
    assert (picture[0], picture[1][:2]) == (200, b"\xff\xd8")
    zoomed = ask(server, "api/play", {"do": "zoom", "start": 8, "end": 16})[1]
    assert zoomed["turns"][1]["segment"] == [8.0, 16.0]
    over = ask(server, "api/play", {"do": "answer", "text": right_letter})[1]
    assert over["outcome"]["score"] == 1.0
    assert over["outcome"]["evidence"]
    assert ask(server, "api/play", {"do": "zoom", "start": 8, "end": 16})[0] == 409
    assert ask(server, "api/play", {"do": "begin"})[1]["number"] == 2
    assert ask(server, picture[2].get("x") or "frames/1/0/5.jpg")[0] == 404  # of the episode before


@pytest.mark.parametrize("path", ["", "play.js", "play.css"])
def test_the_pages_files_are_served(serve, path):
    status, content, _ = ask(serve(), path)

    assert status == 200
    assert len(content) > 500


@pytest.mark.parametrize(
    "command",
    [
        {},
        {"do": "dance"},
        {"do": "zoom", "start": "x", "end": 2},
        {"do": "zoom", "start": 1},
        {"do": "zoom", "start": 1, "end": 1e999},
        {"do": "zoom", "start": 5, "end": 1},
        {"do": "zoom", "start": [], "end": {}},
        {"do": "answer", "text": ""},
        {"do": "begin", "episode_id": "none"},
        [1],
        b"{nonsense",
        b"[" * 50_000,
    ],
)
def test_bad_commands_are_answered_and_cost_nothing(serve, session, command):
    server = serve()
    status, told, _ = ask(server, "api/play", command)

    assert status == 400
    assert told["error"]
    assert session.budget["turns"] == 4
    assert ask(server, "api/state")[0] == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"token": "guess"}, 404),
        ({"token": ""}, 404),
        ({"host": "evil.example"}, 403),
        ({"kind": "text/plain"}, 415),
        ({"kind": "application/x-www-form-urlencoded"}, 415),
        ({"body": b"x" * (MAX_BODY_BYTES + 1)}, 413),
    ],
)
def test_other_pages_of_the_browser_cannot_play(serve, session, changes, status):
    body = changes.pop("body", {"do": "answer", "text": "A"})

    assert ask(serve(), "api/play", body, **changes)[0] == status
    assert session.outcome is None


@pytest.mark.parametrize("path", ["nothing", "frames/1/0/99.jpg", "frames/1/9/0.jpg", "../cli.py", "frames/1/0/5.jpg/"])
def test_nothing_else_is_there(serve, path):
    assert ask(serve(), path)[0] == 404


def test_it_listens_on_this_machine_alone_and_a_taken_port_is_said(serve, session):
    server = serve()

    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(ConfigError, match="choose another --port"):
        PlayServer(session, port=server.server_port)


def find_chromium() -> str | None:
    """A Chromium on the path, or where playwright installs its own."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    on_path = next((found for name in names if (found := shutil.which(name))), None)
    if on_path or importlib.util.find_spec("playwright") is None:
        return on_path
    root = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    return next((str(path) for path in sorted(root.glob("chromium*/chrome-linux*/chrome"))), None)


@pytest.fixture
def page() -> Iterator[Any]:
    """A page in headless Chromium; errors and refusals of the page are collected in `page.troubles`."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium here: install one, or run `playwright install chromium`")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page(viewport={"width": 1100, "height": 900})
        opened.set_default_timeout(20_000)
        troubles: list[str] = []
        opened.on("pageerror", lambda error: troubles.append(str(error)))
        opened.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        opened.troubles = troubles
        yield opened
        browser.close()


def drag(page: Any, start: float, end: float) -> None:
    """Drag over the timeline, by shares of its width."""
    box = page.locator("#timeline").bounding_box()
    page.mouse.move(box["x"] + box["width"] * start, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + 20, steps=4)
    page.mouse.up()


def wait_until(page, expression, seconds=20.0):
    """Ask the page again and again: its own polling evaluates text, which the page's security policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def test_a_person_zooms_by_dragging_and_answers_by_a_click(page, serve, session, right_letter):
    page.goto(serve().url)
    page.wait_for_selector("#options button")
    wait_until(page, "[...document.images].filter((image) => image.naturalWidth > 0).length == 12")
    drag(page, 0.25, 0.5)
    assert float(page.input_value("#start")) == pytest.approx(24, abs=0.5)
    assert float(page.input_value("#end")) == pytest.approx(48, abs=0.5)
    page.click("#zoom-button")
    page.wait_for_selector("#timeline .zoomed")
    assert page.locator("article.turn").first.locator("img").count() == session.frames_per_zoom == 16
    assert page.locator("#timeline .evidence").count() == 0
    assert "3 turns, 2 zooms" in page.inner_text("#budget")
    page.click(f"#options button >> text=/^{right_letter}\\./")
    page.wait_for_selector("#outcome:visible")

    page.click("article.turn summary >> nth=0")
    assert page.inner_text("article.turn pre >> nth=0").startswith("Zoom 24")
    assert page.locator("#timeline .selection").count() == 0
    assert page.inner_text("#verdict") == "Right."
    assert page.locator("#timeline .evidence").count() == len(session.outcome.evidence)
    assert page.locator("#options button.right").count() == 1
    assert page.locator("#zoom-button").is_disabled()
    page.click("#again")
    page.wait_for_selector("#outcome", state="hidden")
    assert session.number == 2
    assert page.troubles == []


def test_mistakes_are_told_on_the_page(page, serve, session):
    page.goto(serve().url)
    page.wait_for_selector("#options button")
    page.click("#zoom-button")
    assert "Drag over" in page.inner_text("#message")
    page.fill("#start", "8")
    page.fill("#end", "16")
    page.fill("#fps", "99")
    page.click("#zoom-button")
    page.wait_for_selector("#message >> text=OVER_BUDGET")

    assert session.budget["turns"] == 3
    page.fill("#fps", "")
    page.keyboard.press("Enter")
    page.wait_for_selector("#timeline .zoomed")
    assert page.locator("#message").is_hidden()
    assert page.troubles == []


def test_a_dataset_cannot_put_markup_on_the_page(page, serve, make_session, needle):
    evil = "<img src=x onerror=alert(1)><script>document.title='owned'</script>"
    episode = replace(needle.episodes[0], question=f"Who? {evil}", options=(evil, "b"), context_text=evil)
    dataset = Dataset(name="Hostile", episodes=[episode], keys={episode.id: needle.key(episode.id)})
    session = make_session(dataset)
    session.begin()
    page.goto(serve(session).url)
    page.wait_for_selector("#options button")

    assert page.inner_text("#question") == f"Who? {evil}"
    assert page.title() == "Play"
    assert page.locator("img[src=x]").count() == 0
    assert page.troubles == []


def test_a_free_answer_has_a_field(page, serve, make_session, needle):
    episode = replace(needle.episodes[0], options=(), answer_kind="text")
    key = type(needle.key(episode.id))(answer_texts=("a red card",))
    session = make_session(Dataset(name="Free", episodes=[episode], keys={episode.id: key}))
    session.begin()
    page.goto(serve(session).url)
    page.fill("#free-text", "A red card")
    page.keyboard.press("Enter")
    page.wait_for_selector("#outcome:visible")

    assert page.inner_text("#verdict") == "Right."
