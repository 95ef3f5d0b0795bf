"""What hostile files point at: a pipe that never answers, and another file of this machine."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import h5py


@contextlib.contextmanager
def laid(fifo: Path, secret: Path) -> Iterator[None]:
    """Both traps at their places, as long as the context lasts; another test process may have laid them too."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(fifo)
    if not secret.exists():
        with h5py.File(secret, "w") as file:
            file["secret"] = [1234.5]
    yield
    fifo.unlink(missing_ok=True)
    secret.unlink(missing_ok=True)
