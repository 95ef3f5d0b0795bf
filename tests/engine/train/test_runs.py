"""The road from a recipe to a package: what is checked before, what is refused, and what the card states."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import typer
import xarray as xr
from pydantic import ValidationError

from equifield import MultiImage, commands
from equifield.package import FieldSpec, Provenance, load_package
from equifield.package._checkpoint import save
from equifield.package.manifest import packed_fields
from equifield.representations import Tensor
from equifield.train import OtherTraining
from equifield.train.runs import (
    Evaluation,
    RecipeError,
    evaluate,
    evaluate_package,
    publish,
    read_recipe,
    train,
    trained,
    twin_of,
)
from equifield.train.runs._training import WEIGHTS
from equifield.train.simulate import (
    DecayingTurbulence2D,
    ForcedTurbulence2D,
    SubgridStress2D,
    fit_smagorinsky,
    gradient_model,
)
from tests.engine.train.tiny import TURBULENCE, VELOCITY, recipe

EXAMPLES = Path(__file__).parents[3] / "examples"


class Silent:
    """Listens, and keeps what it was told."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def start(self, steps: int) -> None:
        self.steps = steps

    def step(self, number: int, loss: float) -> None:
        assert 0 < number <= self.steps

    def epoch(self, number: int, losses: Any) -> None:
        self.losses.append(losses.training)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, cache: None) -> Path:
    """A model, trained and judged beside its twin."""
    folder = tmp_path_factory.mktemp("run")
    listener = Silent()
    result = train(recipe(), folder, listener)
    assert listener.losses == [epoch.training for epoch in result.epochs] and len(listener.losses) == 2
    train(twin_of(recipe()), folder / "twin", Silent())
    evaluate(folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(run: Path) -> Evaluation:
    return Evaluation.model_validate_json((run / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def package(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(run, tmp_path_factory.mktemp("store"))


def test_a_package_is_the_trained_model_with_its_statistics_and_pictures(run: Path, package: Path) -> None:
    loaded = load_package(package)
    followed, network = trained(run)
    assert all(map(np.array_equal, *map(jax.tree.leaves, (loaded.model.network, network))))
    assert loaded.manifest.inputs == loaded.manifest.outputs == followed.inputs
    assert followed.inputs[0].scale not in (0.0, 1.0) and followed.inputs[0].mean == 0
    assert loaded.manifest.architecture.name == "Residual"
    for name in ("pictures/prediction.png", "pictures/errors.png"):
        assert (package / name).read_bytes().startswith(b"\x89PNG")
    assert loaded.certificate["passed"] is True


def test_the_card_states_the_figures_that_are_measured_again(run: Path, evaluation: Evaluation, package: Path) -> None:
    stated, measured = evaluate_package(package)
    assert measured.agrees(stated) and stated == evaluation
    card = (package / "card.md").read_text()
    for name, score in stated.scores.items():
        for metric in stated.metrics:
            assert f"{score[metric]:.4g}" in card, (name, metric)
    assert stated.scores.keys() == {"this model", "plain twin", "persistence"}
    model, twin = (trained(folder)[1] for folder in (run, run / "twin"))
    for name, network in {"Residual(SimpleConv)": model, "Residual(PlainSimpleConv)": twin}.items():
        assert f"{name} of {sum(leaf.size for leaf in jax.tree.leaves(network))} parameters" in card
    assert "`persistence` predicts that nothing changes." in card
    wrong = stated.model_copy(update={"scores": stated.scores | {"this model": stated.scores["persistence"]}})
    assert not measured.agrees(wrong)


def test_the_errors_do_not_change_when_the_data_are_turned_but_those_of_the_twin_do(evaluation: Evaluation) -> None:
    scores = evaluation.scores
    assert scores["this model"]["one step"] == pytest.approx(scores["this model"]["one step, turned"], rel=1e-4)
    assert scores["plain twin"]["one step"] != pytest.approx(scores["plain twin"]["one step, turned"], rel=1e-4)
    assert 1 <= scores["this model"]["stable steps"] <= 5
    assert len(evaluation.curves["this model"]) == 3


def test_persistence_is_wrong_by_the_size_of_the_changes(run: Path, evaluation: Evaluation) -> None:
    changes = float(str(trained(run)[0].architecture.config["scale"]))
    assert evaluation.scores["persistence"]["one step"] == pytest.approx(2 * changes**2, rel=0.5)


def test_a_model_whose_served_form_differs_from_the_trained_one_is_not_published(run: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(run, tmp_path / "run"))
    network = trained(damaged)[1]
    shutil.rmtree(damaged / WEIGHTS)
    save(jax.tree.map(lambda weight: 1e25 * weight, network), damaged / WEIGHTS)  # sums of products overflow
    with pytest.raises(ValueError, match="The folded form of tiny, which a service runs, differs"):
        publish(damaged, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_training_again_in_the_same_folder_changes_nothing_and_another_recipe_is_refused(run: Path) -> None:
    before = (run / "log.jsonl").read_text()
    again = train(recipe(), run, Silent())
    assert len(again.epochs) == 2 and (run / "log.jsonl").read_text() == before
    other = recipe(training={"epochs": 3, "batch_size": 5, "learning_rate": 1e-2})
    with pytest.raises(OtherTraining, match="another training"):
        train(other, run, Silent())


def test_batches_may_be_divided_among_devices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    even = recipe(training={"epochs": 2, "batch_size": 10, "learning_rate": 1e-2})
    both = jax.devices()[:2]
    alone, divided = (train(even, tmp_path / str(len(on)), devices=on).epochs for on in (both[:1], both))
    assert [epoch.counts for epoch in divided] == pytest.approx([epoch.counts for epoch in alone], rel=1e-4)
    weights = jax.tree.leaves(train(even, tmp_path / "2", devices=both).model)
    assert all(leaf.sharding.device_set == set(both) for leaf in weights)
    with pytest.raises(typer.Exit):
        commands.train(tmp_path / "none.toml", devices=len(jax.devices()) + 1)
    assert "asks for more than there are: [CpuDevice(id=0)" in capsys.readouterr().err


def test_a_model_that_breaks_its_symmetry_is_not_published(run: Path, tmp_path: Path) -> None:
    (run / "twin" / "evaluation.json").write_bytes((run / "evaluation.json").read_bytes())
    with pytest.raises(ValueError, match="must commute with B2"):
        publish(run / "twin", tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_has_not_been_trained_or_judged_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="No training has ended in .*equifield train"):
        evaluate(tmp_path)
    (run / "twin" / "evaluation.json").unlink(missing_ok=True)
    with pytest.raises(RecipeError, match="equifield evaluate"):
        publish(run / "twin", tmp_path)


def test_a_closure_is_judged_beside_the_classical_ones_in_the_same_units(tmp_path: Path) -> None:
    stress = {
        "name": "stress",
        "order": 2,
        "units": "1",
        "components": [{"axes": [i, j], "variable": f"tau_{i}{j}"} for i in "xy" for j in "xy"],
        "symmetry": ["symmetric"],
    }
    data = {
        "source": "simulation",
        "problem": "subgrid-stress-2d",
        "parameters": {"turbulence": TURBULENCE},
        "training": 1,
        "validation": 1,
        "testing": 1,
    }
    problem = SubgridStress2D(DecayingTurbulence2D(**TURBULENCE | {"band": (1, 2)}))  # type: ignore[arg-type]
    closure = recipe(residual=False, outputs=[stress], data=data, twin=None)
    train(closure, tmp_path, Silent())
    evaluation = evaluate(tmp_path)
    assert evaluation.scores.keys() == {"this model", "the mean", "gradient model", "Smagorinsky"}
    assert evaluation.scores["the mean"]["SMSE"] == pytest.approx(4, rel=0.9) and not evaluation.curves
    velocity, tau = jax.tree.map(jnp.asarray, problem.simulate(1, seed=2)[np.arange(6)])
    spacing = 2 * np.pi / 8
    error = gradient_model(velocity, width=2 * spacing, spacing=spacing).array - tau.array
    physical = np.sum(np.mean(np.square(error), axis=(0, 1, 2)))
    followed, network = trained(tmp_path)
    learned, scale = network(velocity)[Tensor(2)], followed.given[0].scale
    np.testing.assert_array_equal(learned, learned.mT)
    assert evaluation.scores["gradient model"]["SMSE"] == pytest.approx(physical / scale**2, rel=1e-3)
    assert scale != 1
    fitted = fit_smagorinsky(problem.simulate(1, seed=0), spacing=spacing)
    assert evaluation.baselines["Smagorinsky"].endswith(f"whose constant fits the training data best: {fitted:.3g}")


WINDS = [FieldSpec.model_validate(VELOCITY | {"units": "m/s"})]
ROWS = [
    "`time` counts the states of a trajectory; `lev` counts trajectories.",
    "| variables |  |  | `u` is `U`, `v` is `V` |",
    "| trajectories | 1 | 1 | 2 (5 to 6) |",
    "| states of each | 2 (0 to 1) | 1 (11) | 1 |",
    "| from state to state | 1 | 1 |  |",
    "| grid | 144 x 73 | 144 x 73 | 128 x 64 |",
    "| 2.812 degrees_east along x |",
    "| velocity | 1 | 0 | m/s | `u` along x, `v` along y | input and output |",
]
"""What a card says of files, fields and their split."""

REFINING = {"name": "SuperResolution", "config": {"hidden": "2x vector", "num_blocks": 1, "norm_groups": None}}


def test_winds_are_refined_and_judged_beside_interpolations_on_files_of_another_kind(tmp_path: Path) -> None:
    known = {"files": [str(EXAMPLES / "ncep_wind.nc")]}
    unseen = {"files": [str(EXAMPLES / "wind_temperature.nc")], "variables": {"u": "U", "v": "V"}}
    downscaling = recipe(
        inputs=WINDS,
        grid={"axes": ["x", "y"], "boundary": ["periodic", "replicate"], "spacing": "any", "refinement": 2},
        architecture=REFINING,
        twin=None,
        data={
            "source": "netcdf",
            "trajectory": "lev",
            "training": known | {"times": [0, 2]},
            "validation": known | {"times": [11, 12]},
            "testing": unseen | {"trajectories": [5, 7]},
        },
        training={"epochs": 2, "batch_size": 1, "learning_rate": 1e-2},
    )
    assert not downscaling.forecasts
    train(downscaling, tmp_path, Silent())
    scores, followed = evaluate(tmp_path).scores, trained(tmp_path)[0]
    assert list(scores) == ["this model", "the mean", "linear interpolation", "cubic interpolation"]
    assert followed.inputs == followed.given and 5 < followed.given[0].scale < 20
    winds = xr.open_dataset(EXAMPLES / "wind_temperature.nc").isel(time=0, lev=slice(5, 7))
    coarse = winds.coarsen(lat=2, lon=2).mean()
    errors = {name: winds[name] - interpolated(coarse[name]) for name in "UV"}
    physical = sum(float((error**2).mean()) for error in errors.values())
    assert scores["cubic interpolation"]["SMSE"] == pytest.approx(physical / followed.given[0].scale ** 2, rel=1e-3)
    assert scores["cubic interpolation"]["SMSE"] < 0.7 * scores["linear interpolation"]["SMSE"]
    package = publish(tmp_path, tmp_path / "store")
    assert load_package(package).manifest.grid.refinement == 2
    card = (package / "card.md").read_text()
    assert "The inputs are their means over cells of 2 pixels along each axis." in card
    for row in ROWS:
        assert row in card
    assert "{" not in card
    assert load_package(package).manifest.provenance.data.endswith(
        f"ncep_wind.nc, times 11 for validation; {EXAMPLES / 'wind_temperature.nc'}, trajectories 5 to 6 for testing."
    )


HEIGHT, TEMPERATURE = (
    {"name": name, "order": 0, "units": units, "components": [{"variable": name}]}
    for name, units in (("z", "m"), ("T", "K"))
)
OVER_GROUND: dict[str, Any] = {
    "inputs": [HEIGHT | {"constant": True}, TEMPERATURE],
    "grid": {"axes": ["x", "y"], "boundary": ["periodic", "periodic"]},
    "architecture": {"name": "SimpleConv", "config": {"hidden": "2x scalar", "num_convs": 2}},
    "residual": True,
    "twin": None,
}


def test_what_is_published_takes_constant_fields_where_training_gave_them(tmp_path: Path) -> None:
    rng, files = np.random.default_rng(0), {"files": [str(tmp_path / "a.nc")]}
    temperature = 280 + 5 * rng.standard_normal((6, 8, 8)).astype(np.float32)
    height = 300 + 200 * rng.standard_normal((8, 8)).astype(np.float32)
    xr.Dataset({"T": (("time", "x", "y"), temperature), "z": (("x", "y"), height)}).to_netcdf(tmp_path / "a.nc")
    data = {"source": "netcdf", "training": files, "validation": files, "testing": files}
    forecast = recipe(data=data, evaluation={"steps": 2}, **OVER_GROUND)
    assert forecast.forecasts and [field.name for field in forecast.given] == ["T"]
    train(forecast, tmp_path / "run", Silent())
    evaluation = evaluate(tmp_path / "run")
    package = publish(tmp_path / "run", tmp_path / "store")
    stated, measured = evaluate_package(package)
    assert measured.agrees(stated) and stated == evaluation
    loaded = load_package(package)
    assert [(field.name, field.constant) for field in loaded.manifest.inputs] == [("z", True), ("T", False)]
    assert "| `z` | constant input |" in (package / "card.md").read_text()

    def error(*fields: np.ndarray) -> float:
        """Of the next temperature, in normalised units, from fields in those of the manifest."""
        packed = jnp.stack([jnp.broadcast_to(field, (5, 8, 8)) for field in fields], axis=-1)
        given = loaded.model(MultiImage(packed, loaded.model.in_type, ("periodic", "periodic"))).array[..., 0]
        return float(jnp.mean(jnp.square(given - temperature[1:]))) / loaded.manifest.outputs[0].scale ** 2

    fields = {"z": height, "T": temperature[:-1]}
    right = error(*(fields[field.name] for field in packed_fields(loaded.manifest.inputs)))
    assert right == pytest.approx(evaluation.scores["this model"]["one step"], rel=1e-3)
    swapped = error(*(fields[field.name] for field in loaded.manifest.inputs))
    assert swapped != pytest.approx(right, rel=0.1), "control: the order does matter"


def test_the_source_of_a_simulation_is_a_constant_of_its_recipe() -> None:
    problem = ForcedTurbulence2D()
    inputs = [field.model_dump() for field in (*problem.fields, *problem.constant_fields)]
    data = {"source": "simulation", "problem": "forced-turbulence-2d", "training": 1, "validation": 1, "testing": 1}
    forced = recipe(inputs=inputs, residual=False, twin=None, data=data)
    manifest = forced.manifest(Provenance(created="", engine_version="", training="", data=""))
    assert [field.name for field in manifest.inputs if field.constant] == ["forcing"]
    assert [field.name for field in manifest.outputs] == ["velocity"]


def test_a_forecast_gives_all_that_is_not_constant_in_the_order_in_which_it_takes_it() -> None:
    moving = OVER_GROUND | {"inputs": [HEIGHT, TEMPERATURE]}
    for outputs, said in (([TEMPERATURE], "takes z, T and gives T"), ([TEMPERATURE, HEIGHT], "gives T, z")):
        with pytest.raises(ValidationError, match=f"constant = true.* {said}"):
            recipe(outputs=outputs, **moving)
    with pytest.raises(ValidationError, match="an input that stays as it is, and no output"):
        recipe(**OVER_GROUND, outputs=OVER_GROUND["inputs"])


def interpolated(coarse: xr.DataArray) -> np.ndarray:
    """Keys' cubic convolution to twice as many latitudes and longitudes, as weights of whole rows and columns."""
    values = np.pad(coarse.values, ((0, 0), (2, 2), (0, 0)), "edge")
    values = np.pad(values, ((0, 0), (0, 0), (2, 2)), "wrap")
    for axis in (1, 2):
        cells = values.shape[axis] - 4
        near = [values.take(range(k, k + cells), axis) for k in range(5)]
        weights = np.array([-9, 111, 29, -3]) / 128
        before = sum(w * x for w, x in zip(weights[::-1], near[:4], strict=True))
        after = sum(w * x for w, x in zip(weights, near[1:], strict=True))
        shape = [*before.shape[:axis], 2 * cells, *before.shape[axis + 1 :]]
        values = np.stack([before, after], axis + 1).reshape(shape)
    return values


TOML = """
name = "tiny"
title = "Tiny"
description = "A tiny forecast."
group = "B2"
inputs = [{ name = "p", order = 0, components = [{ variable = "p" }] }]
grid = { axes = ["x", "y"], boundary = ["periodic", "periodic"] }
architecture = { name = "ResNet", config = { hidden = "1x scalar", num_blocks = 1, norm_groups = "none" } }
[data]
source = "netcdf"
training = { files = ["p.nc"] }
validation = { files = ["p.nc"] }
testing = { files = ["p.nc"] }
[training]
epochs = 1
batch_size = 1
learning_rate = 1e-3
"""
OUTPUTS = 'outputs = [{ name = "q", order = 0, components = [{ variable = "q" }] }]'


def test_none_in_a_recipe_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(TOML)
    assert read_recipe(tmp_path / "recipe.toml").architecture.config["norm_groups"] is None


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_can_be_followed(path: Path) -> None:
    assert read_recipe(path).name == path.stem


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("epochs = 1", "epochs = 0", r"training.epochs: .*greater than or equal to 1"),
        ("epochs = 1", "epoch = 1", r"training.epoch: Extra inputs are not permitted"),
        ('"ResNet"', '"Transformer"', "no architecture 'Transformer'"),
        ('"ResNet"', '"UNet"', "no UNet|its options"),
        ("num_blocks", "num_layers", "its options are hidden"),
        ('"ResNet"', '"SuperResolution"', r"gives fields on the grid \(16, 16\) from .* grid.refinement is 1"),
        ('"B2"', '"C7"', "C7"),
        ('"netcdf"', '"oracle"', "oracle"),
        ('group = "B2"', "\n".join(['group = "B2"', "residual = true", OUTPUTS]), "give what they take"),
        ('["p.nc"] }', '["p.nc"], variables = { r = "R" } }', r"names \['r'\], which no field or component is called"),
        ("name = ", "name ", "is neither TOML"),
    ],
    ids=[
        "range",
        "key",
        "architecture",
        "options",
        "option",
        "refinement",
        "group",
        "source",
        "residual",
        "variables",
        "toml",
    ],
)
def test_a_recipe_that_cannot_be_followed_says_why_before_anything_runs(
    old: str, new: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.toml").write_text(TOML.replace(old, new, 1))
    with pytest.raises(RecipeError, match=reason):
        read_recipe(tmp_path / "recipe.toml")
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


def test_a_command_refuses_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused: list[Callable[[], None]] = [
        lambda: commands.train(tmp_path / "none.toml"),
        lambda: commands.evaluate(tmp_path),
        lambda: commands.evaluate(),
        lambda: commands.publish(tmp_path, tmp_path),
    ]
    for command in refused:
        with pytest.raises(Exception, match="2") as stopped:
            command()
        assert getattr(stopped.value, "exit_code", None) == 2
        said = capsys.readouterr().err
        assert said.startswith("equifield: ") and "Traceback" not in said


def test_a_log_has_a_line_for_every_epoch(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1]
    assert all(line.keys() == {"epoch", "training", "validation", "seconds"} for line in lines)
