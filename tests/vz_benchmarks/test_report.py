from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import pytest
from rich.console import Console

from vz_agents.baselines import Blind, Oracle, RandomZoom, UniformSampling
from vz_agents.trajectory import Trajectory
from vz_benchmarks.headline import find_headline
from vz_benchmarks.records import EpisodeRecord
from vz_benchmarks.report import write_report
from vz_benchmarks.results import summarise
from vz_benchmarks.runner import evaluate
from vz_benchmarks.tables import comparison_table, group_table
from vz_env.errors import ConfigError

HOSTILE = '<script>alert(1)</script>\x1b[31m"&\u202e'


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.links, self.stack = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in {"meta", "img", "input"}:
            self.stack.append(tag)
        self.look(tag, attributes)

    def handle_startendtag(self, tag, attributes):
        self.look(tag, attributes)

    def look(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in {"src", "href", "srcset", "action"}]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def make_result(scores, *, name="P", reads_key=False, zooms=0.0, frames=32.0, task="count", **fields):
    records = [
        EpisodeRecord(
            key=str(number),
            run=name,
            reads_key=reads_key,
            video_group=str(number // 2),
            groups={"task": task if number % 2 else "first"},
            trajectory=Trajectory(
                **{"episode_id": str(number), "policy": name, "split": "test", "status": "answered", "score": score}
                | fields,
                metrics={"zooms": zooms, "frames_used": frames},
            ),
        )
        for number, score in enumerate(scores)
    ]
    return summarise(records, resamples=50)


def printed(table) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200).print(table)
    return stream.getvalue()


@pytest.fixture
def results(needle, tmp_path):
    policies = [Blind(), UniformSampling(frames=12), RandomZoom(zooms=2), Oracle(needle)]
    return [evaluate(policy, needle, out=tmp_path) for policy in policies]


def test_report_is_one_file_without_scripts_or_outside_addresses(results, needle, tmp_path):
    curve = [{"iteration": number, "accuracy": number / 5} for number in range(5)]
    path = write_report(tmp_path, results, dataset=needle, learning_curve=curve, notes=["Began from nothing."])
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.stack == []
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    assert page.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert not re.search(r"https?://|url\(", text)
    assert "default-src 'none'" in text
    assert text.count('<svg class="chart"') == 3  # against frames, against seconds, the learning curve
    assert 4 <= text.count("<article>") <= 10
    assert "Began from nothing." in text
    assert find_headline(results).sentence.replace("&", "&amp;") in text


def test_report_escapes_everything_that_came_from_outside(tmp_path, needle):
    result = make_result([1.0, 0.0, 1.0, 0.0], name=HOSTILE, task=HOSTILE)
    failed = make_result([None, 1.0], name="b", status=f"error:{HOSTILE}")
    text = write_report(tmp_path, [result, failed], notes=[HOSTILE], title=HOSTILE).read_text(encoding="utf-8")
    Page(text)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_report_without_results_says_so(tmp_path):
    assert "No policy was graded." in write_report(tmp_path, []).read_text(encoding="utf-8")


def test_report_is_the_same_every_time(results, needle, tmp_path):
    first = write_report(tmp_path / "a", results, dataset=needle).read_bytes()
    assert first == write_report(tmp_path / "b", results, dataset=needle).read_bytes()


def test_headline_compares_the_zooming_policy_with_the_best_that_only_looks():
    blind = make_result([0.0, 1.0] * 6, name="Blind", frames=0.0)
    weak = make_result([0.0, 0.0] * 6, name="Uniform-32")
    strong = make_result([1.0, 0.0] * 6, name="Uniform-80", frames=80.0)
    zoomer = make_result([1.0, 1.0] * 6, name="PPO", zooms=1.5, frames=48.0)
    cheat = make_result([1.0] * 12, name="Oracle", reads_key=True, zooms=1.0)
    found = find_headline([blind, weak, strong, cheat, zoomer])
    assert (found.main.policy, found.baseline.policy) == ("PPO", "Uniform-80")
    assert found.difference.mean == 0.5
    assert found.sentence == (
        "PPO answers 100.0% of 12 questions about 6 videos of the test split, looking at 48 frames each; "
        "Uniform-80, at 80 frames, 50.0%: +50.0 points [+50.0, +50.0]."
    )
    named = find_headline([blind, weak, strong, zoomer], main="Uniform-80", baseline="Blind")
    assert (named.main.policy, named.baseline.policy) == ("Uniform-80", "Blind")


def test_headline_refuses_a_name_that_is_not_there():
    with pytest.raises(ConfigError, match="no policy is called 'Nobody' here; there are P"):
        find_headline([make_result([1.0])], baseline="Nobody")


def test_headline_without_a_rival_or_with_cheats_alone():
    alone = find_headline([make_result([1.0, 0.0], name="PPO", zooms=1.0)])
    assert alone.baseline is None
    assert alone.sentence.endswith("looking at 32 frames each.")
    assert find_headline([make_result([1.0], reads_key=True)]) is None


def test_tables_mark_cheating_errors_and_ungraded():
    cheat = make_result([1.0, 1.0], name="Oracle", reads_key=True)
    failed = make_result([1.0, None, None, 1.0], name="F", status="error:VideoDecodeError")
    ungraded = make_result([1.0, None, 0.0], name="U")
    text = printed(comparison_table([cheat, failed, ungraded]))
    assert "Oracle †" in text
    assert "† reads the answer key" in text
    assert "errors as wrong" in text
    assert "2 (+1 ungraded)" in text


def test_tables_do_not_run_markup_or_escapes_from_names():
    result = make_result([1.0, 0.0], name="[red]x[/red]\x1b[2J", task="[bold]t")
    text = printed(comparison_table([result])) + printed(group_table([result]))
    assert "[red]x[/red]" in text
    assert "[bold]t" in text
    assert "\x1b" not in text


def test_group_table_has_a_row_for_each_value():
    text = printed(group_table([make_result([1.0, 0.0] * 4)]))
    assert re.search(r"count\s*│\s*4", text)
    assert re.search(r"first\s*│\s*4", text)
