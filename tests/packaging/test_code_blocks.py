"""What the pages show works: their Python and bash blocks run in order against the real service."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import xarray as xr

REPOSITORY = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(f"docs/{page.name}" for page in (REPOSITORY / "docs").glob("*.md"))]
OF_THE_ENGINE = [
    f"docs/{name}.md"
    for name in ("engine", "ginjax", "operators", "package", "pictures", "planner", "rollout", "training-data")
]
"""Pages that train and compile networks: long runs, which only a change of the engine can break."""
EXAMPLE = "wind_temperature.nc"
DEFAULT_URL = "http://127.0.0.1:8000"
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n\n?)?^(?P<indent> *)```(?P<language>python|bash)\b[^\n]*\n"
    r"(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block, and where it begins."""

    language: str
    code: str
    line: int
    reason: str | None


def blocks(page: str) -> list[Block]:
    text = (REPOSITORY / page).read_text()
    return [
        Block(match["language"], match["code"], text[: match.start("code")].count("\n") + 1, match["reason"])
        for match in BLOCK.finditer(text)
    ]


def script(page: str, url: str) -> str:
    """All blocks of a page as one Python program, so that later ones see what earlier ones made."""
    parts = ["import subprocess as _subprocess", "import sys as _sys"]
    for block in blocks(page):
        if block.reason is not None:
            continue
        code = block.code.replace(DEFAULT_URL, url)
        parts.append(f"print('--- {page}, line {block.line}', flush=True)")
        if block.language == "python":
            parts.append(code)
        else:
            command = ["bash", "-euo", "pipefail", "-c", code]
            parts.append(f"if _subprocess.run({command!r}).returncode: _sys.exit('{page}, line {block.line}')")
    return "\n".join(parts)


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=[pytest.mark.soak] if page in OF_THE_ENGINE else []) for page in PAGES]
)
def test_the_code_blocks_of_a_page_run(page: str, service_url: str, tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    with xr.open_dataset(REPOSITORY / "examples" / EXAMPLE, decode_cf=False) as wind:
        part = wind.isel(lev=[0, 3], lat=slice(None, None, 2), lon=slice(None, None, 2))  # a check takes less by far
        part.to_netcdf(tmp_path / "examples" / EXAMPLE)
    shutil.copytree(REPOSITORY / "models_store", tmp_path / "models_store")
    (tmp_path / "page.py").write_text(script(page, service_url))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"EQUIFIELD_URL": service_url, "PATH": path}
    command = [sys.executable, "page.py"]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=800)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"


def test_the_quick_start_has_blocks_of_both_languages() -> None:
    run = {block.language for block in blocks("docs/quickstart.md") if block.reason is None}
    assert run == {"python", "bash"}
