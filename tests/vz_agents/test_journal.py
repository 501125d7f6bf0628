from __future__ import annotations

import pytest

from vz_agents.journal import Journal
from vz_env.errors import ConfigError, DatasetError


def test_what_was_written_is_there_again(tmp_path):
    path = tmp_path / "deep" / "journal.jsonl"
    with Journal(path) as journal:
        journal.append({"text": "\ud800 ü\n"})
        journal.append({"number": 2})
    with Journal(path) as again:
        assert again.entries == [{"text": "\ud800 ü\n"}, {"number": 2}]
        again.append({"number": 3})
    assert len(path.read_bytes().splitlines()) == 3


@pytest.mark.parametrize("torn", [b'{"a": ', b'{"a": 1}', b"\x00\x00", b"[1]\n"])
def test_a_torn_last_line_is_cut(tmp_path, torn):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a": 0}\n' + torn)
    with Journal(path) as journal:
        journal.append({"a": 2})
    assert path.read_bytes() == b'{"a": 0}\n{"a":2}\n'


def test_a_broken_line_before_the_last_loses_nothing(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"a": 0}\nhm\n{"a": 2}\n')
    with pytest.raises(DatasetError, match=r"journal\.jsonl:2: wanted one JSON object, got b'hm"):
        Journal(path)
    assert path.read_bytes() == b'{"a": 0}\nhm\n{"a": 2}\n'


def test_one_process_writes(tmp_path):
    with (
        Journal(tmp_path / "journal.jsonl"),
        pytest.raises(ConfigError, match="another run writes"),
    ):
        Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ConfigError, match="choose another folder"):
        Journal(tmp_path)
