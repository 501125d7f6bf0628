"""What an installed copy holds and costs: the wheel's names, the core without extras, the import time, the surface."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {"vz_env": "vz_env", "vz_agents": "agents", "vz_benchmarks": "benchmarks"}  # import name -> folder

PLAY_ONE_EPISODE = """
import json, sys
before = set(sys.modules)
import gymnasium as gym
env = gym.make("vz_env:VZ/Needle-v0", split="test", dataset_options={"config": {"videos": {"test": 1}}})
env.reset(seed=0)
env.step('<video_zoom>{"segment":[20,30],"fps":1.6}</video_zoom>')
env.step("<answer>A</answer>")
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""

IMPORT_SECONDS = "import time; start = time.perf_counter(); import vz_env; print(time.perf_counter() - start)"


def run_python(program: str) -> str:
    """Run a program in a fresh interpreter and return the last line it prints."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def core_distributions() -> set[str]:
    """Every distribution that installing the core alone brings in, by normalised name."""
    found: set[str] = set()
    waiting = ["vz-env"]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another platform or Python
            continue
        found.add(name)
        waiting += [re.split(r"[^\w.-]", line)[0] for line in requirements if "extra ==" not in line]
    return found


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The files in a wheel built from a copy of the sources, so that no build folder is left in the tree."""
    source = tmp_path_factory.mktemp("source") / "project"
    leave_out = shutil.ignore_patterns(
        ".*", "__pycache__", "build", "dist", "runs", "*.egg-info", "tests", "docs", "shared"
    )
    shutil.copytree(ROOT, source, ignore=leave_out)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        return wheel.namelist()


def test_wheel_has_only_our_top_level_names(wheel_names: list[str]) -> None:
    top = {name.partition("/")[0] for name in wheel_names}

    assert {name for name in top if not name.endswith(".dist-info")} == set(PACKAGES)


def test_wheel_holds_every_module_and_data_file(wheel_names: list[str]) -> None:
    expected = {
        f"{name}/{path.relative_to(ROOT / folder).as_posix()}"
        for name, folder in PACKAGES.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert expected - set(wheel_names) == set()
    assert {f"{name}/py.typed" for name in PACKAGES} <= set(wheel_names)


def test_every_requirement_is_pinned() -> None:
    pins = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    }
    wanted = {
        re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", line)[0]).lower() for line in metadata.requires("vz-env") or []
    }

    assert wanted - pins == set()


def test_core_plays_an_episode_with_core_dependencies_alone() -> None:
    imported = json.loads(run_python(PLAY_ONE_EPISODE))
    core, owners = core_distributions(), metadata.packages_distributions()
    foreign = {
        name: owners[name]
        for name in imported
        if name in owners and not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners[name]} & core
    }

    assert foreign == {}


@pytest.mark.parametrize("package", ["vz_env", "vz_agents", "vz_benchmarks"])
def test_importing_a_package_does_not_import_torch(package: str) -> None:
    program = f"import sys, {package}; print(sorted(set(sys.modules) & {{'torch', 'transformers', 'openai'}}))"

    assert run_python(program) == "[]"


def test_import_takes_less_than_half_a_second() -> None:
    # One good attempt is enough: other processes of the machine can only make it slower.
    assert any(float(run_python(IMPORT_SECONDS)) < 0.5 for _ in range(5))


def all_modules() -> list[str]:
    return sorted(
        module.name
        for name in PACKAGES
        for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}.")
    )


@pytest.mark.parametrize("name", [*PACKAGES, *all_modules()])
def test_surface_exists_and_is_sorted(name: str) -> None:
    surface = getattr(importlib.import_module(name), "__all__", [])

    assert [member for member in surface if not hasattr(sys.modules[name], member)] == []
    assert list(surface) == sorted(set(surface), key=surface_order)


def surface_order(member: str) -> tuple[int, str]:
    """Constants, then classes, then functions: the order that ruff keeps."""
    return (0 if member.isupper() else 1 if member[0].isupper() else 2, member)
