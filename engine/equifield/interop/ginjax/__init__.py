"""Images and networks of ginjax 0.1.8, without importing it.

What ginjax does differently from `equifield.nn`, and what equal outputs therefore need, lives in the layers here.
"""

from ._biased_conv import BiasedConv as BiasedConv
from ._block import ConvBlock as ConvBlock
from ._configuration import configuration as configuration
from ._first_max_pool import FirstMaxPool as FirstMaxPool
from ._images import Key as Key
from ._images import from_blocks as from_blocks
from ._images import ginjax_arguments as ginjax_arguments
from ._images import image_from_ginjax as image_from_ginjax
from ._images import to_blocks as to_blocks
from ._load import ARCHITECTURES as ARCHITECTURES
from ._load import build as build
from ._load import from_ginjax as from_ginjax
from ._load import load_eqx as load_eqx
from ._mean_bias import MeanBias as MeanBias
from ._resnet import GinjaxDilResNet as GinjaxDilResNet
from ._resnet import GinjaxResNet as GinjaxResNet
from ._unet import GinjaxUNet as GinjaxUNet
from ._vector_neuron import SignedVectorNeuron as SignedVectorNeuron
from ._whitening_norm import WhiteningNorm as WhiteningNorm
