"""The documentation: it builds strictly, reaches no other host, and names everything that is exported."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(https?:[^\"'\s>]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_site_builds_strictly(site: Path) -> None:
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert (site / "index.html").exists()
    assert all((site / page / "index.html").exists() for page in pages)


def test_the_site_loads_nothing_from_other_hosts(site: Path) -> None:
    canonical = re.compile(r"<link[^>]*rel=[\"']?(?:canonical|prev|next)[^>]*>")
    loaded = {
        address for page in site.rglob("*.html") for address in LOADED.findall(canonical.sub("", page.read_text()))
    }
    assert loaded == set()


@pytest.mark.parametrize(
    "package",
    [
        *("nn", "ops", "models", "operators", "planner", "plot", "inference"),
        *("train", "train.data", "train.runs", "train.simulate"),
    ],
)
def test_the_reference_names_everything_that_is_exported(package: str) -> None:
    module = importlib.import_module(f"equifield.{package}")
    exported = {
        name for name, value in vars(module).items() if str(getattr(value, "__module__", "")).startswith("equifield.")
    }
    pages = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    block = re.search(rf"^::: equifield\.{package}\n(?:    .*\n)*?      members: \[(.*)\]", pages, re.MULTILINE)
    assert block is not None
    assert exported <= set(block[1].split(", "))
