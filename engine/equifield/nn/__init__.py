"""Equivariant layers: each takes and returns a `MultiImage` and handles batch axes by itself."""

from ._conv import Conv as Conv
from ._linear import Linear as Linear
from ._layer_norm import LayerNorm as LayerNorm
from ._max_norm_pool import MaxNormPool as MaxNormPool
from ._upsample import Upsample as Upsample
from ._vector_neuron import VectorNeuron as VectorNeuron
