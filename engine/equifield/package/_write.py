"""Publishing: a package appears whole or not at all."""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.random as jr

from ..architectures import ARCHITECTURES
from ..groups import group_named
from ..models import AbstractNetwork
from ..models._tensor_symmetries import with_symmetries
from ..multi_image import MultiImage, random_image
from ..symmetry import EquivarianceReport, equivariance_report
from . import _checkpoint, _programs
from ._errors import PackageCorrupt, PackageExists
from ._field_model import field_type_of
from ._load import load_package
from ._network_between import symmetries_of
from ._sides import check_sides
from ._verify import CARD, CERTIFICATE, CHECKPOINT, MANIFEST, digest_of, files_of, sha256_of_file
from .manifest import FORMAT, Manifest, packed_fields

CERTIFIED_BATCH = 2
SYMMETRIC = 1e-5
"""How far, of the largest value, rounding may take outputs from the symmetries that are promised of them."""

PUBLISHED = "has been published already. Packages never change: use the next version."


def write_package(
    store: Path,
    manifest: Manifest,
    network: AbstractNetwork,
    *,
    card: str,
    attachments: Mapping[str, bytes] | None = None,
    exported: bool = False,
    seed: int = 0,
) -> Path:
    """Measures the equivariance of a network and publishes it as `store/<name>/<version>`.

    **Arguments:**

    - store: the folder of all packages.
    - manifest: what the model takes and gives; `format`, `files`, `digest` and `translation_step` are
      filled in here.
    - network: the trained network, as `build_model` made it, in normalised units; within `TensorSymmetries` where
        outputs have a `symmetry`.
    - card: what a reader must know about the model: data, training, metrics, limits. Markdown.
    - attachments: further files by their paths in the package, such as the pictures of the card.
    - exported: whether the package also carries programs that run without the code of the network, for the grids to
      compile at the start. A network that is none of `ARCHITECTURES` cannot be published without them.
    - seed: the randomness of the fields on which the certificate is measured.

    **Returns:** the path of the package. It is complete and on disk when it appears under that name.

    **Raises:** `PackageExists`; `ValueError` when the network does not commute with the group it declares, gives
    tensors without the symmetries that the manifest promises, is not the one that it describes, or computes something
    else once it has been exported.
    """
    target = store / manifest.name / manifest.version
    if target.exists():
        raise PackageExists(target, PUBLISHED)
    check_sides(network, manifest.inputs, manifest.grid)
    manifest = manifest.model_copy(update={"format": FORMAT, "translation_step": network.translation_step})
    programs = _programs.export(manifest, network) if exported else {}
    served = _served(manifest, network, programs, target, seed)
    report = certify(manifest, served, seed=seed)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.parent / f".{manifest.version}.{uuid.uuid4().hex}"
    staging.mkdir()
    try:
        _fill(staging, manifest, network, {**programs, **(attachments or {}), CARD: card.encode()}, report)
        if not _reads_back(staging, served):
            raise ValueError(
                f"`write_package({manifest.name})`: the network read back is not the one given. Build it as the "
                f"manifest's architecture describes: {manifest.architecture}."
            )
        _rename(staging, target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    for folder in (target.parent, store):
        _sync(folder)
    return target


def certify(manifest: Manifest, network: AbstractNetwork, *, seed: int) -> EquivarianceReport:
    """The equivariance report of a network on random normalised fields, on the default grid of the manifest.

    **Raises** `ValueError` when it does not pass, when the outputs lie on another grid than the manifest says, and when
    they lack a symmetry that it promises.
    """
    normal = random_image(
        field_type_of(manifest.inputs),
        manifest.grid.boundary,
        manifest.grid.default,
        batch=(CERTIFIED_BATCH,),
        dtype=jnp.dtype(manifest.dtype),
        key=jr.key(seed),
    )
    report = equivariance_report(
        eqx.filter_jit(network),
        normal,
        group_named(manifest.group),
        translation_step=network.translation_step,
    )
    given, said = report.residual.shape[1:-1], manifest.grid.refined(manifest.grid.default)
    if given != said:
        raise ValueError(
            f"`write_package({manifest.name})`: from the grid {manifest.grid.default} the network gives fields on "
            f"{given}, but grid.refinement is {manifest.grid.refinement}, which says {said}. Set it to what it does."
        )
    _check_symmetries(manifest, network, normal)
    if not report.passed:
        element, field, error = report.worst
        raise ValueError(
            f"`write_package({manifest.name})`: the network must commute with {manifest.group}, but {element} "
            f"changes {field} by {error:.2e} relative, above the tolerance {report.tolerance:g}."
        )
    return report


def _check_symmetries(manifest: Manifest, network: AbstractNetwork, normal: MultiImage) -> None:
    symmetries = symmetries_of(manifest.outputs)
    if not any(symmetries):
        return
    given = eqx.filter_jit(network)(normal)
    missing = jnp.abs(given.array - with_symmetries(given, symmetries).array).max()
    if not missing <= SYMMETRIC * jnp.abs(given.array).max():
        said = ", ".join(f"{field.name} {' '.join(field.symmetry)}" for field in manifest.outputs if field.symmetry)
        raise ValueError(
            f"`write_package({manifest.name})`: the manifest promises {said}, but the network misses that by "
            f"{missing:.2e} in normalised units. Let `models.TensorSymmetries` keep it, or leave out `symmetry`."
        )


def _served(
    manifest: Manifest, network: AbstractNetwork, programs: dict[str, bytes], target: Path, seed: int
) -> AbstractNetwork:
    """The network that a reader of the package gets: the programs, when its architecture is unknown to readers."""
    known = manifest.architecture.name in ARCHITECTURES
    if not programs and not known:
        raise ValueError(
            f"`write_package({manifest.name})`: readers know no architecture {manifest.architecture.name!r}. Publish "
            f"what they can run, `exported=True`, or name one of: {', '.join(sorted(ARCHITECTURES))}."
        )
    if not programs:
        return network
    exported = _programs.restore(manifest, programs, target)
    _programs.check(manifest, exported, network, seed=seed)
    return network if known else exported


def _fill(
    folder: Path,
    manifest: Manifest,
    network: AbstractNetwork,
    files: dict[str, bytes],
    report: EquivarianceReport,
) -> None:
    _checkpoint.save(network, folder / CHECKPOINT)
    for name, written in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(written)
    names = [field.name for field in packed_fields(manifest.outputs)]
    _write_json(folder / CERTIFICATE, report.to_dict(names))
    hashes = {name: sha256_of_file(path) for name, path in files_of(folder).items()}
    content = manifest.model_copy(update={"files": hashes, "digest": ""}).model_dump(mode="json")
    _write_json(folder / MANIFEST, {**content, "digest": digest_of(content)})
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _rename(staging: Path, target: Path) -> None:
    """Gives a complete package its name, unless another publisher was faster."""
    try:
        staging.rename(target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise PackageExists(target, PUBLISHED) from error
        raise


def _reads_back(package: Path, network: AbstractNetwork) -> bool:
    """Whether the network that a reader of the package gets is, bit by bit, this one."""
    try:
        return bool(eqx.tree_equal(load_package(package).model.network, network))
    except PackageCorrupt:
        return False


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
