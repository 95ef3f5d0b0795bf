"""Folds a trained model into its cheapest equal form and compiles it."""

from ._basis_first import BasisFirstConv as BasisFirstConv
from ._compile import CompiledModel as CompiledModel
from ._compile import compile_model as compile_model
from ._dense import DenseConv as DenseConv
from ._export import ExportedModel as ExportedModel
from ._export import export_program as export_program
from ._export import load_program as load_program
from ._features_first import FeaturesFirst as FeaturesFirst
from ._fold import cheaper as cheaper
from ._fold import estimates as estimates
from ._fold import fold as fold
from ._merge import Merged as Merged
from ._merge import merge as merge
from ._precision import PRECISIONS as PRECISIONS
from ._precision import Precision as Precision
from ._precision import in_precision as in_precision
from ._rollout import CompiledRollout as CompiledRollout
from ._rollout import compile_rollout as compile_rollout
from ._tune import Tuning as Tuning
from ._tune import tune as tune
