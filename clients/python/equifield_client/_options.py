"""What a call may say about its file and its answer, beside the names of variables, dimensions and boundaries."""

from collections.abc import Mapping
from typing import Literal, TypedDict


class Reading(TypedDict, total=False):
    """How the service is to read the file.

    Attributes:
        units: Which units a variable really has, where its attribute is wrong, as in `{"T": "K"}`.
        missing: What takes the place of missing values; the answer is missing at the same places. Without it they
            are refused.
        group: The group of a NetCDF-4 file whose variables are read, as in `"/model"`; else the root group.
        stagger: `"center"` averages fields half a step apart to common places. Without it they are refused.
    """

    units: Mapping[str, str] | None
    missing: Literal["zero", "nearest"] | None
    group: str | None
    stagger: Literal["center"] | None


class Computing(Reading, total=False):
    """`Reading`, and how the model is to be computed.

    Attributes:
        dtype: The type of the predicted fields; float32 without it.
        precision: Of matrix products and convolutions in the model; float32 without it.
        symmetrize: Whether to average the prediction over the model's group, at as many times the cost.
    """

    dtype: Literal["float32", "float64"] | None
    precision: Literal["float32", "tf32", "bfloat16"] | None
    symmetrize: bool | None


class Options(Computing, total=False):
    """`Computing`, and how the service is to write its answer.

    Attributes:
        compress: The level of the predicted fields' zlib compression, 1 to 9, which makes the answer NetCDF-4.
        steps: How often to apply the model, each time to what it gave: a rollout. The answer has an axis of steps:
            the time of the dataset where the model says how long a step is, else `step`.
        every: Which states of a rollout are given: every which one; all without it. It divides `steps`.
    """

    compress: int | None
    steps: int | None
    every: int | None


class JobOptions(Computing, total=False):
    """`Computing`, and when it is to be done.

    Attributes:
        priority: From -100 to 100; jobs with a higher one are computed before. 0 without it.
    """

    priority: int | None
