"""From a distance between images to what a training minimises."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..multi_image import MultiImage
from ..rollout import Model, rollout
from ._losses import smse

Measure = Callable[[MultiImage, MultiImage], Float[Array, "*batch"]]
"""From a prediction and its target to one number per sample, such as `smse`."""


def weighted(measures: dict[Measure, float]) -> Measure:
    """The sum of several measures, each times its weight."""

    def total(prediction: MultiImage, target: MultiImage) -> Float[Array, "*batch"]:
        return jnp.asarray(sum(weight * measure(prediction, target) for measure, weight in measures.items()))

    return total


class Regression:
    """The mean of a measure over a batch of `(inputs, targets)`."""

    def __init__(self, measure: Measure = smse):
        self.measure = measure

    def __call__(
        self, model: Model, batch: tuple[MultiImage, MultiImage], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, ""]:
        """The loss of one batch; needs no randomness."""
        inputs, targets = batch
        return jnp.mean(self.measure(model(inputs), targets))


class Forecast:
    """The mean of a measure over the states that a model predicts one after the other from its own predictions.

    A batch is `(history, future)` or `(history, future, constants)`, as `data.Windows` gives it, with the time axis
    behind that of the samples. The number of steps is that of the future.

    With `pushforward`, the first states are predicted without a gradient, and the loss is that of those after them: the
    model learns to go on from states as it predicts them, at the price of one step (arXiv:2202.03376, section 3.1).
    """

    def __init__(self, measure: Measure = smse, *, pushforward: int = 0):
        """**Arguments:**

        - measure: of each predicted state.
        - pushforward: how many states come before those that count.
        """
        if pushforward < 0:
            raise ValueError(f"`Forecast` pushes forward by no or more steps, not by {pushforward}.")
        self.measure = measure
        self.pushforward = pushforward

    def __call__(
        self, model: Model, batch: tuple[MultiImage, ...], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, ""]:
        """The loss of one batch; needs no randomness.

        **Raises:** `ValueError` for a future of no more states than are pushed forward.
        """
        history, future = map(_time_first, batch[:2])
        constants = batch[2] if len(batch) > 2 else None
        steps = future.batch[0] - self.pushforward
        if steps < 1:
            raise ValueError(
                f"`Forecast(pushforward={self.pushforward})` needs a future of at least {self.pushforward + 1} states, "
                f"not of {future.batch[0]}."
            )
        if self.pushforward:
            pushed = rollout(model, history, steps=self.pushforward, constants=constants)
            history = jax.lax.stop_gradient(pushed.history)
        states = rollout(model, history, steps=steps, constants=constants).states
        return jnp.mean(self.measure(states, future.with_array(future.array[self.pushforward :])))


def _time_first(image: MultiImage) -> MultiImage:
    return image.with_array(jnp.moveaxis(image.array, 1, 0))
