"""Stores: folders, and URLs of real local servers that speak S3 and GCS. What they list and fetch is the same."""

import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from equifield.package import PackageCorrupt, verify_package
from equifield.package.manifest import Manifest
from equifield_service.domain import places
from equifield_service.domain import store as store_module
from equifield_service.domain.store import MODEL, VERSION, PackageName, Store, StoreUnavailable
from tests.service import buckets

TINY = PackageName("tiny", "1")


@pytest.fixture(params=["folder", "file", "memory", *buckets.PROTOCOLS])
def url(request: pytest.FixtureRequest, new_bucket: Callable[[str], str], tmp_path: Path) -> str:
    """A place of every kind, there and empty."""
    if request.param in buckets.PROTOCOLS:
        return new_bucket(request.param)
    place = str(tmp_path / "models") if request.param == "folder" else f"{request.param}://{tmp_path}/models"
    system, path = fsspec.url_to_fs(place)
    system.mkdir(path)
    return place


@pytest.fixture(params=buckets.PROTOCOLS)
def bucket(request: pytest.FixtureRequest, new_bucket: Callable[[str], str]) -> str:
    """A store in a bucket, below a prefix, with what could be a package."""
    return filled(new_bucket(request.param))


@pytest.fixture
def s3(new_bucket: Callable[[str], str]) -> str:
    """The same in S3, for what no local server that speaks GCS does."""
    return filled(new_bucket("s3"))


def filled(place: str) -> str:
    for path in ("manifest.json", "card.md", "checkpoint/d/0"):
        write(f"{place}/all", f"tiny/1/{path}", path.encode())
    return f"{place}/all"


def put(url: str, store: Path) -> None:
    """Copies a store to a place."""
    for path in store.rglob("*"):
        if path.is_file():
            write(url, path.relative_to(store).as_posix(), path.read_bytes())


def write(url: str, path: str, content: bytes) -> None:
    system, root = fsspec.url_to_fs(url)
    system.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
    system.pipe_file(f"{root}/{path}", content)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_names_and_versions_are_those_that_a_manifest_allows() -> None:
    properties = Manifest.model_json_schema()["properties"]
    assert (f"^{MODEL.pattern}$", f"^{VERSION.pattern}$") == tuple(
        properties[name]["pattern"] for name in ("name", "version")
    )


def test_every_kind_of_place_lists_the_same_and_gives_whole_packages(url: str, published: Path, tmp_path: Path) -> None:
    store = Store(url, tmp_path / "cache")
    store.check()
    assert store.packages() == {}
    put(url, published)
    write(url, "tiny/10/manifest.json", b"{}")
    assert set(store.packages()) == {TINY, PackageName("tiny", "10")}
    fetched = store.fetch(TINY)
    assert verify_package(fetched).name == "tiny"
    assert contents(fetched) == contents(published / "tiny" / "1")


def test_a_change_of_any_file_is_seen_and_nothing_else_is(url: str, tmp_path: Path) -> None:
    store = Store(url, tmp_path / "cache")
    write(url, "tiny/1/card.md", b"# A card\n")
    write(url, "other/1/manifest.json", b"{}")
    before = store.packages()
    assert store.packages() == before
    write(url, "tiny/1/card.md", b"# Another card\n")
    changed = store.packages()
    assert changed[TINY] != before[TINY]
    write(url, "tiny/1/new", b"")
    assert store.packages()[TINY] not in (before[TINY], changed[TINY])
    assert store.packages()[PackageName("other", "1")] == before[PackageName("other", "1")]


def test_what_is_no_package_is_not_listed_and_named_once(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(url, tmp_path / "cache")
    for path in ("README.md", "tiny/notes", ".hidden/1/x", "tiny/.2.staging/x", "tiny/v2/x", "tiny/02/x", "Tiny/1/x"):
        write(url, path, b"x")
    assert store.packages() == store.packages() == {}
    warnings = [record.getMessage() for record in caplog.records if record.name == store_module.__name__]
    assert [warning.split()[0] for warning in sorted(warnings)] == ["'Tiny/1'", "'tiny/02'", "'tiny/v2'"]


def test_a_local_package_is_not_copied(published: Path, tmp_path: Path) -> None:
    assert Store(str(published), tmp_path / "cache").fetch(TINY) == published / "tiny" / "1"
    assert not (tmp_path / "cache").exists()


def test_models_and_versions_of_a_folder_may_be_links(published: Path, tmp_path: Path) -> None:
    (tmp_path / "store" / "tiny").mkdir(parents=True)
    (tmp_path / "store" / "tiny" / "1").symlink_to(published / "tiny" / "1")
    assert set(Store(str(tmp_path / "store"), tmp_path).packages()) == {TINY}


def test_a_copy_is_kept_until_the_package_changes_and_then_replaced(bucket: str, tmp_path: Path) -> None:
    store = Store(bucket, tmp_path)
    first = store.fetch(TINY)
    kept = first.stat().st_ino
    assert store.fetch(TINY) == first and first.stat().st_ino == kept
    write(bucket, "tiny/1/card.md", b"# Another card\n")
    second = store.fetch(TINY)
    assert second != first and (second / "card.md").read_bytes() == b"# Another card\n"
    assert list((tmp_path / "tiny" / "1").iterdir()) == [second]


def test_a_changed_object_is_fetched_as_it_is_and_refused_by_its_hash(
    bucket: str, published: Path, tmp_path: Path
) -> None:
    put(bucket, published)
    write(bucket, "tiny/1/card.md", b"# Another card\n")
    with pytest.raises(PackageCorrupt, match="card.md: its SHA-256 is not"):
        verify_package(Store(bucket, tmp_path).fetch(TINY))


def test_a_download_that_fails_half_way_leaves_nothing(s3: str, tmp_path: Path) -> None:
    system, root = fsspec.url_to_fs(s3)
    system.pipe_file(f"{root}/tiny/1/zzz", b"archived", StorageClass="GLACIER")
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        Store(s3, tmp_path).fetch(TINY)
    assert contents(tmp_path) == {}


def test_what_a_killed_process_left_is_made_good(bucket: str, tmp_path: Path) -> None:
    whole = contents(Store(bucket, tmp_path).fetch(TINY))
    shutil.copytree(Store(bucket, tmp_path).fetch(TINY), tmp_path / "tiny" / "1" / ".half" / "package")
    (Store(bucket, tmp_path).fetch(TINY) / "manifest.json").write_bytes(b"")
    fetched = Store(bucket, tmp_path).fetch(TINY)
    assert contents(fetched) == whole
    assert list((tmp_path / "tiny" / "1").iterdir()) == [fetched]


@pytest.mark.parametrize("name", ["a/../../../../gotcha", "a//b", "./b"])
def test_the_name_of_an_object_cannot_lead_out_of_its_package(s3: str, tmp_path: Path, name: str) -> None:
    write(s3, f"tiny/1/{name}", b"x")
    with pytest.raises(PackageCorrupt, match="leads out"):
        Store(s3, tmp_path / "cache").fetch(TINY)
    assert contents(tmp_path) == {}


def test_folders_that_tools_store_as_empty_objects_are_no_files(bucket: str, tmp_path: Path) -> None:
    system, root = fsspec.url_to_fs(bucket)
    system.pipe_file(f"{root}/tiny/1/", b"")
    assert sorted(contents(Store(bucket, tmp_path).fetch(TINY))) == ["card.md", "checkpoint/d/0", "manifest.json"]


@pytest.mark.parametrize("gone", ["s3://no-such-bucket", "gs://no-such-bucket", "/nowhere", "memory://nowhere"])
def test_a_place_that_is_gone_is_not_an_empty_one(gone: str, new_bucket: Callable[[str], str], tmp_path: Path) -> None:
    protocol = gone.partition("://")[0]
    if protocol in buckets.PROTOCOLS:
        new_bucket(protocol)
    store = Store(gone, tmp_path)
    for ask in (store.check, store.packages):
        with pytest.raises(StoreUnavailable, match=f"The store {gone} cannot be read: .*EQUIFIELD_STORE"):
            ask()


def test_a_package_that_is_gone_is_named(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="The package tiny/7 is not in the store"):
        Store(bucket, tmp_path).fetch(PackageName("tiny", "7"))


@pytest.mark.parametrize("protocol", buckets.PROTOCOLS)
def test_a_server_that_never_answers_is_given_up(
    protocol: str, reach: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(places, "LISTING_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reach(protocol, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StoreUnavailable, match="did not answer in time"):
            Store(f"{protocol}://models", tmp_path).packages()


def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'equifield\[gcs\]'"):
        Store("gcs://models", tmp_path)  # which no other test has had fsspec look for
    with pytest.raises(StoreUnavailable, match="Protocol not known: gopher"):
        Store("gopher://models", tmp_path)
