"""Writes every hostile file into a folder.

    python -m tests.hostile.make /tmp/hostile

Open them only in processes that may die: several crash, hang or fill the memory of the libraries that read them.
"""

import sys
from pathlib import Path

from . import classic, fields, hdf5
from .kinds import KINDS

MODULES = (classic, hdf5, fields)
"""Importing them fills the list."""


def main(folder: Path) -> None:
    """Writes them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in KINDS.items():
        (folder / f"{name}.nc").write_bytes(kind.make())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
