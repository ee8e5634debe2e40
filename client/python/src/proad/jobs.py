"""Training jobs as Python types."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from typing import Any

from proad.detection import ModelVersion
from proad.models import to_enum, to_version
from proad.v1 import training_pb2


class JobState(enum.Enum):
    """State of a job. UNKNOWN: a state that this client does not know; such a job has not ended."""

    UNKNOWN = training_pb2.TRAIN_JOB_STATE_UNSPECIFIED
    QUEUED = training_pb2.TRAIN_JOB_STATE_QUEUED
    RUNNING = training_pb2.TRAIN_JOB_STATE_RUNNING
    SUCCEEDED = training_pb2.TRAIN_JOB_STATE_SUCCEEDED
    FAILED = training_pb2.TRAIN_JOB_STATE_FAILED
    CANCELLED = training_pb2.TRAIN_JOB_STATE_CANCELLED


class TrainPhase(enum.Enum):
    """Phase of a running job. UNKNOWN: none yet, or a phase that this client does not know."""

    UNKNOWN = training_pb2.TRAIN_PHASE_UNSPECIFIED
    PREPARING = training_pb2.TRAIN_PHASE_PREPARING
    ENCODING = training_pb2.TRAIN_PHASE_ENCODING
    TRAINING = training_pb2.TRAIN_PHASE_TRAINING
    EVALUATING = training_pb2.TRAIN_PHASE_EVALUATING
    PUBLISHING = training_pb2.TRAIN_PHASE_PUBLISHING


@dataclasses.dataclass(frozen=True)
class Minimum:
    """Lowest value of a metric for the activation of a version, for example Minimum("image_auroc", 0.9).

    category  product class; "": the mean over all categories
    """

    metric: str
    minimum: float
    category: str = ""


@dataclasses.dataclass(frozen=True)
class Gate:
    """Conditions for the activation of a version. All of them must hold.

    not_worse_than_active  the version must not be worse than the active one on the same images, in the metrics of
                           `minimums`, or in image_auroc if `minimums` is empty
    tolerance              difference up to which a lower value is not worse
    """

    minimums: tuple[Minimum, ...] = ()
    not_worse_than_active: bool = False
    tolerance: float = 0.0


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric of a version's quality.

    category  product class; "": the mean over all categories
    images    number of images on which it was measured; 0: unknown
    """

    name: str
    category: str
    value: float
    images: int


@dataclasses.dataclass(frozen=True)
class TrainProgress:
    """Progress of a job. Times are in seconds; eta is None if no estimate exists."""

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
    """Result of the gate for a version.

    reason            conditions that do not hold, with their values, or the error of the activation
    compared_with     version with which this one was compared; None without a comparison
    compared_metrics  metrics of that version on the same images
    """

    passed: bool
    activated: bool
    reason: str
    compared_with: ModelVersion | None
    compared_metrics: tuple[Metric, ...]


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """The state of a job at one time.

    spec            parameters including defaults: the message TrainJobSpec
    reason          description of the error or of the cancellation
    reason_code     the same as a stable code
    queue_position  number of jobs that run before this one while it is QUEUED
    attempts        number of times the job was started
    metrics         metrics on the dataset's test split; empty before the evaluation, and without a test split
    version         the published version; None before the publication
    gate            result of the gate; None without activate_on_success, and before the publication
    skipped_images  number of unreadable images that were skipped; skipped_paths has the first paths
    warnings        warnings about masks that probably do not mark what they should
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
    warnings: tuple[str, ...]

    @property
    def has_ended(self) -> bool:
        """True if the job is SUCCEEDED, FAILED or CANCELLED."""
        return self.state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)

    def metric(self, name: str, category: str = "") -> float | None:
        """Returns a metric; None if it was not measured. metric("image_auroc") is the mean over the categories."""
        for metric in self.metrics:
            if (metric.name, metric.category) == (name, category):
                return metric.value
        return None


def from_message(job: training_pb2.TrainJob) -> TrainJob:
    """Converts a TrainJob message."""

    def time(name: str) -> datetime.datetime | None:
        if not job.HasField(name):
            return None
        moment: datetime.datetime = getattr(job, name).ToDatetime(tzinfo=datetime.timezone.utc)
        return moment

    return TrainJob(
        job_id=job.job_id,
        spec=job.spec,
        state=to_enum(JobState, job.state),
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
        warnings=tuple(job.warnings),
    )


def _metrics(metrics: Any) -> tuple[Metric, ...]:
    return tuple(Metric(one.name, one.category, one.value, one.images) for one in metrics)


def _progress(progress: training_pb2.TrainProgress) -> TrainProgress:
    return TrainProgress(
        phase=to_enum(TrainPhase, progress.phase),
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
