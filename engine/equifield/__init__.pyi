from . import groups as groups
from . import inference as inference
from . import interop as interop
from . import kernels as kernels
from . import models as models
from . import nn as nn
from . import operators as operators
from . import ops as ops
from . import package as package
from . import planner as planner
from . import plot as plot
from . import rollout as rollout
from . import train as train
from .field_type import FieldType as FieldType
from .geometric_image import GeometricImage as GeometricImage
from .groups import Group as Group
from .groups import SignedPermutation as SignedPermutation
from .metric import Metric as Metric
from .multi_image import MultiImage as MultiImage
from .representations import Regular as Regular
from .representations import Representation as Representation
from .representations import Tensor as Tensor
from .symmetry import EquivarianceReport as EquivarianceReport
from .symmetry import equivariance_report as equivariance_report

__all__ = [
    "EquivarianceReport",
    "FieldType",
    "GeometricImage",
    "Group",
    "Metric",
    "MultiImage",
    "Regular",
    "Representation",
    "SignedPermutation",
    "Tensor",
    "equivariance_report",
    "groups",
    "inference",
    "interop",
    "kernels",
    "models",
    "nn",
    "operators",
    "ops",
    "package",
    "planner",
    "plot",
    "rollout",
    "train",
]
