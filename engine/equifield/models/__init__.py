"""Architectures, built from `equifield.nn` alone."""

from ._any_grid import AnyGrid as AnyGrid
from ._climate import Climate1D as Climate1D
from ._climate import zonal_type as zonal_type
from ._dilated_resnet import DilatedResNet as DilatedResNet
from ._interpolation import Interpolation as Interpolation
from ._last_step import LastStep as LastStep
from ._network import AbstractNetwork as AbstractNetwork
from ._plain import PlainDilatedResNet as PlainDilatedResNet
from ._plain import PlainResNet as PlainResNet
from ._plain import PlainSimpleConv as PlainSimpleConv
from ._plain import PlainSuperResolution as PlainSuperResolution
from ._plain import PlainUNet as PlainUNet
from ._plain import plain as plain
from ._residual import Residual as Residual
from ._resnet import ResNet as ResNet
from ._simple_conv import SimpleConv as SimpleConv
from ._super_resolution import SuperResolution as SuperResolution
from ._tensor_symmetries import TensorSymmetries as TensorSymmetries
from ._transfer import transfer_weights as transfer_weights
from ._unet import UNet as UNet
