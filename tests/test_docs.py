"""What the README and the docs show is run: Python snippets, `vz` commands, make targets; links lead somewhere.

The snippets of a page are one program, run in order in a folder that holds what the page says the reader has.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vz_benchmarks.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not {"_build", "reference"} & set(page.parts)]  # those two are generated


def snippets(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def pages_with(language: str) -> list[pytest.param]:
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES if snippets(page, language)]


def vz_commands() -> list[str]:
    """Every command line in the docs that begins with `vz`, without its arguments' values."""
    lines = [line for page in PAGES for block in snippets(page, "console") for line in block.splitlines()]
    return sorted({line.partition("#")[0].strip() for line in lines if line.startswith("vz ")})


@pytest.fixture
def readers_folder(tmp_path: Path) -> Path:
    """A folder with a film and its questions, as the own-dataset page describes them."""
    from make_assets import asset

    lectures = tmp_path / "lectures"
    lectures.mkdir()
    asset("cfr.mp4").write(lectures).rename(lectures / "talk.mp4")
    (record,) = snippets(ROOT / "docs" / "how-to" / "own-dataset.md", "json")
    (lectures / "questions.jsonl").write_text(json.dumps(json.loads(record)) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_snippets_run(page: Path, readers_folder: Path) -> None:
    program = readers_folder / "program.py"
    program.write_text("\n".join(snippets(page, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=readers_folder, capture_output=True, text=True, timeout=110, check=False
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", vz_commands())
def test_vz_commands_are_understood(
    command: str, readers_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # With --help appended a command is parsed up to its last word, and nothing is run.
    words = re.sub(r"<[^>]*>", "x", command).split()[1:]
    monkeypatch.chdir(readers_folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")
    try:
        code = main([*words, "--help"])
    except SystemExit as end:
        code = int(end.code or 0)
    shown = capsys.readouterr()

    assert code == 0, shown.out + shown.err
    for flag in [word.partition("=")[0] for word in words if word.startswith("--")]:
        assert flag in shown.out


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for page in [*PAGES, ROOT / "CONTRIBUTING.md"]
        for block in snippets(page, "console")
        for target in re.findall(r"^make ([a-z]+)", block, re.MULTILINE)
    }

    assert named
    assert named - targets == set()


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES])
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.slow
def test_docs_build_without_a_warning(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "reference"))
    shutil.copy(ROOT / "SECURITY.md", tmp_path)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "docs", "html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "reference" / "vz_env.html").is_file()
