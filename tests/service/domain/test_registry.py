"""The registry, on real packages: whole ones and broken ones."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from equifield_service.domain.errors import ModelUnavailable, UnknownModel, UnknownVersion
from equifield_service.domain.life import read_store
from equifield_service.domain.registry import PackageRef, Registry
from equifield_service.domain.store import Store

LOADED = {"certificate": {"passed": True}}


def scanned(store: Path) -> tuple[Registry, list[PackageRef]]:
    """A registry of everything in a store, and the packages that are to be loaded."""
    registry = Registry()
    fill(registry, store)
    return registry, [entry.package for entry in registry.entries() if entry.state == "loading"]


def fill(registry: Registry, store: Path) -> None:
    for entry in read_store(Store(str(store), store / ".cache")):
        registry.put(entry)
    registry.complete()


def health(registry: Registry) -> str:
    return registry.health


def test_a_whole_package_is_to_be_loaded_and_served_once_it_is(store: Path) -> None:
    registry, packages = scanned(store)
    assert [str(package) for package in packages] == ["tiny/1"]
    assert health(registry) == "starting"
    with pytest.raises(ModelUnavailable, match="tiny/1 is loading") as refusal:
        registry.serving("tiny")
    assert refusal.value.extra == {"retry_after": 2}
    registry.loaded(packages[0], LOADED)
    manifest, entry = registry.serving("tiny")
    assert (manifest.name, entry.certificate) == ("tiny", {"passed": True})
    assert health(registry) == "ready"


def test_a_package_whose_weights_were_changed_is_never_served_and_says_why(store: Path) -> None:
    victim = next(path for path in (store / "tiny" / "1" / "checkpoint").rglob("*") if path.is_file())
    victim.write_bytes(victim.read_bytes() + b"!")
    registry, packages = scanned(store)
    assert packages == []
    assert health(registry) == "failed"
    reason = registry.find("tiny").reason
    assert reason is not None and "SHA-256" in reason and str(store) not in reason
    with pytest.raises(ModelUnavailable, match="tiny/1 is not served"):
        registry.serving("tiny")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "manifest.json"), ("{", "not JSON"), ('{"format": 99}', "newer")],
    ids=["missing", "not-json", "too-new"],
)
def test_a_package_without_a_manifest_to_trust_is_listed_as_failed(
    store: Path, content: str | None, reason: str
) -> None:
    path = store / "tiny" / "1" / "manifest.json"
    path.unlink() if content is None else path.write_text(content)
    registry, packages = scanned(store)
    assert packages == []
    entry = registry.find("tiny")
    assert entry.manifest is None and reason in str(entry.reason)


def test_a_package_in_the_wrong_folder_is_refused_with_where_it_belongs(store: Path) -> None:
    shutil.move(store / "tiny", store / "large")
    registry, packages = scanned(store)
    assert packages == []
    assert "says tiny/1, but the folder large/1" in str(registry.find("large").reason)


def test_versions_are_numbers_and_the_newest_that_is_ready_is_the_default(store: Path) -> None:
    for version in ("2", "10"):
        shutil.copytree(store / "tiny" / "1", store / "tiny" / version)
    registry, packages = scanned(store)
    assert registry.versions("tiny") == ["1", "2", "10"]
    assert registry.find("tiny").package.version == "10"
    registry.loaded(packages[0], LOADED)
    assert registry.find("tiny").package.version == "1"
    assert registry.find("tiny", "10").state == "failed"
    newer = registry.find("tiny", "2").package
    registry.loaded(newer, LOADED)
    assert registry.find("tiny").package.version == "2"
    registry.unloaded(newer, "withdrawn")
    assert registry.find("tiny").package.version == "1"


def test_half_written_packages_and_stray_files_are_no_models(store: Path) -> None:
    shutil.copytree(store / "tiny" / "1", store / "tiny" / ".2.staging")
    (store / "README.md").write_text("A store.")
    registry, _ = scanned(store)
    assert [str(entry.package) for entry in registry.entries()] == ["tiny/1"]


def test_an_unknown_model_or_version_is_refused_with_those_that_exist(store: Path) -> None:
    registry, _ = scanned(store)
    with pytest.raises(UnknownModel, match="no model 'huge'. Known: tiny"):
        registry.find("huge")
    with pytest.raises(UnknownVersion, match="no version '7'. Known: 1"):
        registry.find("tiny", "7")


def test_a_store_without_models_is_not_ready(tmp_path: Path) -> None:
    registry, packages = scanned(tmp_path)
    assert (health(registry), packages) == ("empty", [])


def test_waiting_until_settled_ends_when_the_last_model_is_loaded_or_failed(store: Path) -> None:
    async def story() -> None:
        registry = Registry()
        waiting = asyncio.create_task(registry.settled())
        fill(registry, store)
        await asyncio.sleep(0)
        assert not waiting.done()
        registry.failed(registry.find("tiny").package, "the self-check failed")
        assert await waiting == "failed"

    asyncio.run(story())


def test_a_bad_new_version_beside_a_good_one_does_not_make_the_service_unready(store: Path) -> None:
    shutil.copytree(store / "tiny" / "1", store / "tiny" / "2")
    registry, packages = scanned(store)
    registry.loaded(packages[0], LOADED)
    assert health(registry) == "ready"
    registry.failed(registry.find("tiny", "2").package, "the manifest says otherwise")
    assert health(registry) == "ready"
    registry.failed(packages[0], "and now the other")
    assert health(registry) == "failed"


def test_a_version_is_unused_when_the_last_request_that_uses_it_has_ended(store: Path) -> None:
    async def story() -> None:
        registry, packages = scanned(store)
        entry = registry.find("tiny")
        with registry.using(entry):
            with registry.using(entry):
                waiting = asyncio.create_task(registry.unused(packages[0]))
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    asyncio.run(story())


def test_the_manifest_in_a_store_is_json_that_names_its_digest(store: Path) -> None:
    registry, _ = scanned(store)
    entry = registry.find("tiny")
    content = json.loads((store / "tiny" / "1" / "manifest.json").read_text())
    assert entry.manifest is not None and entry.manifest.digest == content["digest"]
