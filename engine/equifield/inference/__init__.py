"""Folds a trained model into its cheapest equal form and compiles it."""

from ._basis_first import BasisFirstConv as BasisFirstConv
from ._compile import CompiledModel as CompiledModel
from ._compile import compile_model as compile_model
from ._dense import DenseConv as DenseConv
from ._fold import cheaper as cheaper
from ._fold import estimates as estimates
from ._fold import fold as fold
from ._tune import Tuning as Tuning
from ._tune import tune as tune
