"""What a payload process does with one file: the two operations that the gateway asks for."""

import functools
import logging
import traceback
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import numpy.typing as npt

from equifield.package.manifest import Manifest, packed_components

from ..arenas import ALIGNMENT, ArenaFull, Arrays, Message, first_array
from ..domain.errors import DomainError, InflatedTooLarge, PayloadError, PayloadProcessFailed
from .axes import find_axes
from .coordinates import coordinates_of
from .describing import clean, variables_of
from .fields import find_fields
from .missing import fill
from .packing import Packed, Plan, locate, make_plan, names_of, pack
from .reading import File, opened
from .refining import refined
from .shell import Shell, shell_of
from .staggered import centred
from .steps import rolled_out, steps_axis
from .symmetry import check_symmetry
from .units import conversions
from .values import Allocate, Buffer, Bytes, Kind, Limits, Progress, ReadOptions, WriteOptions
from .writing import answer, serialise

logger = logging.getLogger(__name__)


def handle(
    message: Message, arrays: list[npt.NDArray[Any]], *, limits: Limits, outbox: SharedMemory
) -> tuple[Message, Arrays]:
    """Answers one request of the gateway.

    Args:
        message: `op`, the manifest as JSON, and what `PayloadPool` adds to them.
        arrays: The body; for `encode` the shell of the file, and the prediction.
        limits: What a file may ask for.
        outbox: Where the answer will lie; what is large is made there.

    Raises:
        DomainError: The file is refused, or (`PayloadProcessFailed`) this code is at fault.
    """
    manifest, new = _manifest(message["manifest"]), functools.partial(first_array, outbox)
    try:
        result: Message = {}
        outputs: list[npt.NDArray[Any]]
        if message["op"] == "decode":
            options = ReadOptions(**message["options"])
            packed, plan, shell = decode(arrays[0].data, message["kind"], manifest, options, limits, new)
            result, outputs = {"plan": plan.to_json()}, [packed, shell.to_bytes()]
            if options.trial is not None:
                features = len(packed_components(manifest.outputs, manifest.grid.axes))
                nothing = np.empty((len(packed), 0, *packed.shape[1:-1], features), packed.dtype)
                asked: Message = {**result, **options.trial, "sent": message["kind"], "attributes": {}}
                encode(outputs[1], asked, manifest, nothing)
        else:
            outputs = [encode(arrays[0], message, manifest, arrays[1], new)]
        if sum(output.nbytes + ALIGNMENT for output in outputs) > outbox.size:
            raise ArenaFull
        return result, outputs
    except DomainError:
        raise
    except ArenaFull:
        raise InflatedTooLarge(
            f"The answer has more than {outbox.size} bytes, the most that can be given back. Send fewer samples."
        ) from None
    except MemoryError:
        raise InflatedTooLarge("The file needs more memory than one request may use. Send less at once.") from None
    except Exception as error:
        logger.error("a payload process met a fault of its own: %s", clean(traceback.format_exc(), 4000))
        raise PayloadProcessFailed(
            f"The file could not be processed ({type(error).__name__}). This is a fault of the service."
        ) from error


@functools.lru_cache(maxsize=16)
def _manifest(text: str) -> Manifest:
    return Manifest.model_validate_json(text)


def decode(
    body: Buffer,
    kind: Kind,
    manifest: Manifest,
    options: ReadOptions,
    limits: Limits,
    new: Allocate = np.empty,
) -> tuple[Packed, Plan, Shell]:
    """Reads the fields that a model wants into one packed array, and what is needed to give the answer back."""
    variables: Mapping[Any, Any] = {}
    try:
        with opened(body, kind, limits, options.group) as file:
            variables = file.variables
            return _decode(file, manifest, options, limits, new)
    except PayloadError as error:
        error.extra.setdefault("variables", variables_of(variables))
        raise


def _decode(
    file: File, manifest: Manifest, options: ReadOptions, limits: Limits, new: Allocate
) -> tuple[Packed, Plan, Shell]:
    found = find_fields(file, manifest, options.map)
    if options.stagger == "center":
        file, found = centred(file, found)
    axes = find_axes(file, manifest, found, options.axes)
    kept = coordinates_of(file.variables, names_of(found))
    changes, notes = conversions(file, found, options.units)
    plan = make_plan(file, manifest, found, axes, kept)
    features = locate(file, manifest, found, axes)
    packed = pack(file, features, plan, limits=limits, changes=changes, missing=options.missing, new=new)
    check_symmetry(file, manifest, found, packed, plan)
    mask, comment = (None, "") if options.missing is None else fill(packed, options.missing)
    if comment:
        plan.repeated["comment"] = comment
    plan.notes.extend(notes)
    if options.rollout:
        plan = replace(plan, steps=steps_axis(file.variables, kept, plan, manifest))
    shell = shell_of(file, kept, mask)
    if manifest.grid.refinement > 1:
        shell, plan = refined(file, shell, plan, manifest.grid.refinement)
    return packed, plan, shell


def encode(shell: Bytes, message: Message, manifest: Manifest, prediction: Packed, new: Allocate = np.empty) -> Bytes:
    """Writes a prediction into a file with the coordinates and attributes of the one that was sent."""
    options, sent, plan = WriteOptions(**message["options"]), Shell.from_bytes(shell), Plan(**message["plan"])
    if message.get("progress") is not None:
        sent, plan = rolled_out(sent, plan, manifest, Progress(**message["progress"]))
        prediction = prediction.reshape(-1, *prediction.shape[2:])
    content = answer(sent, manifest, plan, prediction, message["attributes"], options)
    return serialise(content, options, message["sent"], new)
