"""Client of Pro-AD Server, which detects defects in images of manufactured parts.

    with proad.Client("localhost:50051") as client:
        detection = client.detect("part.png", category="pcb", heatmap="u16")

    with proad.TrainingClient("localhost:50051") as training:
        job = training.create("screws", dataset_path="screws/2026-11")
        for now in training.watch(job.job_id):
            print(now.state, now.progress)

`proad.v1` contains the generated messages and stubs of all services.
"""

from proad.client import Client, StreamAnswer
from proad.connection import Connection
from proad.dataset import StoredDataset, UploadProgress
from proad.detection import Box, Detection, ModelVersion, ThresholdSource, Timing, Verdict
from proad.errors import ProadError
from proad.images import Frame, Image
from proad.jobs import Gate, GateResult, JobState, Metric, Minimum, TrainJob, TrainPhase, TrainProgress
from proad.models import Activation, Loaded, Model, ModelClient, ModelState
from proad.retry import RetryPolicy
from proad.security import Security
from proad.training import TrainingClient

__all__ = [
    "Activation",
    "Box",
    "Client",
    "Connection",
    "Detection",
    "Frame",
    "Gate",
    "GateResult",
    "Image",
    "JobState",
    "Loaded",
    "Metric",
    "Minimum",
    "Model",
    "ModelClient",
    "ModelState",
    "ModelVersion",
    "ProadError",
    "RetryPolicy",
    "Security",
    "StoredDataset",
    "StreamAnswer",
    "ThresholdSource",
    "Timing",
    "TrainJob",
    "TrainPhase",
    "TrainProgress",
    "TrainingClient",
    "UploadProgress",
    "Verdict",
]
