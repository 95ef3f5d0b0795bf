from ._errors import PackageCorrupt as PackageCorrupt
from ._errors import PackageError as PackageError
from ._errors import PackageExists as PackageExists
from ._errors import PackageMissing as PackageMissing
from ._errors import PackageTooNew as PackageTooNew
from ._field_model import FieldModel as FieldModel
from ._field_model import field_type_of as field_type_of
from ._load import Package as Package
from ._load import load_package as load_package
from ._programs import ExportedNetwork as ExportedNetwork
from ._verify import verify_package as verify_package
from ._write import write_package as write_package
from .manifest import Architecture as Architecture
from .manifest import Component as Component
from .manifest import FieldSpec as FieldSpec
from .manifest import GridSpec as GridSpec
from .manifest import Manifest as Manifest
from .manifest import Provenance as Provenance

__all__ = [
    "Architecture",
    "Component",
    "ExportedNetwork",
    "FieldModel",
    "FieldSpec",
    "GridSpec",
    "Manifest",
    "Package",
    "PackageCorrupt",
    "PackageError",
    "PackageExists",
    "PackageMissing",
    "PackageTooNew",
    "Provenance",
    "field_type_of",
    "load_package",
    "verify_package",
    "write_package",
]
