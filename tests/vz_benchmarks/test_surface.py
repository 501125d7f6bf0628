from __future__ import annotations

import subprocess
import sys

import pytest

import vz_benchmarks


def test_every_public_name_is_there_and_sorted():
    assert list(vz_benchmarks.__all__) == sorted(vz_benchmarks.__all__)
    assert all(getattr(vz_benchmarks, name) is not None for name in vz_benchmarks.__all__)
    assert dir(vz_benchmarks) == sorted(vz_benchmarks.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vz_benchmarks.nothing  # noqa: B018 - looking it up is the point


def test_the_surface_needs_no_torch():
    code = "import sys, vz_benchmarks as p; [getattr(p, name) for name in p.__all__]; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
