"""What a training minimises is the error of what the model will be asked for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from equifield import FieldType, MultiImage
from equifield.groups import hyperoctahedral
from equifield.multi_image import Boundary, random_image
from equifield.nn import Conv
from equifield.rollout import rollout
from equifield.train import Forecast, Regression, smse

FIELDS = FieldType.parse("1x scalar + 1x vector")
TORUS: tuple[Boundary, ...] = ("periodic", "periodic")
B2 = hyperoctahedral(2)


def problem(future: int) -> tuple[Conv, MultiImage, MultiImage]:
    """A model, two histories of one state with the samples first, and their futures."""
    first, second = jr.split(jr.key(1))
    history = random_image(FIELDS, TORUS, (4, 4), batch=(2, 1), key=first)
    return (
        Conv(B2, FIELDS, FIELDS, key=jr.key(0)),
        history,
        random_image(FIELDS, TORUS, (4, 4), batch=(2, future), key=second),
    )


def time_first(image: MultiImage) -> MultiImage:
    return image.with_array(jnp.swapaxes(image.array, 0, 1))


def test_a_forecast_is_judged_by_the_states_of_its_rollout() -> None:
    model, history, future = problem(3)
    states = rollout(model, time_first(history), steps=3).states
    np.testing.assert_allclose(
        Forecast()(model, (history, future)), jnp.mean(smse(states, time_first(future))), rtol=1e-5
    )


def test_constant_fields_go_into_every_step() -> None:
    _, history, future = problem(2)
    constants = random_image(FieldType.parse("pseudoscalar"), TORUS, (4, 4), batch=(2,), key=jr.key(5))
    model = Conv(B2, FieldType.parse("1x scalar + 1x pseudoscalar + 1x vector"), FIELDS, key=jr.key(0))
    states = rollout(model, time_first(history), steps=2, constants=constants).states
    np.testing.assert_allclose(
        Forecast()(model, (history, future, constants)), jnp.mean(smse(states, time_first(future))), rtol=1e-5
    )


def test_what_is_pushed_forward_is_a_start_and_no_part_of_the_gradient() -> None:
    model, history, future = problem(3)
    pushed = rollout(model, time_first(history), steps=2).states.array[-1:]
    start = history.with_array(jnp.swapaxes(pushed, 0, 1))
    last = future.with_array(future.array[:, 2:])
    expected = eqx.filter_value_and_grad(Forecast())(model, (start, last))
    actual = eqx.filter_value_and_grad(Forecast(pushforward=2))(model, (history, future))
    through = eqx.filter_grad(Forecast())(model, (history, future))
    for one, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert not np.allclose(jax.tree.leaves(through)[0], jax.tree.leaves(actual[1])[0], rtol=1e-2)


def test_a_future_that_ends_before_it_counts_is_refused() -> None:
    model, history, future = problem(2)
    with pytest.raises(ValueError, match="a future of at least 3 states, not of 2"):
        Forecast(pushforward=2)(model, (history, future))
    with pytest.raises(ValueError, match="not by -1"):
        Forecast(pushforward=-1)


def test_a_regression_is_judged_by_what_the_model_makes_of_its_inputs() -> None:
    model, history, future = problem(1)
    loss = Regression()(model, (history, future))
    np.testing.assert_allclose(loss, jnp.mean(smse(model(history), future)), rtol=1e-6)
