"""The road from data to a served model: a recipe is followed, its model is judged and published."""

from ._evaluation import Evaluation as Evaluation
from ._evaluation import evaluate as evaluate
from ._evaluation import evaluate_package as evaluate_package
from ._evaluation import judged as judged
from ._log import LogRefused as LogRefused
from ._publishing import publish as publish
from ._training import TWIN as TWIN
from ._training import Listener as Listener
from ._training import train as train
from ._training import trained as trained
from ._training import twin_of as twin_of
from .recipe import Recipe as Recipe
from .recipe import RecipeError as RecipeError
from .recipe import read_recipe as read_recipe
