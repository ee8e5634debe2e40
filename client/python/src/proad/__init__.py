"""Client of Pro-AD Server, which finds defects in pictures of manufactured parts.

    with proad.Client("localhost:50051") as client:
        detection = client.detect("part.png", category="pcb", heatmap="u16")

The generated messages and stubs of every service are in `proad.v1`.
"""

from proad.client import Client, StreamAnswer
from proad.detection import Box, Detection, ModelVersion, ThresholdSource, Timing, Verdict
from proad.errors import ProadError
from proad.images import Image
from proad.models import Model, ModelState
from proad.retry import RetryPolicy

__all__ = [
    "Box",
    "Client",
    "Detection",
    "Image",
    "Model",
    "ModelState",
    "ModelVersion",
    "ProadError",
    "RetryPolicy",
    "StreamAnswer",
    "ThresholdSource",
    "Timing",
    "Verdict",
]
