"""Every benchmark there is an adapter for, by the dataset's name and by the names of its variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vz_env.errors import ConfigError

from . import (
    cgbench,
    charades,
    egoschema,
    longvideobench,
    longvideoreason,
    lvbench,
    mlvu,
    nextgqa,
    nextqa,
    videoholmes,
    videomme,
    videommmu,
    videozoomer,
    vnbench,
)
from .benchmark import Benchmark

__all__ = ["BENCHMARKS", "VARIANTS", "find_variant"]

_MODULES: Final = (
    *(mlvu, longvideobench, lvbench, videomme, videommmu, longvideoreason, videoholmes, cgbench, nextqa, nextgqa),
    *(egoschema, vnbench, charades, videozoomer),
)
BENCHMARKS: Final[Mapping[str, Benchmark]] = {module.BENCHMARK.name: module.BENCHMARK for module in _MODULES}
"""By the dataset's name, such as `MLVU`."""

VARIANTS: Final[Mapping[str, tuple[Benchmark, Mapping[str, Any]]]] = {
    variant: (benchmark, options)
    for benchmark in BENCHMARKS.values()
    for variant, options in benchmark.variants.items()
}
"""By the name that `vz eval --benchmark` takes, such as `mlvu-dev`: the benchmark and its loader's options."""


def find_variant(name: str) -> tuple[Benchmark, Mapping[str, Any]]:
    """The benchmark and the loader's options behind a variant's name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in VARIANTS:
        raise ConfigError(f"no benchmark is called {name!r}; there are {', '.join(sorted(VARIANTS))}")
    return VARIANTS[name]
