"""A model whose Python code is not installed is served from its exported programs."""

import itertools
import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from equifield import MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.models import AbstractNetwork
from equifield.nn import Conv
from equifield.package import (
    Architecture,
    FieldModel,
    GridSpec,
    PackageCorrupt,
    field_type_of,
    load_package,
    write_package,
)
from equifield.package._load import new_network
from equifield.package._programs import ExportedNetwork
from equifield.package._verify import digest_of, files_of, sha256_of_file
from equifield_service.domain.errors import GridUnsupported
from equifield_service.workers.loaded import Case, LoadedModel
from equifield_service.workers.rollouts import Course
from tests.service import packages

CHANNEL: tuple[Boundary, ...] = ("periodic", "mirror")
GRID = (8, 4)
PICTURE = packages.manifest()
MANIFEST = PICTURE.model_copy(
    update={
        "architecture": Architecture(name="Swirl", config={}),
        "grid": GridSpec(axes=("x", "y"), boundary=CHANNEL, warm=(GRID,), minimum=4, multiple=2),
    }
)


class Swirl(AbstractNetwork):
    """A network that nobody else has: a convolution between two divisions by an invariant length."""

    conv: Conv

    def __init__(self) -> None:
        fields = field_type_of(MANIFEST.inputs)
        self.conv = Conv(group_named("C4"), fields, fields, key=jax.random.key(0))

    @property
    def translation_step(self) -> int:
        return 2

    def __call__(self, image: MultiImage) -> MultiImage:
        return bounded(self.conv(bounded(image)))


def bounded(image: MultiImage) -> MultiImage:
    return image.with_array(image.array / (1 + jnp.mean(image.array**2, axis=-1, keepdims=True)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("exported")
    write_package(store, MANIFEST, Swirl(), card="", exported=True)
    return store


PROCESS = """
import json, pathlib, pickle, sys
import numpy as np

assert not [name for name in ("tests", "test_exported") if __import__("importlib.util").util.find_spec(name)]
import equifield_service.workers.loaded, orbax.checkpoint
from equifield_service.domain.errors import GridUnsupported
from equifield_service.workers.loaded import LoadedModel

def unpickled(event, arguments):
    if event == "pickle.find_class":
        raise RuntimeError(f"unpickles {arguments}")

sys.addaudithook(unpickled)
model = LoadedModel(pathlib.Path(sys.argv[1]), max_batch=4, max_grids=2)
model.warm()
report = model.self_check()
np.save("answer.npy", model.predict(np.load("given.npy"), ("periodic", "mirror")))
try:
    model.predict(np.zeros((1, 8, 8, 3), np.float32), ("periodic", "mirror"))
except GridUnsupported as error:
    refusal = str(error)
try:
    pickle.loads(bytes.fromhex(sys.argv[2]))
except RuntimeError as error:
    control = str(error)
print(json.dumps([report, model.certificate, model.programs, refusal, control]))
"""


def test_a_process_without_the_code_of_a_model_serves_it(store: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = (rng.standard_normal((3, *GRID, 3)) * 4).astype(np.float32)
    np.save(tmp_path / "given.npy", given)
    command = [sys.executable, "-c", PROCESS, str(store / "tiny" / "1"), pickle.dumps(Path()).hex()]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    report, certificate, programs, refusal, control = json.loads(done.stdout)
    model = FieldModel(Swirl(), MANIFEST.inputs, MANIFEST.outputs, MANIFEST.ndim)
    expected = eqx.filter_jit(model)(MultiImage(jnp.asarray(given), field_type_of(MANIFEST.inputs), CHANNEL)).array
    np.testing.assert_allclose(np.load(tmp_path / "answer.npy"), expected, rtol=1e-4, atol=1e-4)
    assert report["passed"] and report["grid"] == list(GRID) and report["caveats"] == certificate["caveats"]
    assert certificate["passed"] and certificate["grid"] == list(GRID)
    assert programs == 4, "three batch sizes on the warm grid, and one on the grid as it is turned"
    assert "Those that work: 8x4-periodic-mirror, 4x8-mirror-periodic" in refusal
    assert "unpickles" in control, "control: the hook sees what unpickles"


def test_a_model_without_its_code_has_rollouts_on_the_grids_that_were_exported(store: Path) -> None:
    model, course = LoadedModel(store / "tiny" / "1", max_batch=1, max_grids=2), Course(3, 1, 60.0)
    given = np.random.default_rng(1).standard_normal((1, *GRID, 3)).astype(np.float32)
    model.prepare(Case(GRID, CHANNEL, piece=1), 1)
    roll = model.rollout(given, Case(GRID, CHANNEL, piece=1), course)
    assert roll is not None
    for state in roll().swapaxes(0, 1):
        given = model.predict(given, CHANNEL)
        np.testing.assert_allclose(state, given, rtol=1e-4, atol=1e-4)
    with pytest.raises(GridUnsupported, match="Those that work: 8x4-periodic-mirror"):
        model.prepare(Case((8, 8), CHANNEL, piece=1), 1)


def test_an_unknown_network_that_is_not_exported_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="know no architecture 'Swirl'.*`exported=True`"):
        write_package(tmp_path, MANIFEST, Swirl(), card="")
    assert list(tmp_path.iterdir()) == []


class Control(AbstractNetwork):
    """Any function, called a network."""

    function: Callable[[MultiImage], MultiImage] = eqx.field(static=True)

    @property
    def translation_step(self) -> int:
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        return self.function(image)


def test_the_certificate_of_an_unknown_network_is_measured_on_its_programs(tmp_path: Path, store: Path) -> None:
    assert isinstance(load_package(store / "tiny" / "1").model.network, ExportedNetwork)
    crooked = Control(lambda image: image.with_array(image.array * jnp.arange(1.0, 4.0)))
    with pytest.raises(ValueError, match="must commute with C4"):
        write_package(tmp_path, MANIFEST, crooked, card="", exported=True)


def test_a_program_that_is_not_the_network_is_not_published(tmp_path: Path) -> None:
    calls = itertools.count(1)
    fickle = Control(lambda image: float(next(calls)) * image)  # another function each time it is traced
    with pytest.raises(ValueError, match="differs from the network by"):
        write_package(tmp_path, MANIFEST, fickle, card="", exported=True)
    assert list(tmp_path.iterdir()) == []


def test_a_known_network_is_itself_whether_it_is_exported_or_not(tmp_path: Path) -> None:
    network = new_network(PICTURE)
    path = write_package(tmp_path, PICTURE, network, card="", exported=True)
    assert [name for name in files_of(path) if "programs" in name] == ["programs/8x8-periodic-periodic"]
    assert eqx.tree_equal(load_package(path).model.network, network)


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store / "tiny" / "1", tmp_path / "copy"))


PROGRAM = "programs/8x4-periodic-mirror"


def sign(package: Path) -> None:
    """Makes the manifest list the files as they are, as somebody who may write to the store would."""
    content = json.loads((package / "manifest.json").read_text())
    content["files"] = {name: sha256_of_file(path) for name, path in files_of(package).items()}
    (package / "manifest.json").write_text(json.dumps({**content, "digest": digest_of(content)}))


@pytest.mark.parametrize("signed", [False, True], ids=["hash", "content"])
def test_a_damaged_program_is_refused_by_name(copy: Path, signed: bool) -> None:
    (copy / PROGRAM).write_bytes((copy / PROGRAM).read_bytes()[:-3000])
    if signed:
        sign(copy)
    with pytest.raises(PackageCorrupt, match="no program that can be run" if signed else "SHA-256") as refusal:
        load_package(copy)
    assert refusal.value.path == copy / PROGRAM


def test_a_program_in_the_place_of_another_or_missing_is_refused_by_name(copy: Path) -> None:
    other = "programs/4x8-mirror-periodic"
    (copy / PROGRAM).write_bytes((copy / other).read_bytes())
    sign(copy)
    with pytest.raises(PackageCorrupt, match="takes or gives other fields"):
        load_package(copy)
    (copy / PROGRAM).unlink()
    sign(copy)
    with pytest.raises(PackageCorrupt, match="no program that can be run") as refusal:
        load_package(copy)
    assert refusal.value.path == copy / PROGRAM


def test_an_unknown_architecture_without_programs_is_refused(copy: Path) -> None:
    for name in (PROGRAM, "programs/4x8-mirror-periodic"):
        (copy / name).unlink()
    sign(copy)
    with pytest.raises(PackageCorrupt, match="There is no architecture 'Swirl'"):
        load_package(copy)
