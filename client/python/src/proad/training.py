"""Training jobs of a server."""

from __future__ import annotations

import functools
import os
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import grpc

from proad.connection import Connection, rpc_timeout
from proad.dataset import StoredDataset, Upload, UploadProgress, complete_dataset, list_folder
from proad.errors import ProadError, from_rpc_error
from proad.jobs import Gate, JobState, TrainJob, from_message
from proad.retry import RetryPolicy, retry_delay
from proad.v1 import model_pb2, training_pb2, training_pb2_grpc

_FORMATS: dict[str, Any] = {
    "mvtec": training_pb2.DATASET_FORMAT_MVTEC,
    "visa": training_pb2.DATASET_FORMAT_VISA,
    "visa_1cls": training_pb2.DATASET_FORMAT_VISA_1CLS,
    "real_iad": training_pb2.DATASET_FORMAT_REAL_IAD,
    "folder": training_pb2.DATASET_FORMAT_FOLDER,
    "csv": training_pb2.DATASET_FORMAT_CSV,
}
_ORIENTATIONS: dict[str, Any] = {
    "ignore": training_pb2.ORIENTATION_IGNORE,
    "apply": training_pb2.ORIENTATION_APPLY,
}
# Overrides whose values are enums of the protos.
_CHOICES: dict[str, dict[str, Any]] = {
    "precision": {
        "fp32": training_pb2.PRECISION_FP32,
        "tf32": training_pb2.PRECISION_TF32,
        "bf16": training_pb2.PRECISION_BF16,
    },
    "position_resize": {
        "official": model_pb2.POSITION_RESIZE_OFFICIAL,
        "lineage": model_pb2.POSITION_RESIZE_LINEAGE,
    },
}


class TrainingClient(Connection):
    """Creates, watches, cancels and resumes training jobs, and uploads datasets. Thread-safe.

    See Connection for the arguments of the constructor.
    """

    @functools.cached_property
    def _training(self) -> Any:
        return training_pb2_grpc.TrainingServiceStub(self._channel)

    def create(
        self,
        model_name: str,
        *,
        dataset_path: str | None = None,
        dataset_id: str | None = None,
        dataset_format: str | None = None,
        categories: Iterable[str] = (),
        preset: str | None = None,
        recipe: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        init_from: str | None = None,
        encoder: str | None = None,
        device: str | None = None,
        validation_share: float | None = None,
        false_reject_budget: float | None = None,
        activate_on_success: bool = False,
        gate: Gate | None = None,
        skip_unreadable: bool = False,
        orientation: str | None = None,
        image_bits: int | None = None,
        world_size: int | None = None,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        validate_only: bool = False,
        timeout: float | None = None,
    ) -> TrainJob:
        """Adds a job to the server's queue. Returns when the server has stored the job on disk.

        model_name           name of the model that gets the new version
        dataset_path         folder or list below the server's data root, or else ...
        dataset_id           ... id of an uploaded dataset
        dataset_format       "mvtec", "visa", "visa_1cls", "real_iad", "folder" or "csv"; default: recognised by the
                             server
        categories           product classes on which to train; default: all
        preset, recipe       size of the network, and training recipe
        overrides            values that replace those of the recipe, by their names in RecipeOverrides:
                             {"epochs": 3, "seed": 7}; precision is "fp32", "tf32" or "bf16", position_resize "official"
                             or "lineage"
        init_from            start with the weights of this version
        orientation          "apply" turns images as their orientation tag says, "ignore" does not
        image_bits           significant bits of 16 bit samples: 10, 12, 14 or 16
        activate_on_success  activate the version if it passes `gate`
        request_id           repeated calls with the same id create one job only; default: generated for this call
        validate_only        check the job without creating it; the returned job has no job_id

        The server has defaults for all other arguments. Raises ProadError, and ValueError for an unknown word.
        """
        spec = training_pb2.TrainJobSpec(model_name=model_name, categories=categories, labels=labels or {})
        if dataset_path is not None:
            spec.dataset_path = dataset_path
        if dataset_id is not None:
            if dataset_path is not None:
                raise ValueError("dataset_path and dataset_id are two datasets: give only one of them")
            spec.dataset_id = dataset_id
        if dataset_format is not None:
            spec.dataset_format = _choose("dataset_format", dataset_format, _FORMATS)
        plain = {
            "preset": preset,
            "recipe": recipe,
            "init_from": init_from,
            "encoder": encoder,
            "device": device,
            "validation_share": validation_share,
            "false_reject_budget": false_reject_budget,
            "world_size": world_size,
            "image_bits": image_bits,
        }
        for name, value in plain.items():
            if value is not None:
                setattr(spec, name, value)
        if orientation is not None:
            spec.orientation = _choose("orientation", orientation, _ORIENTATIONS)
        spec.activate_on_success = activate_on_success
        spec.skip_unreadable = skip_unreadable
        _fill_overrides(spec.overrides, overrides or {})
        if gate is not None:
            _fill_gate(spec.gate, gate)
        # A generated id, so that a repeated call creates one job only.
        generated = "" if validate_only else uuid.uuid4().hex
        request = training_pb2.CreateTrainJobRequest(
            spec=spec, request_id=request_id or generated, validate_only=validate_only
        )
        return from_message(self._call(self._training.CreateTrainJob, request, timeout).job)

    def get(self, job_id: str) -> TrainJob:
        """Returns the present state of a job."""
        request = training_pb2.GetTrainJobRequest(job_id=job_id)
        return from_message(self._call(self._training.GetTrainJob, request).job)

    def list(self, *, states: Iterable[JobState] = (), model_name: str = "") -> Sequence[TrainJob]:
        """Returns the jobs, newest first; default: in all states and of all models."""
        request = training_pb2.ListTrainJobsRequest(states=[state.value for state in states], model_name=model_name)
        found: list[TrainJob] = []
        while True:
            response = self._call(self._training.ListTrainJobs, request)
            found += (from_message(job) for job in response.jobs)
            if not response.next_page_token:
                return found
            request.page_token = response.next_page_token

    def cancel(self, job_id: str) -> TrainJob:
        """Ends a job that is QUEUED or RUNNING. It can be resumed."""
        request = training_pb2.CancelTrainJobRequest(job_id=job_id)
        return from_message(self._call(self._training.CancelTrainJob, request).job)

    def resume(self, job_id: str) -> TrainJob:
        """Continues a FAILED or CANCELLED job from its last checkpoint."""
        request = training_pb2.ResumeTrainJobRequest(job_id=job_id)
        return from_message(self._call(self._training.ResumeTrainJob, request).job)

    def watch(self, job_id: str, *, patience: float = 600.0) -> Iterator[TrainJob]:
        """Yields the present state of the job, and its state after changes. The last one has ended.

        Reconnects if the server is unreachable. After `patience` seconds without a message from the server, raises
        ProadError with the code UNAVAILABLE. The caller can leave the loop early; the job continues.
        """
        attempts = 0
        last_message = time.monotonic()
        endless = RetryPolicy(max_attempts=2**31, initial_backoff=self._retry.initial_backoff)
        while True:
            call = self._training.WatchTrainJob(training_pb2.WatchTrainJobRequest(job_id=job_id))
            try:
                for response in call:
                    attempts = 0
                    job = from_message(response.job)
                    yield job
                    last_message = time.monotonic()
                    if job.has_ended:
                        return
                error = ProadError(
                    grpc.StatusCode.UNAVAILABLE, "the server ended the watch, but the job has not ended"
                )
            except grpc.RpcError as rpc_error:
                error = from_rpc_error(rpc_error)
            finally:
                call.cancel()
            attempts += 1
            remaining = last_message + patience - time.monotonic()
            delay = retry_delay(endless, error, attempts, remaining, random.random())
            if delay is None:
                raise error
            time.sleep(delay)

    def wait(self, job_id: str, *, patience: float = 600.0) -> TrainJob:
        """Watches the job until it ends. Returns it."""
        for job in self.watch(job_id, patience=patience):
            pass
        return job

    def upload(
        self,
        folder: str | os.PathLike[str],
        dataset_id: str | None = None,
        *,
        on_progress: Callable[[UploadProgress], None] | None = None,
    ) -> StoredDataset:
        """Uploads the images and lists of a folder. Continues an unfinished upload.

        dataset_id   default: the folder's name and a digest of its content; if the server has that dataset, nothing is
                     sent
        on_progress  called after every chunk, by another thread

        Raises ProadError: ALREADY_EXISTS if the dataset with the given id is complete, FAILED_PRECONDITION if the
        unfinished upload with this id has other files. Raises OSError or ValueError for a folder that cannot be sent.
        """
        listed = list_folder(folder)
        name = dataset_id or listed.dataset_id
        timeout = rpc_timeout(self._timeout)
        upload = Upload(self._training, name, listed, retry=self._retry, timeout=timeout, on_progress=on_progress)
        try:
            return upload.run()
        except ProadError as error:
            if dataset_id is not None or error.code != grpc.StatusCode.ALREADY_EXISTS:
                raise
            return complete_dataset(name, listed)


def _choose(name: str, word: str, choices: Mapping[str, Any]) -> Any:
    if word not in choices:
        raise ValueError(f"{name} {word!r} is not one of {', '.join(choices)}")
    return choices[word]


def _fill_overrides(message: Any, overrides: Mapping[str, Any]) -> None:
    known = {field.name for field in training_pb2.RecipeOverrides.DESCRIPTOR.fields}
    for name, value in overrides.items():
        if name not in known:
            raise ValueError(f"override {name!r} is not one of {', '.join(sorted(known))}")
        setattr(message, name, _choose(name, value, _CHOICES[name]) if name in _CHOICES else value)


def _fill_gate(message: Any, gate: Gate) -> None:
    message.not_worse_than_active = gate.not_worse_than_active
    message.tolerance = gate.tolerance
    for minimum in gate.minimums:
        message.minimums.add(name=minimum.metric, category=minimum.category, minimum=minimum.minimum)
