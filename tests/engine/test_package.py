"""A package is written whole, read back equal, and refused when a byte has changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import ValidationError

from equifield import FieldType, MultiImage
from equifield.boundary import Boundary
from equifield.groups import group_named
from equifield.inference import fold, merge
from equifield.interop import ginjax
from equifield.models import AbstractNetwork, TensorSymmetries
from equifield.multi_image import random_image
from equifield.ops import translate
from equifield.package import (
    Architecture,
    Component,
    FieldModel,
    FieldSpec,
    GridSpec,
    Manifest,
    PackageCorrupt,
    PackageError,
    PackageExists,
    PackageMissing,
    PackageTooNew,
    Provenance,
    field_type_of,
    load_package,
    verify_package,
    write_package,
)
from equifield.package._load import new_network
from equifield.package._verify import digest_of, files_of, sha256_of_file
from equifield.package.manifest import packed_components, packed_fields
from equifield.representations import Tensor
from equifield.rollout import model_input

REFERENCE = Path(__file__).parent / "ginjax_reference"
WIND = FieldSpec(
    name="wind",
    order=1,
    units="m s-1",
    components=(Component(axes=("x",), variable="u"), Component(axes=("y",), variable="v")),
    scale=10.0,
)
PRESSURE = FieldSpec(name="pressure", order=0, components=(Component(variable="p"),), mean=1000.0, scale=20.0)
MANIFEST = Manifest(
    name="small",
    version="1",
    title="A small network",
    description="Fresh weights.",
    licence="Apache-2.0",
    architecture=Architecture(name="UNet", config={"hidden": "2x scalar + 2x vector", "num_downsamples": 1}),
    group="B2",
    inputs=(WIND, PRESSURE),
    outputs=(WIND,),
    grid=GridSpec(axes=("x", "y"), boundary=("periodic", "zero"), multiple=2),
    provenance=Provenance(created="2026-01-01T00:00:00Z", engine_version="0", training="none", data="none"),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("store"), MANIFEST, new_network(MANIFEST), card="# Small\n")


@pytest.fixture
def package(published: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(published, tmp_path / "copy"))


def test_a_package_gives_back_the_network_that_was_written(published: Path) -> None:
    package = load_package(published)
    x = random_image(package.model.in_type, ("periodic", "zero"), (4, 6), batch=(2,), key=jax.random.key(0))
    physical = package.model.physical(x)
    np.testing.assert_allclose(physical.array[..., 0], x.array[..., 0] * 20 + 1000, rtol=1e-6)
    normal = eqx.filter_jit(new_network(MANIFEST))(
        x.with_array((physical.array - jnp.array([1000.0, 0, 0])) / jnp.array([20, 10, 10]))
    )
    np.testing.assert_allclose(eqx.filter_jit(package.model)(physical).array, normal.array * 10, rtol=1e-4, atol=1e-4)
    assert package.manifest.translation_step == 2
    assert package.certificate["passed"] is True
    assert package.certificate["worst"]["field"] == "wind"
    assert (published / "card.md").read_text() == "# Small\n"


def test_any_grid_is_published_for_the_sides_that_it_exists_for(tmp_path: Path) -> None:
    unet = Architecture(name="UNet", config={"hidden": "2x scalar", "num_downsamples": 2})

    def publish(name: str, architecture: Architecture, boundary: Boundary) -> Path:
        grid = GridSpec(axes=("x", "y"), boundary=(boundary, "zero"), multiple=2)
        update = {"name": name, "architecture": architecture, "grid": grid}
        manifest = MANIFEST.model_copy(update=update)
        return write_package(tmp_path, manifest, new_network(manifest), card="")

    any_grid = Architecture(name="AnyGrid", config={"network": unet.model_dump()})
    package = load_package(publish("any", any_grid, "mirror"))
    image = random_image(package.model.in_type, ("mirror", "zero"), (18, 22), key=jax.random.key(0))
    assert package.manifest.translation_step == 4 and package.model(image).grid == (18, 22)
    with pytest.raises(ValueError, match=r"does not take the grid .*multiples of 4 alone.*is periodic"):
        publish("torus", any_grid, "periodic")
    with pytest.raises(ValueError, match="grid.multiple is 2, but the network does not take the grid"):
        publish("bare", unet, "mirror")


def test_a_network_that_moved_in_from_ginjax_is_a_package_like_any_other(tmp_path: Path) -> None:
    config = json.loads((REFERENCE / "unet.json").read_text())["config"]
    network = ginjax.load_eqx(REFERENCE / "unet.eqx", config)
    assert isinstance(network, ginjax.GinjaxUNet)
    options = {name: config[name] for name in config.keys() - {"architecture", "group", "in_type", "out_type"}}
    density = PRESSURE.model_copy(update={"name": "density", "components": (Component(variable="rho"),)})
    manifest = MANIFEST.model_copy(
        update={
            "architecture": Architecture(name="GinjaxUNet", config=options),
            "inputs": (WIND, PRESSURE, density),
            "outputs": (WIND, PRESSURE),
            "grid": GridSpec(axes=("x", "y"), boundary=("periodic", "periodic"), multiple=4),
        }
    )
    read = load_package(write_package(tmp_path, manifest, network, card=""))
    assert eqx.tree_equal(read.model.network, network)


def test_every_file_is_hashed_and_nothing_is_left_behind(published: Path) -> None:
    manifest = verify_package(published)
    files = {path.relative_to(published).as_posix() for path in published.rglob("*") if path.is_file()}
    assert files == {*manifest.files, "manifest.json"}
    assert [path.name for path in published.parent.iterdir()] == ["1"]


def test_a_published_version_never_changes(published: Path) -> None:
    with pytest.raises(PackageExists, match="use the next version"):
        write_package(published.parent.parent, MANIFEST, new_network(MANIFEST), card="")


def test_any_changed_file_is_refused_by_name(published: Path, tmp_path: Path) -> None:
    for number, name in enumerate([*verify_package(published).files, "manifest.json"]):
        copy = Path(shutil.copytree(published, tmp_path / str(number)))
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(bytes(content))
        with pytest.raises(PackageCorrupt) as refusal:
            load_package(copy)
        assert refusal.value.path == copy / name


def test_a_missing_file_is_refused_by_name(package: Path) -> None:
    (package / "certificate.json").unlink()
    with pytest.raises(PackageMissing, match=r"certificate\.json: listed in the manifest, but not there"):
        verify_package(package)
    with pytest.raises(PackageMissing, match=r"manifest\.json"):
        verify_package(package / "nowhere")


def test_an_additional_file_or_link_is_refused_by_name(package: Path) -> None:
    (package / "extra.py").write_text("")
    with pytest.raises(PackageCorrupt, match=r"extra\.py: not listed"):
        verify_package(package)
    (package / "extra.py").unlink()
    (package / "card.md").rename(package.parent / "card.md")
    (package / "card.md").symlink_to(package.parent / "card.md")
    with pytest.raises(PackageCorrupt, match=r"card\.md"):
        verify_package(package)


def rewrite(package: Path, **changes: object) -> None:
    """Changes the manifest and signs it again, as somebody with another version of the program would."""
    content = {**json.loads((package / "manifest.json").read_text()), **changes}
    (package / "manifest.json").write_text(json.dumps({**content, "digest": digest_of(content)}))


@pytest.mark.parametrize(
    "changes, error, reason",
    [
        ({"format": 3}, PackageTooNew, "format 3 is newer than 2"),
        ({"format": "one"}, PackageCorrupt, "no format number"),
        ({"group": "D8"}, PackageCorrupt, "no group named 'D8'"),
        ({"architecture": {"name": "ResNet", "config": {"hidden": "2x vector"}}}, PackageCorrupt, "architecture needs"),
        ({"inputs": []}, PackageCorrupt, "not a valid manifest"),
        ({"translation_step": 7}, PackageCorrupt, "translation_step 7"),
        ({"format": True}, PackageCorrupt, "no format number"),
        ({"group": "B3"}, PackageCorrupt, "acts on 3 axes"),
        ({"files": {}}, PackageMissing, "every package has this file"),
        ({"files": {"card.md": "0"}}, PackageCorrupt, "not a valid manifest"),
        ({"outputs": [WIND.model_dump(), WIND.model_dump()]}, PackageCorrupt, "need different names"),
        ({"inputs": [{**WIND.model_dump(), "scale": 1e400}]}, PackageCorrupt, "not a valid manifest"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_manifest_that_does_not_fit_is_refused(
    package: Path, changes: dict[str, object], error: type[PackageError], reason: str
) -> None:
    rewrite(package, **changes)
    with pytest.raises(error, match=reason):
        load_package(package)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "null"], ids=["cut short", "deep", "list", "null"])
def test_a_manifest_that_is_not_one_is_refused(package: Path, text: str) -> None:
    (package / "manifest.json").write_text(text)
    with pytest.raises(PackageCorrupt, match="not JSON|no format number"):
        verify_package(package)


def test_a_manifest_that_is_huge_or_no_file_is_refused(package: Path) -> None:
    (package / "manifest.json").write_text(" " * (2**20 + 1))
    with pytest.raises(PackageCorrupt, match="an ordinary file of at most"):
        verify_package(package)
    (package / "manifest.json").unlink()
    (package / "manifest.json").mkdir()
    with pytest.raises(PackageCorrupt, match="an ordinary file"):
        verify_package(package)


@pytest.mark.parametrize("report", ["{", "[]", '{"passed": false, "group": "B2"}', '{"passed": true, "group": "C4"}'])
def test_a_certificate_that_certifies_nothing_is_refused(package: Path, report: str) -> None:
    (package / "certificate.json").write_text(report)
    rewrite(package, files={name: sha256_of_file(path) for name, path in files_of(package).items()})
    with pytest.raises(PackageCorrupt, match=r"certificate\.json"):
        load_package(package)


class Lopsided(AbstractNetwork):
    """Treats the components of a vector differently: the control."""

    factor: jax.Array

    @property
    def translation_step(self) -> int:
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        wind = image.array[..., 1:] * jnp.stack([self.factor, 2 * self.factor])
        return MultiImage(wind, field_type_of(MANIFEST.outputs), image.boundary)


def test_a_network_that_breaks_its_group_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must commute with B2, but .* changes vector\[0\]"):
        write_package(tmp_path, MANIFEST, Lopsided(jnp.ones(())), card="")
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_the_manifest_does_not_describe_is_not_published(tmp_path: Path) -> None:
    wider = {"name": "UNet", "config": {"hidden": "3x scalar + 2x vector", "num_downsamples": 1}}
    described = Manifest.model_validate({**MANIFEST.model_dump(), "architecture": wider})
    with pytest.raises(ValueError, match="the network read back is not the one given"):
        write_package(tmp_path, described, new_network(MANIFEST), card="")
    assert list((tmp_path / "small").iterdir()) == []
    narrow = {**MANIFEST.model_dump(), "grid": {**MANIFEST.grid.model_dump(), "multiple": 1}}
    with pytest.raises(ValueError, match=r"grid\.multiple is 1, but .* multiples of 2 alone"):
        write_package(tmp_path, Manifest.model_validate(narrow), new_network(MANIFEST), card="")


FINER = Architecture(
    name="Residual",
    config={"network": {"name": "SuperResolution", "config": {"hidden": "1x scalar + 1x vector", "num_blocks": 1}}},
)


def finer(**changes: object) -> Manifest:
    """A model of the wind on a grid twice as fine, with other entries of its grid."""
    grid = {**MANIFEST.grid.model_dump(), "multiple": 1, "refinement": 2, **changes}
    content = {"architecture": FINER, "inputs": [WIND], "outputs": [WIND], "grid": grid}
    return Manifest.model_validate({**MANIFEST.model_dump(), **content})


def test_a_model_may_give_a_finer_grid_than_it_takes(tmp_path: Path) -> None:
    torus: tuple[Boundary, ...] = ("periodic", "periodic")
    manifest = finer(boundary=torus)
    package = load_package(write_package(tmp_path, manifest, new_network(manifest), card="", exported=True))
    assert package.certificate["passed"] and package.certificate["grid"] == [8, 8]
    assert any(row["element"].startswith("translation") for row in package.certificate["rows"])
    x = random_image(package.model.in_type, torus, (4, 6), key=jax.random.key(0))
    assert eqx.filter_jit(package.model)(x).grid == package.manifest.grid.refined((4, 6)) == (8, 12)


def test_a_refinement_that_is_not_the_network_s_is_not_published(tmp_path: Path) -> None:
    for wrong in (1, 3):
        manifest = finer(refinement=wrong)
        with pytest.raises(ValueError, match=rf"gives fields on \(16, 16\), but grid\.refinement is {wrong}, which"):
            write_package(tmp_path, manifest, new_network(manifest), card="")
    assert list(tmp_path.iterdir()) == []


class Leaning(AbstractNetwork):
    """Gives the fine pixels one place too far along the first axis: the control."""

    network: AbstractNetwork

    @property
    def translation_step(self) -> int:
        return 1

    def __call__(self, image: MultiImage) -> MultiImage:
        return translate(self.network(image), (1, 0))


def test_a_network_that_breaks_its_group_on_the_fine_grid_alone_is_not_published(tmp_path: Path) -> None:
    manifest = finer(boundary=("periodic", "periodic"))
    with pytest.raises(ValueError, match=r"must commute with B2, but .* changes vector\[0\]"):
        write_package(tmp_path, manifest, Leaning(new_network(manifest)), card="")


STRESS = FieldSpec(
    name="stress",
    order=2,
    components=tuple(Component(axes=(i, j), variable=f"tau_{i}{j}") for i in "xy" for j in "xy"),
    scale=0.3,
    symmetry=("symmetric",),
)
CLOSURE = MANIFEST.model_copy(update={"outputs": (WIND, STRESS)})


def test_what_is_served_has_the_symmetry_that_is_promised_to_the_last_bit(tmp_path: Path) -> None:
    network = new_network(CLOSURE)
    assert isinstance(network, TensorSymmetries)
    model = load_package(write_package(tmp_path, CLOSURE, network, card="")).model
    image = random_image(model.in_type, MANIFEST.grid.boundary, (16, 16), batch=(3,), key=jax.random.key(0))
    for served in (model, fold(merge(model, image))):
        stress = eqx.filter_jit(served)(image)[Tensor(2)]
        np.testing.assert_array_equal(stress, stress.mT)
    free = FieldModel(network.network, CLOSURE.inputs, CLOSURE.outputs, ndim=2)(image)[Tensor(2)]
    assert jnp.abs(free - free.mT).max() > 1e-3, "control: the network by itself gives none"


def test_a_symmetry_that_the_network_does_not_keep_is_not_published(tmp_path: Path) -> None:
    network = new_network(CLOSURE)
    assert isinstance(network, TensorSymmetries)
    bare = network.network
    for published in (bare, TensorSymmetries(bare, [("traceless",)])):
        with pytest.raises(ValueError, match=r"promises stress symmetric, but the network misses that by [1-9]"):
            write_package(tmp_path, CLOSURE, published, card="")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "symmetry", "said"),
    [
        (WIND, ["symmetric"], "'wind' has order 1, but `symmetry` is of tensors of order 2"),
        (STRESS, ["symmetric", "antisymmetric"], "'stress' is zero if it is symmetric and antisymmetric"),
        (STRESS, ["diagonal"], "'symmetric', 'antisymmetric' or 'traceless'"),
    ],
)
def test_a_symmetry_that_a_field_cannot_have_is_refused(field: FieldSpec, symmetry: list[str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FieldSpec.model_validate(field.model_dump() | {"symmetry": symmetry})


def test_packages_of_the_first_format_are_read(published: Path, package: Path) -> None:
    content = json.loads((package / "manifest.json").read_text())
    del content["grid"]["refinement"]
    rewrite(package, format=1, grid=content["grid"])
    assert load_package(package).manifest.grid == MANIFEST.grid
    assert verify_package(published).format == 2


def test_manifests_are_read_without_jax(published: Path) -> None:
    program = "\n".join(
        [
            "import sys, pathlib",
            "from equifield.package import verify_package",
            f"verify_package(pathlib.Path({str(published)!r}))",
            "sys.exit(3 if any(name in sys.modules for name in ('jax', 'equinox', 'orbax')) else 0)",
        ]
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
    spoiled = program.replace("import verify_package", "import load_package, verify_package")
    assert subprocess.run([sys.executable, "-c", spoiled], timeout=60).returncode == 3


def test_features_are_packed_as_field_types_are() -> None:
    order = [(field.name, component.variable) for field, component in packed_components(MANIFEST.inputs, ("x", "y"))]
    assert order == [("pressure", "p"), ("wind", "u"), ("wind", "v")]
    assert field_type_of(MANIFEST.inputs) == FieldType.parse("1x scalar + 1x vector")


def test_constant_fields_are_packed_behind_the_others_as_a_rollout_takes_them() -> None:
    ground = FieldSpec(name="ground", order=0, components=(Component(variable="z"),), constant=True)
    names = [field.name for field in packed_fields((ground, *MANIFEST.inputs))]
    assert names == ["pressure", "ground", "wind"]
    states, fixed = (
        random_image(field_type_of(fields), ("periodic", "periodic"), (2, 2), batch=(1,), key=jax.random.key(0))
        for fields in (MANIFEST.inputs, (ground,))
    )
    taken = model_input(states, fixed.with_array(fixed.array[0])).array[..., names.index("ground")]
    np.testing.assert_array_equal(taken, fixed.array[0, ..., 0])
    with pytest.raises(ValidationError, match="outputs: a constant field is an input"):
        MANIFEST.model_validate({**MANIFEST.model_dump(), "outputs": [ground.model_dump()]})


def test_only_what_is_invariant_may_be_centred() -> None:
    with pytest.raises(ValidationError, match="without breaking equivariance"):
        FieldSpec(name="wind", order=1, components=WIND.components, mean=1.0)


def test_components_must_cover_every_axis_once() -> None:
    with pytest.raises(ValidationError, match="needs one component for each of"):
        MANIFEST.model_validate({**MANIFEST.model_dump(), "inputs": [{**WIND.model_dump(), "components": []}]})


def test_weights_of_equal_seeds_are_equal() -> None:
    assert eqx.tree_equal(new_network(MANIFEST, 1), new_network(MANIFEST, 1))
    assert not eqx.tree_equal(new_network(MANIFEST, 1), new_network(MANIFEST, 2))
    assert group_named(MANIFEST.group).dimension == MANIFEST.ndim
