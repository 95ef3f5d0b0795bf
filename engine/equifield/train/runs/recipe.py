"""A recipe: all that decides what a training gives, in one file that is checked before anything runs."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import equinox as eqx
import jax.random as jr
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...inference import Precision
from ...models import AbstractNetwork
from ...multi_image import random_image
from ...package import Architecture, FieldSpec, GridSpec, Manifest, Provenance, field_type_of
from ...package._network_between import network_between
from ...package._sides import check_sides
from ...package.manifest import packed_fields
from .sources import Files, Source

LossName = Literal["smse", "nrmse", "nrmse_per_pixel", "normalised_smse", "spectral_smse", "divergence_smse"]
Share = Annotated[float, Field(ge=0, le=1)]


class RecipeError(ValueError):
    """A recipe that cannot be followed."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Training(_Frozen):
    """How a model is trained. `warmup` is the share of all steps in which the learning rate rises to its value."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    schedule: Literal["constant", "cosine"] = "cosine"
    warmup: Share = 0.05
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float | None = Field(default=1.0, gt=0)
    accumulate: int = Field(default=1, ge=1)
    average: float | None = Field(default=None, gt=0, lt=1)
    loss: dict[LossName, float] = Field(default={"smse": 1.0}, min_length=1)
    steps: int = Field(default=1, ge=1)
    pushforward: int = Field(default=0, ge=0)
    patience: int | None = Field(default=None, ge=1)
    precision: Precision = "float32"
    seed: int = 0


class Evaluation(_Frozen):
    """How a model is judged: by forecasts of `steps` states, and by whether `stable_steps` states stay bounded."""

    steps: int = Field(default=15, ge=1)
    stable_steps: int | None = Field(default=None, ge=1)
    seed: int = 0


class Recipe(_Frozen):
    """What a model is, what it is trained on, how, and how it is judged.

    The entries of the first part are those of a package's manifest. A forecast gives all fields that it takes but the
    `constant` ones; `outputs` may be left out. With a `refinement` of the grid the model takes what a
    coarser grid sees of the data (`data.Coarsened`) and gives them as they are. `residual` lets the network say how a
    state changes, or what an interpolation to the finer grid misses (`models.Residual`). `twin` is the unconstrained
    network that the model is compared with.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(default="1", pattern=r"^[1-9][0-9]*$")
    title: str
    description: str
    limits: tuple[str, ...] = ()
    licence: str = "Apache-2.0"
    group: str
    architecture: Architecture
    residual: bool = False
    twin: Architecture | None = None
    inputs: tuple[FieldSpec, ...] = Field(min_length=1)
    outputs: tuple[FieldSpec, ...] = ()
    grid: GridSpec
    time_step: float | None = Field(default=None, gt=0)
    data: Source
    training: Training
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="after")
    def _check(self) -> "Recipe":
        self.manifest(Provenance(created="", engine_version="", training="", data=""))
        if self.forecasts and _packed(self.given) != _packed(self._states):
            raise ValueError(
                f"a forecast gives all fields that it takes but those marked `constant = true`, in the same order; "
                f"this one takes {', '.join(_packed(self._states))} and gives {', '.join(_packed(self.given))}. Mark "
                f"what stays as it is, and give the rest."
            )
        if self.residual and not (self.forecasts or self.keeps_fields):
            raise ValueError("`residual` is for models that give what they take: the network says how that changes.")
        if isinstance(self.data, Files) and (unknown := self.data.unknown((*self.inputs, *self.given))):
            raise ValueError(f"data: `variables` names {unknown}, which no field or component is called.")
        for architecture in filter(None, (self.architecture, self.twin)):
            _try(self, architecture)
        return self

    @property
    def forecasts(self) -> bool:
        """Whether the model gives the next state of what it takes, on the same grid."""
        known = {field.name for field in self.inputs}
        return self.grid.refinement == 1 and {field.name for field in self.given} <= known

    @property
    def keeps_fields(self) -> bool:
        """Whether the model gives the fields that it takes, in the same order."""
        return [field.name for field in self.given] == [field.name for field in self.inputs]

    @property
    def given(self) -> tuple[FieldSpec, ...]:
        """The fields that the model gives."""
        return self.outputs or self._states

    @property
    def constants(self) -> tuple[FieldSpec, ...]:
        """The fields of a forecast that stay as they are."""
        return tuple(field for field in self.inputs if field.constant)

    @property
    def _states(self) -> tuple[FieldSpec, ...]:
        return tuple(field for field in self.inputs if not field.constant)

    def manifest(self, provenance: Provenance) -> Manifest:
        """The manifest of a package of this model."""
        shared = {name: getattr(self, name) for name in ("name", "version", "title", "description", "licence", "group")}
        return Manifest(
            **shared,
            architecture=self.architecture,
            inputs=self.inputs,
            outputs=self.given,
            grid=self.grid,
            time_step=self.time_step,
            provenance=provenance,
        )

    def network(self, architecture: Architecture, seed: int) -> AbstractNetwork:
        """A network with fresh weights, between fields in normalised units."""
        return network_between(self.inputs, self.given, architecture, self.group, seed)


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file: TOML, in which the text `none` stands for no value, or the `recipe.json` of a package.

    **Raises** `RecipeError`, naming the file and every entry at fault.
    """
    read = json.loads if path.suffix == ".json" else tomllib.loads
    try:
        content = _without_none(read(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecipeError(f"There is no recipe at {path}.") from None
    except ValueError as error:
        raise RecipeError(f"{path} is neither TOML nor, as its name would say, JSON: {error}.") from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, fault['loc'])) or 'recipe'}: {fault['msg']}" for fault in error.errors()]
        raise RecipeError("\n".join([f"{path} is no recipe that can be followed:", *faults])) from error


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_without_none(entry) for entry in value]
    return None if value == "none" else value


def _packed(fields: tuple[FieldSpec, ...]) -> list[str]:
    """Their names in the order in which their features are packed."""
    return [field.name for field in packed_fields(fields)]


def _try(recipe: Recipe, architecture: Architecture) -> None:
    """Traces a network on the grid on which it will be checked. **Raises** `ValueError` when that cannot be built."""
    network = eqx.filter_eval_shape(recipe.network, architecture, 0)
    check_sides(network, recipe.inputs, recipe.grid)
    image = random_image(
        field_type_of(recipe.inputs), recipe.grid.boundary, recipe.grid.default, batch=(1,), key=jr.key(0)
    )
    given = eqx.filter_eval_shape(lambda network, image: network(image), network, image)
    if given.grid != recipe.grid.refined(image.grid):
        raise ValueError(
            f"{architecture.name} gives fields on the grid {given.grid} from those on {image.grid}, but "
            f"grid.refinement is {recipe.grid.refinement}. Set it to what the network does."
        )
