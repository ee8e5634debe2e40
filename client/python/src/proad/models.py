"""Which models a server has, and which of them serve."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from collections.abc import Sequence
from typing import Any

from proad.connection import Connection
from proad.detection import ModelVersion
from proad.v1 import model_pb2, model_pb2_grpc

_CALIBRATION_TIMEOUT = 3600.0  # seconds: every picture is scored
_ACTIVATION_TIMEOUT = 300.0  # seconds: a version is loaded and checked first


class ModelState(enum.Enum):
    """What a version is doing. UNKNOWN: something that this client does not know."""

    UNKNOWN = model_pb2.MODEL_STATE_UNSPECIFIED
    STORED = model_pb2.MODEL_STATE_STORED
    LOADING = model_pb2.MODEL_STATE_LOADING
    LOADED = model_pb2.MODEL_STATE_LOADED
    ACTIVE = model_pb2.MODEL_STATE_ACTIVE
    FAILED = model_pb2.MODEL_STATE_FAILED


@dataclasses.dataclass(frozen=True)
class Model:
    """One version of a model.

    default     requests that name no model go to it
    categories  that have a threshold of their own
    """

    version: ModelVersion
    state: ModelState
    state_reason: str
    default: bool
    created: datetime.datetime | None
    preset: str
    categories: tuple[str, ...]


def to_state(value: int) -> ModelState:
    """A ModelState of the contract; UNKNOWN for one that this client does not know."""
    return ModelState(value) if value in {state.value for state in ModelState} else ModelState.UNKNOWN


def to_version(version: Any) -> ModelVersion:
    """A ModelVersion of the contract as plain Python."""
    return ModelVersion(version.name, version.version, version.hash)


def from_summary(summary: model_pb2.ModelSummary) -> Model:
    """The server's answer as plain Python."""
    created = None
    if summary.HasField("create_time"):
        created = summary.create_time.ToDatetime(tzinfo=datetime.timezone.utc)
    return Model(
        version=to_version(summary.model_version),
        state=to_state(summary.state),
        state_reason=summary.state_reason,
        default=summary.default_model,
        created=created,
        preset=summary.preset,
        categories=tuple(summary.categories),
    )


@dataclasses.dataclass(frozen=True)
class Activation:
    """What serves now.

    active    the version that serves
    previous  the one that served before; None when none did
    seconds   from the request to the swap
    """

    active: ModelVersion
    previous: ModelVersion | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A version that is in memory.

    state         LOADED, or ACTIVE when it was that before
    seconds       that loading took; 0 when it was in memory already
    memory_bytes  what its weights take
    """

    version: ModelVersion
    state: ModelState
    seconds: float
    memory_bytes: int


def to_activation(response: model_pb2.ActivateModelResponse | model_pb2.RollbackModelResponse) -> Activation:
    """The server's answer as plain Python."""
    return Activation(
        active=to_version(response.active),
        previous=to_version(response.previous) if response.HasField("previous") else None,
        seconds=response.duration.ToNanoseconds() / 1e9,
    )


class ModelClient(Connection):
    """Lists versions and says which of them serve. Thread-safe; see Connection for what it is made with."""

    @functools.cached_property
    def _models(self) -> Any:
        return model_pb2_grpc.ModelServiceStub(self._channel)

    def list(self, name: str = "") -> Sequence[Model]:
        """Every version of the model `name`, or of all models."""
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
        """Makes "name@version" the version that serves its name; loads it first if need be.

        expected  do it only if this version ("3", without the name) is active now, or none for ""; ProadError ABORTED
                  otherwise. Not repeated by itself then: the first attempt may have changed what is expected
        timeout   seconds; loading may take a minute
        """
        request = model_pb2.ActivateModelRequest(model=model)
        if expected is not None:
            request.expected_active_version = expected
        return to_activation(self._call(self._models.ActivateModel, request, timeout, repeat=expected is None))

    def rollback(self, name: str, *, expected: str | None = None, timeout: float = _ACTIVATION_TIMEOUT) -> Activation:
        """Lets the version that served `name` before the present one serve again; at once where it is in memory.

        expected  as of activate: the version that is to be left
        """
        request = model_pb2.RollbackModelRequest(name=name)
        if expected is not None:
            request.expected_active_version = expected
        return to_activation(self._call(self._models.RollbackModel, request, timeout, repeat=False))

    def load(self, model: str, *, timeout: float = _ACTIVATION_TIMEOUT) -> Loaded:
        """Brings "name@version" into memory without letting it serve its name."""
        response = self._call(self._models.LoadModel, model_pb2.LoadModelRequest(model=model), timeout)
        return Loaded(
            version=to_version(response.model_version),
            state=to_state(response.state),
            seconds=response.load_duration.ToNanoseconds() / 1e9,
            memory_bytes=response.device_memory_bytes,
        )

    def unload(self, model: str) -> int:
        """Takes "name@version" out of memory. Returns the bytes of weights that became free."""
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
        """Sets the thresholds of a version from pictures of good parts; returns them by category.

        dataset_path, dataset_id  exactly one: a folder below the server's data root, or an uploaded dataset
        categories                product classes; default: all that are in the dataset
        dry_run                   only say them
        """
        request = model_pb2.CalibrateRequest(
            model=model, categories=categories, false_reject_budget=false_reject_budget, validate_only=dry_run)
        if dataset_id:
            request.dataset_id = dataset_id
        else:
            request.dataset_path = dataset_path
        response = self._call(self._models.Calibrate, request, timeout)
        return {entry.category: entry.threshold for entry in response.calibrations}

    def delete(self, model: str) -> int:
        """Removes "name@version" from the server's store for good. Returns the bytes of disk that became free."""
        request = model_pb2.DeleteModelRequest(model=model)
        return int(self._call(self._models.DeleteModel, request, repeat=False).freed_bytes)
