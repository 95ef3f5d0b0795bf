"""Models and images of other libraries."""

from . import ginjax as ginjax
