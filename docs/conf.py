"""Sphinx settings: MyST pages, and a reference written from the packages as they are installed."""

import importlib
import pkgutil
import re
from importlib.metadata import version as installed_version
from pathlib import Path

project = "VideoZoomer-Gym"
author = "The VideoZoomer-Gym contributors"
copyright = "2026, The VideoZoomer-Gym contributors"
release = version = installed_version("vz-env")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

autodoc_member_order = "bysource"
toc_object_entries = (
    False  # every page copies the whole table of contents: with all objects in it the build takes minutes
)
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"VideoZoomer-Gym {release}"

PACKAGES = ("vz_env", "vz_agents", "vz_benchmarks")


def write_reference(_app):
    """Write reference/<package>.md: one section a module, so that a new module cannot be forgotten."""
    folder = Path(__file__).parent / "reference"
    folder.mkdir(exist_ok=True)
    for package in PACKAGES:
        root = importlib.import_module(package)
        names = [package, *sorted(module.name for module in pkgutil.walk_packages(root.__path__, f"{package}."))]
        sections = [f"## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n" for name in names]
        text = "\n".join([f"# {package}\n", *sections])
        page = folder / f"{package}.md"
        if not page.is_file() or page.read_text(encoding="utf-8") != text:  # unchanged pages are not built again
            page.write_text(text, encoding="utf-8")


def quote_code(_app, _what, _name, _obj, _options, lines):
    """Docstrings write code in single backticks, as Markdown does; reStructuredText wants two."""
    lines[:] = re.sub(r"(?<![`:\w])`([^`\n]+)`(?!`)", r"``\1``", "\n".join(lines)).split("\n")


def setup(app):
    """Write the reference before sources are read, and mend docstrings before napoleon (priority 500) sees them."""
    app.connect("builder-inited", write_reference)
    app.connect("autodoc-process-docstring", quote_code, priority=400)
