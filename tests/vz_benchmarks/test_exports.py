from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess

import pytest

from vz_agents.trajectory import TokenRecord, Trajectory
from vz_benchmarks.exports import (
    figures_csv,
    figures_latex,
    figures_markdown,
    groups_csv,
    results_csv,
    results_latex,
    results_markdown,
    write_exports,
)
from vz_benchmarks.records import EpisodeRecord
from vz_benchmarks.results import summarise

HOSTILE = '=cmd|"/C calc"!A1, \\input{x} $_{%} | `x` [a](b) <b>\x1b[31m\n2nd'


def make_result(scores, *, name="P", tokens=0, **fields):
    records = []
    for number, score in enumerate(scores):
        trajectory = Trajectory(
            episode_id=str(number), policy=name, dataset="D", split="test", status="answered", score=score, **fields
        )
        if tokens:
            trajectory.tokens = TokenRecord([1] * tokens, [1] * tokens, [0.0] * tokens, [0] * tokens)
        groups = {"task": "a" if number % 2 else "b"}
        record = EpisodeRecord(key=str(number), run=name, trajectory=trajectory, video_group=str(number), groups=groups)
        records.append(record)
    return summarise(records, resamples=50)


@pytest.fixture
def results():
    return [make_result([1.0, 0.0, 1.0, 1.0], name="Mine", tokens=7), make_result([0.0, None], name=HOSTILE)]


def test_csv_comes_back_with_every_figure(results):
    rows = list(csv.DictReader(io.StringIO(results_csv(results))))
    assert rows[0]["policy"] == "Mine"
    assert float(rows[0]["accuracy"]) == 0.75
    assert float(rows[0]["standard_error"]) == pytest.approx(0.25)
    assert (rows[0]["questions"], rows[0]["tokens"], rows[0]["dataset"]) == ("4", "7.0", "D")
    assert rows[1]["tokens"] == ""
    groups = list(csv.DictReader(io.StringIO(groups_csv(results))))
    assert [(row["group"], row["value"], row["questions"]) for row in groups[:2]] == [
        ("task", "a", "2"),
        ("task", "b", "2"),
    ]


def test_csv_holds_no_formula_and_no_control_character(results):
    text = results_csv(results)
    cell = next(csv.reader(io.StringIO(text.splitlines(keepends=True)[0])))
    assert cell[0] == "policy"
    named = list(csv.DictReader(io.StringIO(text)))[1]["policy"]
    assert named.startswith("'=cmd")
    assert "\x1b" not in text


def test_markdown_is_one_table_whatever_names_hold(results):
    lines = results_markdown(results).splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("| --- | ---: |")
    counts = [line.replace("\\|", "").count("|") for line in lines]
    assert len(set(counts)) == 1
    assert "\\[a\\](b)" in lines[3]


def test_latex_escapes_what_would_run(results):
    text = results_latex(results)
    assert r"Mine & 75.0 $\pm$ 25.0" in text
    assert r"\textbackslash{}input\{x\} \$\_\{\%\}" in text
    assert "\\input" not in text
    assert text.count(r"\\") == 3
    assert r"\textless{}b\textgreater{}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(results, tmp_path):
    body = results_latex(results)
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "x.tex").write_text(document, encoding="utf-8")
    subprocess.run(["pdflatex", "-halt-on-error", "x.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_all_are_written_beside_the_page(results, tmp_path):
    paths = write_exports(tmp_path, results)
    assert [path.name for path in paths] == ["report.csv", "groups.csv", "report.md", "report.tex"]
    assert all(path.stat().st_size for path in paths)
    paths = write_exports(tmp_path, results, [("Figures", ["figure", "questions", "P"], [["micro", "4", "75.0"]])])
    assert {path.name for path in paths} >= {"figures.csv"}
    assert "| micro | 4 | 75.0 |" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "report.tex").read_text().count(r"\begin{tabular}") == 2


def test_a_benchmarks_figures_are_safe_cells_too():
    figures = [(HOSTILE, ["figure", "questions", HOSTILE], [["M-Avg (macro)", "8", "28.6"], [HOSTILE, "1", "–"]])]
    rows = list(csv.DictReader(io.StringIO(figures_csv(figures))))
    assert (rows[0]["figure"], rows[0]["value"]) == ("M-Avg (macro)", "28.6")
    assert rows[1]["value"] == ""
    assert rows[1]["figure"].startswith("'=cmd")
    assert "\\input" not in figures_latex(figures)
    assert figures_latex(figures).startswith("% =cmd")
    assert figures_latex(figures).count("\n% ") == 0  # no line of a title can leave its comment
    table = figures_markdown(figures).splitlines()[2:]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1


def test_nothing_played_is_empty_and_not_nan():
    nothing = make_result([None])
    assert math.isnan(nothing.accuracy.mean)
    assert "nan" not in results_csv([nothing]) + results_markdown([nothing]) + results_latex([nothing])
