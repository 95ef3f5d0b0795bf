"""Reading a package back into a model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx

from ..architectures import ARCHITECTURES
from ..models import AbstractNetwork
from . import _checkpoint, _programs
from ._errors import PackageCorrupt
from ._field_model import FieldModel
from ._network_between import network_between
from ._verify import CERTIFICATE, CHECKPOINT, MANIFEST, PROGRAMS, verify_package
from .manifest import Manifest


@dataclass(frozen=True)
class Package:
    """A loaded package: what the model takes and gives, the model in physical units, and its certificate."""

    manifest: Manifest
    model: FieldModel
    certificate: dict[str, Any]


def load_package(path: Path) -> Package:
    """Verifies a package, then builds its model and fills in its weights.

    A model whose architecture is not in `ARCHITECTURES` is its exported programs, if the package carries some.

    **Raises:** `PackageError`, naming the file that is missing, changed, too new or inconsistent.
    """
    manifest = verify_package(path)
    programs = [name for name in manifest.files if name.startswith(f"{PROGRAMS}/")]
    network: AbstractNetwork
    if programs and manifest.architecture.name not in ARCHITECTURES:
        network = _programs.restore(manifest, {name: (path / name).read_bytes() for name in programs}, path)
    else:
        network = _network(manifest, path)
    model = FieldModel(network, manifest.inputs, manifest.outputs, manifest.ndim)
    return Package(manifest, model, _certificate(path / CERTIFICATE, manifest))


def _network(manifest: Manifest, path: Path) -> AbstractNetwork:
    """The network that a manifest describes, with the weights of the checkpoint."""
    try:
        skeleton = eqx.filter_eval_shape(new_network, manifest)
    except ValueError as error:
        raise PackageCorrupt(path / MANIFEST, f"its architecture cannot be built: {error}") from error
    network: AbstractNetwork = _checkpoint.restore(skeleton, path / CHECKPOINT)
    if network.translation_step != manifest.translation_step:
        raise PackageCorrupt(path / MANIFEST, f"says translation_step {manifest.translation_step}, not the network's.")
    return network


def _certificate(path: Path, manifest: Manifest) -> dict[str, Any]:
    """The equivariance report of when the package was published; one that says otherwise is no certificate."""
    try:
        report = dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        raise PackageCorrupt(path, f"not an equivariance report: {error}.") from error
    if report.get("passed") is not True or report.get("group") != manifest.group:
        raise PackageCorrupt(path, f"does not certify that the model commutes with {manifest.group}.")
    return report


def new_network(manifest: Manifest, seed: int = 0) -> AbstractNetwork:
    """The network that a manifest describes, with fresh weights. **Raises** `ValueError` when it cannot be built."""
    return network_between(manifest.inputs, manifest.outputs, manifest.architecture, manifest.group, seed)
