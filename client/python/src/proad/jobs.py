"""Training jobs as plain Python."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Any, TypeVar

from proad.detection import ModelVersion
from proad.models import to_version
from proad.v1 import training_pb2

_Known = TypeVar("_Known", bound=enum.Enum)


class JobState(enum.Enum):
    """Where a job is in its life. UNKNOWN: something that this client does not know; such a job has not ended."""

    UNKNOWN = training_pb2.TRAIN_JOB_STATE_UNSPECIFIED
    QUEUED = training_pb2.TRAIN_JOB_STATE_QUEUED
    RUNNING = training_pb2.TRAIN_JOB_STATE_RUNNING
    SUCCEEDED = training_pb2.TRAIN_JOB_STATE_SUCCEEDED
    FAILED = training_pb2.TRAIN_JOB_STATE_FAILED
    CANCELLED = training_pb2.TRAIN_JOB_STATE_CANCELLED


class TrainPhase(enum.Enum):
    """What a running job is doing. UNKNOWN: nothing yet, or something that this client does not know."""

    UNKNOWN = training_pb2.TRAIN_PHASE_UNSPECIFIED
    PREPARING = training_pb2.TRAIN_PHASE_PREPARING
    ENCODING = training_pb2.TRAIN_PHASE_ENCODING
    TRAINING = training_pb2.TRAIN_PHASE_TRAINING
    EVALUATING = training_pb2.TRAIN_PHASE_EVALUATING
    PUBLISHING = training_pb2.TRAIN_PHASE_PUBLISHING


@dataclasses.dataclass(frozen=True)
class Minimum:
    """A figure that a version must reach to be activated, for example Minimum("image_auroc", 0.9).

    category  product class; "": the mean over all
    """

    metric: str
    minimum: float
    category: str = ""


@dataclasses.dataclass(frozen=True)
class Gate:
    """What a version must reach to be activated; all of it must hold.

    not_worse_than_active  than the active version on the same pictures, in the metrics of `minimums`, or image_auroc
    tolerance              how much worse still counts as not worse
    """

    minimums: tuple[Minimum, ...] = ()
    not_worse_than_active: bool = False
    tolerance: float = 0.0


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure of quality.

    category  product class; "": the mean over all
    images    it was measured on; 0: not known
    """

    name: str
    category: str
    value: float
    images: int


@dataclasses.dataclass(frozen=True)
class TrainProgress:
    """How far a job is. Times in seconds; eta is None when it cannot be told yet."""

    phase: TrainPhase
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    learning_rate: float
    images_per_second: float
    eta: float | None
    elapsed: float
    checkpoint_step: int
    train_images: int
    device: str


@dataclasses.dataclass(frozen=True)
class GateResult:
    """Whether a version was let through the gate.

    reason            why it was not activated: every condition that failed, with its figures
    compared_with     the version that it was compared with, and its figures on the same pictures
    """

    passed: bool
    activated: bool
    reason: str
    compared_with: ModelVersion | None
    compared_metrics: tuple[Metric, ...]


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """A job as it was at one moment.

    spec            what was asked for, with the server's defaults filled in: the contract's message
    reason          why it FAILED or was CANCELLED, in words; reason_code is for machines
    queue_position  jobs that run before it, while it is QUEUED
    attempts        how often it was started
    metrics         figures on the dataset's test split; empty before they are known, and without one
    version         what it published; None until then
    gate            what became of activate_on_success; None when it was not asked for, or not known yet
    skipped_images  pictures left out as unreadable; skipped_paths are the first of them
    """

    job_id: str
    spec: Any
    state: JobState
    reason: str
    reason_code: str
    created: datetime.datetime | None
    started: datetime.datetime | None
    ended: datetime.datetime | None
    updated: datetime.datetime | None
    queue_position: int
    attempts: int
    progress: TrainProgress | None
    metrics: tuple[Metric, ...]
    version: ModelVersion | None
    gate: GateResult | None
    skipped_images: int
    skipped_paths: tuple[str, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

    def metric(self, name: str, category: str = "") -> float | None:
        """One figure; None when there is none. metric("image_auroc") is the mean over the categories."""
        for metric in self.metrics:
            if (metric.name, metric.category) == (name, category):
                return metric.value
        return None


def from_message(job: training_pb2.TrainJob) -> TrainJob:
    """The server's answer as plain Python."""

    def time(name: str) -> datetime.datetime | None:
        if not job.HasField(name):
            return None
        moment: datetime.datetime = getattr(job, name).ToDatetime(tzinfo=datetime.timezone.utc)
        return moment

    return TrainJob(
        job_id=job.job_id,
        spec=job.spec,
        state=_known(JobState, job.state),
        reason=job.reason,
        reason_code=job.reason_code,
        created=time("create_time"),
        started=time("start_time"),
        ended=time("end_time"),
        updated=time("update_time"),
        queue_position=job.queue_position,
        attempts=job.attempts,
        progress=_progress(job.progress) if job.HasField("progress") else None,
        metrics=_metrics(job.evaluation.metrics),
        version=to_version(job.result_version) if job.HasField("result_version") else None,
        gate=_gate(job.gate_result) if job.HasField("gate_result") else None,
        skipped_images=job.skipped_images,
        skipped_paths=tuple(job.skipped_paths),
    )


def _known(kind: type[_Known], value: int) -> _Known:
    return kind(value) if value in {known.value for known in kind} else kind(0)


def _metrics(metrics: Any) -> tuple[Metric, ...]:
    return tuple(Metric(one.name, one.category, one.value, one.images) for one in metrics)


def _progress(progress: training_pb2.TrainProgress) -> TrainProgress:
    return TrainProgress(
        phase=_known(TrainPhase, progress.phase),
        epoch=progress.epoch,
        epochs=progress.epochs,
        step=progress.step,
        steps=progress.steps,
        loss=progress.loss,
        learning_rate=progress.learning_rate,
        images_per_second=progress.images_per_second,
        eta=progress.eta.ToNanoseconds() / 1e9 if progress.HasField("eta") else None,
        elapsed=progress.elapsed.ToNanoseconds() / 1e9,
        checkpoint_step=progress.checkpoint_step,
        train_images=progress.train_images,
        device=progress.device,
    )


def _gate(result: training_pb2.GateResult) -> GateResult:
    return GateResult(
        passed=result.passed,
        activated=result.activated,
        reason=result.reason,
        compared_with=to_version(result.compared_with) if result.HasField("compared_with") else None,
        compared_metrics=_metrics(result.compared_metrics),
    )
