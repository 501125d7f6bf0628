"""report.html in a real browser: nothing is fetched, nothing fails, hostile text stays text, filters hide."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from vz_agents.baselines import Blind, Oracle, RandomZoom
from vz_benchmarks.report import write_report
from vz_benchmarks.runner import evaluate
from vz_benchmarks.selection import choose_trajectories
from vz_env.datasets.dataset import Dataset
from vz_env.episode import Episode

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")]


def browse(page: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
        *(
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-extensions",
        ),
        *(f"--user-data-dir={folder / 'profile'}", f"--log-net-log={folder / 'net.json'}", "--enable-logging=stderr"),
        *(*words, page.as_uri()),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)


def outside_addresses(net_log: Path) -> set[str]:
    """Every address that was asked for, without the page itself, what it holds, and what the browser asks of itself."""
    text = net_log.read_text(encoding="utf-8", errors="replace").rstrip().rstrip(",")
    try:
        log = json.loads(text)
    except ValueError:  # the browser was ended before it closed the list
        log = json.loads(text + "]}")
    found = {event.get("params", {}).get("url", "") for event in log["events"]}
    asked = {url for url in found if url.startswith(("http", "ws", "ftp"))}
    return {url for url in asked if not (urlsplit(url).hostname or "").endswith((".google.com", ".googleapis.com"))}


@pytest.fixture(scope="module")
def page(needle_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from vz_env.datasets.needle import load_needle

    folder = tmp_path_factory.mktemp("page")
    plain = load_needle(split="test", root=needle_root)
    first = plain.episodes[0]
    hostile = Episode(
        id=HOSTILE,
        question=HOSTILE,
        video_path=first.video_path,
        options=(HOSTILE, "b"),
        groups={"task": HOSTILE, HOSTILE: "x"},
    )
    keys = {**{name: plain.key(name) for name in plain.ids}, HOSTILE: plain.key(first.id)}
    dataset = Dataset(name=HOSTILE, episodes=[*plain.episodes, hostile], keys=keys, root=plain.root)
    results = [evaluate(policy, dataset, out=folder) for policy in (Blind(), RandomZoom(zooms=2), Oracle(dataset))]
    return write_report(
        folder,
        results,
        dataset=dataset,
        trajectories=choose_trajectories(results[1], results[0], limit=50),
        descriptions=json.loads((folder / "runs.json").read_text()),
        figures=[(HOSTILE, [HOSTILE], [[HOSTILE]])],
    )


def test_the_page_opens_without_requests_or_errors(page: Path, tmp_path: Path) -> None:
    done = browse(page, tmp_path, "--dump-dom")
    assert done.stdout.rstrip().endswith("</html>")
    assert "<title>VideoZoomer-Gym</title>" in done.stdout
    assert "<script>" not in done.stdout
    assert "CONSOLE" not in done.stderr
    assert outside_addresses(tmp_path / "net.json") == set()
    assert done.stdout.count("<article>") > 5


def test_filters_hide_what_they_should(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert 'class="case' in text

    def rows_drawn(checked: str) -> int:
        variant = page.with_name(f"{checked or 'all'}.html")
        variant.write_text(text.replace(f'id="only-{checked}"', f'id="only-{checked}" checked'), encoding="utf-8")
        shot = tmp_path / f"{checked or 'all'}.png"
        browse(variant, tmp_path, f"--screenshot={shot}", "--window-size=1000,9000", "--hide-scrollbars")
        pixels = np.asarray(Image.open(shot).convert("L"))
        return int((pixels.std(axis=1) > 1).sum())

    every, failed, wrong = rows_drawn(""), rows_drawn("failed"), rows_drawn("wrong")
    assert failed < wrong < every
