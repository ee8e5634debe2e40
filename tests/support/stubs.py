"""Python stubs generated from proto/ alone, made when this is imported."""

import atexit
import os
import pathlib
import shutil
import sys
import tempfile

import grpc_tools
from grpc_tools import protoc

_proto = pathlib.Path(os.environ["PROAD_SOURCE_DIR"]) / "proto"
_well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
_out = tempfile.mkdtemp(prefix="proad-stubs-")
atexit.register(shutil.rmtree, _out, ignore_errors=True)

_files = sorted(str(path.relative_to(_proto)) for path in _proto.rglob("*.proto"))
_failed = protoc.main(
    ["protoc", f"-I{_proto}", f"-I{_well_known}", f"--python_out={_out}", f"--grpc_python_out={_out}", *_files])
if _failed:
    raise RuntimeError(f"protoc failed on {_files}")
sys.path.insert(0, _out)

from proad.v1 import (  # noqa: E402,F401
    detection_pb2, detection_pb2_grpc, model_pb2, model_pb2_grpc, training_pb2, training_pb2_grpc)
