"""What predict and equivariance have in common: their query, headers and body."""

from typing import Annotated, Any

from fastapi import Header, Query, Request

from ..domain.asking import Ask
from ..payload import Missing, ReadOptions, Stagger
from ..settings import Settings
from .accepting import NETCDF
from .reading import deadline_of, pairs

Version = Annotated[str | None, Query(description="The version; by default the newest that is ready.")]
Map = Annotated[
    str | None,
    Query(
        alias="map",
        description="Which variable is which component or field, such as `u:u10,v:v10`.",
        max_length=2000,
    ),
]
Axes = Annotated[
    str | None, Query(description="Which dimension is which axis, such as `x:lon,y:lat`.", max_length=2000)
]
BoundaryQuery = Annotated[
    str | None,
    Query(description="Boundaries that differ from the model's, such as `x:periodic,y:mirror`.", max_length=2000),
]
Units = Annotated[
    str | None,
    Query(
        description="Which units the values of a variable really have, where its attribute is wrong, such as `T:K`.",
        max_length=2000,
    ),
]
MissingQuery = Annotated[
    Missing | None,
    Query(
        description="What to put in the place of missing values; the answer is missing at the same places. "
        "By default they are refused."
    ),
]
Group = Annotated[
    str | None,
    Query(
        description="The group of a NetCDF-4 file whose variables are read, such as `/model`; by default the root.",
        max_length=2000,
    ),
]
StaggerQuery = Annotated[
    Stagger | None,
    Query(description="`center` averages components on cell faces to the centres. By default they are refused."),
]
TimeoutMs = Annotated[
    int | None,
    Header(alias="Equifield-Timeout-Ms", ge=1, description="When the answer is no longer wanted, in ms."),
]

QUERIES = ("version", "map", "axes", "boundary", "units", "missing", "group", "stagger")

FILE: dict[str, Any] = {
    **{media: {"schema": {"type": "string", "format": "binary"}} for media in NETCDF},
    "application/json": {"schema": {"type": "object", "description": "As `xarray.Dataset.to_dict` gives it."}},
}


class Asking:
    """The dependency that turns the common part of a request into an `Ask`."""

    def __init__(self, settings: Settings):
        self._settings = settings

    async def __call__(
        self,
        request: Request,
        name: str,
        version: Version = None,
        mapping: Map = None,
        axes: Axes = None,
        boundary: BoundaryQuery = None,
        units: Units = None,
        missing: MissingQuery = None,
        group: Group = None,
        stagger: StaggerQuery = None,
        timeout_ms: TimeoutMs = None,
    ) -> Ask:
        """Reads path, query and headers."""
        media = request.headers.get("content-type", "").split(";")[0].strip().lower()
        return Ask(
            model=name,
            version=version,
            deadline=deadline_of(timeout_ms, self._settings),
            media=media or None,
            options=ReadOptions(
                map=pairs("map", mapping),
                axes=pairs("axes", axes),
                units=pairs("units", units),
                missing=missing,
                group=group,
                stagger=stagger,
            ),
            boundary=pairs("boundary", boundary),
        )
