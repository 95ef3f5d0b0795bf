"""Equivariant layers: each takes and returns a `MultiImage` and handles batch axes by itself."""

from ._activations import Activation as Activation
from ._activations import activation_named as activation_named
from ._avg_pool import AvgPool as AvgPool
from ._batch_norm import BatchNorm as BatchNorm
from ._blur_pool import BlurPool as BlurPool
from ._conv import Conv as Conv
from ._dropout import Dropout as Dropout
from ._gated import Gated as Gated
from ._global_pool import GlobalPool as GlobalPool
from ._group_average import GroupAverage as GroupAverage
from ._group_norm import GroupNorm as GroupNorm
from ._group_pool import GroupPool as GroupPool
from ._instance_norm import InstanceNorm as InstanceNorm
from ._layer_norm import LayerNorm as LayerNorm
from ._linear import Linear as Linear
from ._max_norm_pool import MaxNormPool as MaxNormPool
from ._metric_conv import MetricConv as MetricConv
from ._norm_activation import NormActivation as NormActivation
from ._pointwise import Pointwise as Pointwise
from ._tensor_product import TensorProduct as TensorProduct
from ._upsample import Upsample as Upsample
from ._vector_neuron import VectorNeuron as VectorNeuron
