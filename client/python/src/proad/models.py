"""Which models a server has."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from proad.detection import ModelVersion
from proad.v1 import model_pb2


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


def from_summary(summary: model_pb2.ModelSummary) -> Model:
    """The server's answer as plain Python."""
    version = summary.model_version
    states = {state.value for state in ModelState}
    created = None
    if summary.HasField("create_time"):
        created = summary.create_time.ToDatetime(tzinfo=datetime.timezone.utc)
    return Model(
        version=ModelVersion(version.name, version.version, version.hash),
        state=ModelState(summary.state) if summary.state in states else ModelState.UNKNOWN,
        state_reason=summary.state_reason,
        default=summary.default_model,
        created=created,
        preset=summary.preset,
        categories=tuple(summary.categories),
    )
