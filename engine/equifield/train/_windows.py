"""From a time series to samples of training."""

import jax.numpy as jnp

from ..multi_image import MultiImage


def sliding_windows(
    series: MultiImage, *, past: int, future: int = 1, interval: int = 1, skip: int = 0
) -> tuple[MultiImage, MultiImage]:
    """Every stretch of `past + future` states of a series: what a model sees, and what it should say.

    A series of `(time, *batch, *grid)` gives histories of `(past, windows, *batch, *grid)`, whose times
    `equifield.rollout.model_input` puts side by side as channels, and futures of `(future, windows, *batch, *grid)`.

    **Arguments:**

    - past, future: the number of states in and out.
    - interval: the distance in time steps between the states of a window.
    - skip: how many states at the beginning to leave out, such as a spin-up.

    **Raises:** `ValueError` for a series that holds no window.
    """
    if min(past, future, interval) < 1 or skip < 0:
        raise ValueError(
            f"`sliding_windows` needs past, future and interval of at least 1 and a skip of at least 0, not {past}, "
            f"{future}, {interval} and {skip}."
        )
    if not series.batch:
        raise ValueError("`sliding_windows` needs a series with a leading time axis, but the image has no batch axes.")
    span = (past + future - 1) * interval + 1
    windows = series.batch[0] - skip - span + 1
    if windows < 1:
        raise ValueError(
            f"A window of {past} + {future} states, {interval} apart, spans {span} time steps, but after {skip} only "
            f"{max(series.batch[0] - skip, 0)} are left."
        )
    first = skip + jnp.arange(windows)
    times = interval * jnp.arange(past + future)[:, None] + first
    states = series.array[times]
    return series.with_array(states[:past]), series.with_array(states[past:])
