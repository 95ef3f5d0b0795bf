"""What a network will cost, and what it cannot do, before any of its weights exists."""

from ._plan import plan as plan
from ._report import LayerPlan as LayerPlan
from ._report import Memory as Memory
from ._report import Plan as Plan
