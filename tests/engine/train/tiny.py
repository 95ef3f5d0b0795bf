"""A recipe that is followed in seconds."""

from typing import Any

from equifield.train.runs import Recipe

VELOCITY = {
    "name": "velocity",
    "order": 1,
    "units": "1",
    "components": [{"axes": ["x"], "variable": "u"}, {"axes": ["y"], "variable": "v"}],
}
NETWORK = {"name": "SimpleConv", "config": {"hidden": "1x scalar + 1x vector", "num_convs": 2}}
PLAIN = {"name": "PlainSimpleConv", "config": {"hidden": "1x scalar + 1x vector", "num_convs": 2}}
TURBULENCE = {"points": 8, "simulated": 12, "steps": 6, "substeps": 2, "spin_up": 0, "band": [1, 2]}


def recipe(**changed: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "tiny",
            "title": "Tiny",
            "description": "A tiny forecast.",
            "limits": ["It is tiny."],
            "group": "B2",
            "residual": True,
            "inputs": [VELOCITY],
            "grid": {"axes": ["x", "y"], "boundary": ["periodic", "periodic"]},
            "architecture": NETWORK,
            "twin": PLAIN,
            "data": {
                "source": "simulation",
                "problem": "decaying-turbulence-2d",
                "parameters": TURBULENCE,
                "training": 2,
                "validation": 1,
                "testing": 2,
            },
            "training": {"epochs": 2, "batch_size": 5, "learning_rate": 1e-2},
            "evaluation": {"steps": 3, "stable_steps": 5},
        }
        | changed
    )
