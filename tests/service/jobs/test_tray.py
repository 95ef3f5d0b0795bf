"""What is kept of files that were read when they were accepted."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from equifield_service.domain.jobs import Job, Ledger
from equifield_service.domain.jobs.assignment import Assignment
from equifield_service.domain.jobs.opening import Opened
from equifield_service.domain.jobs.tray import ROOM, Tray
from equifield_service.domain.registry import Entry, PackageRef
from equifield_service.payload import Frame, ReadOptions
from equifield_service.scheduling import BatchKey
from tests.service import packages
from tests.service.jobs.running import order, tell


def opened(nbytes: int) -> Opened:
    """A file of so many bytes."""
    manifest, shape = packages.manifest(), (1, 1, nbytes // 4, 1)
    frame = Frame("netcdf3", shape[:-1], {}, np.zeros(0, np.uint8))
    key = BatchKey("tiny", "1", shape[1:-1], ("periodic", "periodic"))
    assignment = Assignment(None, ReadOptions(), {}, "float32", "float32", False, None)
    entry = Entry(PackageRef("tiny", "1", Path()), manifest, "ready")
    read = datetime(2020, 1, 1, tzinfo=UTC)
    return Opened(manifest, frame, np.zeros(shape, np.float32), key, nbytes, assignment, entry, read)


def jobs(folder: Path, count: int) -> list[Job]:
    async def accepted(ledger: Ledger) -> list[Job]:
        return [await ledger.accept(order()) for _ in range(count)]

    return tell(f"sqlite:///{folder}/jobs.sqlite", accepted)


def test_a_file_is_given_once_with_the_time_of_its_job(tmp_path: Path) -> None:
    tray, (job,) = Tray(), jobs(tmp_path, 1)
    tray.put(job.id, opened(100))
    found = tray.take(job)
    assert found is not None and found.created == job.created and found.array.nbytes == 100
    assert tray.take(job) is None


def test_the_newest_files_are_kept_as_far_as_there_is_room(tmp_path: Path) -> None:
    tray, (first, second, third, huge) = Tray(), jobs(tmp_path, 4)
    for job in (first, second):
        tray.put(job.id, opened(ROOM // 2))
    tray.put(third.id, opened(4))
    assert tray.take(first) is None
    assert tray.take(second) is not None and tray.take(third) is not None
    tray.put(huge.id, opened(ROOM + 4))
    assert tray.take(huge) is None
