"""The model versions of a server, and which of them serve."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from collections.abc import Sequence
from typing import Any, TypeVar

from proad.connection import Connection
from proad.detection import ModelVersion
from proad.v1 import model_pb2, model_pb2_grpc

_Known = TypeVar("_Known", bound=enum.Enum)

_CALIBRATION_TIMEOUT = 3600.0  # seconds; the server inspects every image
_ACTIVATION_TIMEOUT = 300.0  # seconds; the server loads and checks the version first


class ModelState(enum.Enum):
    """State of a version. UNKNOWN: a state that this client does not know."""

    UNKNOWN = model_pb2.MODEL_STATE_UNSPECIFIED
    STORED = model_pb2.MODEL_STATE_STORED
    LOADING = model_pb2.MODEL_STATE_LOADING
    LOADED = model_pb2.MODEL_STATE_LOADED
    ACTIVE = model_pb2.MODEL_STATE_ACTIVE
    FAILED = model_pb2.MODEL_STATE_FAILED


@dataclasses.dataclass(frozen=True)
class Model:
    """One version of a model.

    default     True if the version answers requests that name no model
    categories  categories that have their own threshold
    """

    version: ModelVersion
    state: ModelState
    state_reason: str
    default: bool
    created: datetime.datetime | None
    preset: str
    categories: tuple[str, ...]


def to_enum(kind: type[_Known], value: int) -> _Known:
    """Converts an enum of the protos; UNKNOWN, whose value is 0, for a value that this client does not know."""
    return kind(value) if value in {known.value for known in kind} else kind(0)


def to_version(version: Any) -> ModelVersion:
    """Converts a ModelVersion message."""
    return ModelVersion(version.name, version.version, version.hash)


def from_summary(summary: model_pb2.ModelSummary) -> Model:
    """Converts a ModelSummary message."""
    created = None
    if summary.HasField("create_time"):
        created = summary.create_time.ToDatetime(tzinfo=datetime.timezone.utc)
    return Model(
        version=to_version(summary.model_version),
        state=to_enum(ModelState, summary.state),
        state_reason=summary.state_reason,
        default=summary.default_model,
        created=created,
        preset=summary.preset,
        categories=tuple(summary.categories),
    )


@dataclasses.dataclass(frozen=True)
class Activation:
    """Result of an activation.

    active    the version that is active now
    previous  the version that was active before; None if none was
    seconds   time from the request to the change
    """

    active: ModelVersion
    previous: ModelVersion | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A version in memory.

    state         LOADED, or ACTIVE if the version was active before
    seconds       duration of loading; 0 if the version was in memory before
    memory_bytes  size of its weights in device memory
    """

    version: ModelVersion
    state: ModelState
    seconds: float
    memory_bytes: int


def to_activation(response: model_pb2.ActivateModelResponse | model_pb2.RollbackModelResponse) -> Activation:
    """Converts the response of an activation or rollback."""
    return Activation(
        active=to_version(response.active),
        previous=to_version(response.previous) if response.HasField("previous") else None,
        seconds=response.duration.ToNanoseconds() / 1e9,
    )


class ModelClient(Connection):
    """Lists versions and changes which of them serve. Thread-safe.

    See Connection for the arguments of the constructor.
    """

    @functools.cached_property
    def _models(self) -> Any:
        return model_pb2_grpc.ModelServiceStub(self._channel)

    def list(self, name: str = "") -> Sequence[Model]:
        """Returns all versions of the model `name`; default: of all models."""
        request = model_pb2.ListModelsRequest(name=name)
        found: list[Model] = []
        while True:
            response = self._call(self._models.ListModels, request)
            found += (from_summary(summary) for summary in response.models)
            if not response.next_page_token:
                return found
            request.page_token = response.next_page_token

    def activate(
        self, model: str, *, expected: str | None = None, timeout: float = _ACTIVATION_TIMEOUT
    ) -> Activation:
        """Makes "name@version" the active version of its name. The server loads it first if necessary.

        expected  version ("3", without the name) that must be active now, or "" if none must be; otherwise ProadError
                  with the code ABORTED. A call with `expected` is not repeated, because its first attempt may have
                  changed the active version
        timeout   in seconds; loading can take a minute
        """
        request = model_pb2.ActivateModelRequest(model=model)
        if expected is not None:
            request.expected_active_version = expected
        return to_activation(self._call(self._models.ActivateModel, request, timeout, repeat=expected is None))

    def rollback(self, name: str, *, expected: str | None = None, timeout: float = _ACTIVATION_TIMEOUT) -> Activation:
        """Activates the version of `name` that was active before the present one; without delay if it is in memory.

        expected  as for activate: the version that the call replaces
        """
        request = model_pb2.RollbackModelRequest(name=name)
        if expected is not None:
            request.expected_active_version = expected
        return to_activation(self._call(self._models.RollbackModel, request, timeout, repeat=False))

    def load(self, model: str, *, timeout: float = _ACTIVATION_TIMEOUT) -> Loaded:
        """Loads "name@version" into memory without making it active."""
        response = self._call(self._models.LoadModel, model_pb2.LoadModelRequest(model=model), timeout)
        return Loaded(
            version=to_version(response.model_version),
            state=to_enum(ModelState, response.state),
            seconds=response.load_duration.ToNanoseconds() / 1e9,
            memory_bytes=response.device_memory_bytes,
        )

    def unload(self, model: str) -> int:
        """Removes "name@version" from memory. Returns the freed device memory, in bytes."""
        return int(self._call(self._models.UnloadModel, model_pb2.UnloadModelRequest(model=model)).freed_bytes)

    def calibrate(
        self,
        model: str = "",
        *,
        dataset_path: str = "",
        dataset_id: str = "",
        categories: Sequence[str] = (),
        false_reject_budget: float = 0.01,
        dry_run: bool = False,
        timeout: float = _CALIBRATION_TIMEOUT,
    ) -> dict[str, float]:
        """Chooses the thresholds of a version from images of good parts. Returns them by category.

        dataset_path, dataset_id  exactly one: a folder below the server's data root, or an uploaded dataset
        categories                product classes; default: all categories of the dataset
        dry_run                   return the thresholds without applying them
        """
        request = model_pb2.CalibrateRequest(
            model=model, categories=categories, false_reject_budget=false_reject_budget, validate_only=dry_run
        )
        if dataset_id:
            request.dataset_id = dataset_id
        else:
            request.dataset_path = dataset_path
        response = self._call(self._models.Calibrate, request, timeout)
        return {entry.category: entry.threshold for entry in response.calibrations}

    def delete(self, model: str) -> int:
        """Deletes "name@version" from the server's store permanently. Returns the freed disk space, in bytes."""
        request = model_pb2.DeleteModelRequest(model=model)
        return int(self._call(self._models.DeleteModel, request, repeat=False).freed_bytes)
