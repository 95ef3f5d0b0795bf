"""What the spool promises, in a folder and behind URLs."""

import os
import resource
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from equifield_service.domain.errors import SpoolFailed, SpoolFull
from equifield_service.domain.jobs import Piece, Spool, file_of, new_id
from equifield_service.domain.jobs.spool import CHUNK
from tests.service import buckets

TEXT = secrets.token_bytes(2 * CHUNK + 17)


@pytest.fixture(params=["folder", "memory", *buckets.PROTOCOLS])
def spool(request: pytest.FixtureRequest, new_bucket: Callable[[str], str], tmp_path: Path) -> Spool:
    """A spool of every kind, empty."""
    match request.param:
        case "folder":
            place = str(tmp_path / "spool")
        case "memory":
            place = f"memory://{tmp_path}"
        case protocol:
            place = new_bucket(protocol)
    return Spool(place).start()


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process grows beyond this size, as if the disk ended there."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")  # by gcsfs, of a chunk
def test_what_is_read_is_what_was_written(spool: Spool) -> None:
    name = file_of(new_id(), "input")
    kept = spool.put(name, [TEXT[:5], b"", TEXT[5:]])
    assert (kept.name, kept.bytes) == (name, len(TEXT)) and spool.load(kept) == TEXT
    for start, stop in ((0, 3), (7, CHUNK + 9), (CHUNK, len(TEXT)), (len(TEXT) - 1, len(TEXT) + 5), (9, 9)):
        assert b"".join(spool.read_range(name, start, stop)) == TEXT[start:stop]
    assert spool.load(spool.put(file_of(new_id(), "input"), [])) == b""


@pytest.mark.parametrize("damage", [lambda text: text[:-1], lambda text: bytes([text[0] ^ 1]) + text[1:]])
def test_a_file_that_was_changed_is_never_read_whole(tmp_path: Path, damage: object) -> None:
    spool, name = Spool(str(tmp_path)).start(), file_of(new_id(), "result")
    kept = spool.put(name, [TEXT])
    (tmp_path / name).write_bytes(damage(TEXT))  # type: ignore[operator]
    given: list[bytes] = []
    with pytest.raises(SpoolFailed, match="not what was written"):
        given.extend(spool.read(kept))
    assert sum(map(len, given)) < kept.bytes, "who sends it on sends too little, which the receiver sees"


def test_a_file_that_is_gone_is_an_error_of_the_spool(spool: Spool) -> None:
    with pytest.raises(SpoolFailed):
        spool.load(Piece(file_of(new_id(), "input"), 1, ""))


def test_a_file_whose_writer_fails_was_never_there(spool: Spool) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        raise ZeroDivisionError

    job = new_id()
    with pytest.raises(ZeroDivisionError):
        spool.put(file_of(job, "input"), chunks())
    assert spool.of(job) == []


def test_a_file_that_is_written_again_is_the_old_one_until_it_is_the_new_one(spool: Spool) -> None:
    name = file_of(new_id(), "checkpoint", 3)
    old = spool.put(name, [b"old"])

    def chunks() -> Iterator[bytes]:
        yield b"new"
        assert spool.load(old) == b"old"

    assert spool.load(spool.put(name, chunks())) == b"new"


def test_files_of_a_job_are_found_and_removed_and_those_of_others_stay(spool: Spool) -> None:
    one, other = new_id(), new_id()
    names = [file_of(one, "input"), file_of(one, "checkpoint", 7)]
    for name in (*names, file_of(other, "input")):
        spool.put(name, [b"x"])
    assert sorted(spool.of(one)) == sorted(names)
    assert set(spool.old(0).values()) == {one, other} and spool.old(3600) == {}
    for _ in range(2):
        spool.remove(names)
    assert spool.of(one) == [] and len(spool.of(other)) == 1


def test_a_full_disk_is_said_keeps_nothing_of_the_new_and_all_of_the_old(tmp_path: Path) -> None:
    spool, old, new = Spool(str(tmp_path)).start(), new_id(), new_id()
    kept = spool.put(file_of(old, "input"), [TEXT])
    with room(CHUNK):
        with pytest.raises(SpoolFull):
            spool.put(file_of(new, "input"), [TEXT])
        assert spool.load(kept) == TEXT
        assert spool.load(spool.put(file_of(new, "input"), [b"small"])) == b"small", "what fits is taken"
    assert len(os.listdir(tmp_path)) == 2


def test_a_file_grows_and_goes_on_from_where_it_was_good(tmp_path: Path) -> None:
    spool, name = Spool(str(tmp_path)).start(), file_of(new_id(), "result", 1)
    size = spool.append(name, b"one two", 0)
    assert spool.append(name, b" three", 3) == 9 < size + 6
    assert b"".join(spool.read_range(name, 0, 9)) == b"one three"
    assert spool.load(spool.seal(name)) == b"one three"
    with pytest.raises(ValueError, match="cannot go on at byte 12"):
        spool.append(name, b"!", 12)
    with pytest.raises(ValueError, match="grows only in a folder"):
        Spool(f"memory://{tmp_path}").start().append(name, b"!", 0)


def test_a_file_that_finds_no_room_to_grow_stays_as_it_was(tmp_path: Path) -> None:
    spool, name = Spool(str(tmp_path)).start(), file_of(new_id(), "result", 1)
    spool.append(name, TEXT[:CHUNK], 0)
    with room(CHUNK + 5), pytest.raises(SpoolFull):
        spool.append(name, TEXT[CHUNK:], CHUNK)
    assert spool.load(spool.seal(name)) == TEXT[:CHUNK]


@pytest.mark.parametrize("name", ["../secrets", "a/b.input", f"{'0' * 32}.in/put", f"{'0' * 32}.input\n", ".", ""])
def test_a_name_that_is_not_ours_is_refused(spool: Spool, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        spool.put(name, [b"x"])
    with pytest.raises(ValueError, match="no name for a file"):
        file_of(name, "input")


def test_bytes_are_on_the_disk_before_they_have_a_name_and_the_name_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(file: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{file}") else "file")
        real_sync(file)

    def rename(path: Path, target: Path) -> Path:
        done.append("rename")
        return real_rename(path, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    Spool(str(tmp_path)).start().put(file_of(new_id(), "input"), [b"x"])
    assert done == ["file", "rename", "folder"]
