"""Convolutions and linear maps."""

from equifield.nn import Conv, Linear

from .example import Example, every_type

EXAMPLES = {
    Conv: Example(lambda group, key: Conv(group, every_type(group), every_type(group), key=key), knows_group=True),
    Linear: Example(lambda group, key: Linear(group, every_type(group), every_type(group), key=key), knows_group=True),
}
