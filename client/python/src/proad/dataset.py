"""Upload of a folder to a server."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import pathlib
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from proad.errors import ProadError, from_rpc_error
from proad.retry import RetryPolicy, retry_delay
from proad.v1 import training_pb2

_CHUNK = 1 << 20  # bytes; largest chunk of UploadDataset
_LONGEST_PATH = 512  # bytes; UploadFile.path in training.proto
_LONGEST_NAME = 40  # bytes; the id has at most 64 with the digest
_IMAGES = {".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
_SENT = _IMAGES | {".csv", ".json"}


@dataclasses.dataclass(frozen=True)
class FolderFile:
    """A file to send: its path relative to the folder, with "/" between the parts, its size and its SHA-256."""

    path: str
    size_bytes: int
    sha256: bytes


@dataclasses.dataclass(frozen=True)
class Folder:
    """The files of a folder to send, in ascending order of their paths, compared as bytes.

    left_out  paths that are not sent: hidden files and folders, files that are neither images nor lists, and links to
              folders
    """

    root: pathlib.Path
    files: tuple[FolderFile, ...]
    left_out: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """Total size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def dataset_id(self) -> str:
        """An id that depends on the content: the folder's name and the start of a digest over paths and contents."""
        # Works on bytes, so that all clients generate the same id.
        name = re.sub(rb"[^a-z0-9._-]+", b"-", os.fsencode(self.root.resolve().name).lower())
        start = name.lstrip(b"-_.")[:_LONGEST_NAME].rstrip(b"-").decode() or "dataset"
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(os.fsencode(file.path) + b"\0" + file.sha256)
        return f"{start}-{digest.hexdigest()[:12]}"


@dataclasses.dataclass(frozen=True)
class UploadProgress:
    """Progress of an upload, including earlier uploads of the same dataset."""

    files: int
    total_files: int
    bytes: int
    total_bytes: int


@dataclasses.dataclass(frozen=True)
class StoredDataset:
    """State of a dataset on the server.

    files       number of complete files
    size_bytes  total size of the complete files
    last_path   path of the last complete file; "" without any
    expires     time at which the server removes the dataset unless a job uses it before; None: the dataset is kept
    """

    dataset_id: str
    complete: bool
    files: int
    size_bytes: int
    last_path: str
    expires: datetime.datetime | None = None


def list_folder(root: str | os.PathLike[str]) -> Folder:
    """Lists the images and lists (.csv, .json) below the folder, and reads each file once for its digest.

    Raises NotADirectoryError for `root`, FileNotFoundError if the folder holds nothing to send, ValueError for a path
    that cannot be sent, and OSError for a file that cannot be read.
    """
    folder = pathlib.Path(root)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    paths, left_out = _walk(folder)
    if not paths:
        raise FileNotFoundError(f"nothing to send in {folder}: it holds none of {', '.join(sorted(_SENT))}")
    files = []
    for path in sorted(paths, key=os.fsencode):
        _check(path)
        with open(folder / path, "rb") as file:
            digest = hashlib.sha256()
            size = 0
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        files.append(FolderFile(path, size, digest.digest()))
    return Folder(folder, tuple(files), tuple(sorted(left_out)))


def _walk(folder: pathlib.Path) -> tuple[list[str], list[str]]:
    """Returns the paths to send and the paths that are left out."""

    def fail(error: OSError) -> None:
        raise error

    paths: list[str] = []
    left_out: list[str] = []
    for here, folders, files in os.walk(folder, onerror=fail):
        below = pathlib.Path(here).relative_to(folder)
        for name in list(folders):
            if name.startswith(".") or os.path.islink(os.path.join(here, name)):
                folders.remove(name)
                left_out.append(f"{(below / name).as_posix()}/")
        for name in files:
            path = (below / name).as_posix()
            sent = not name.startswith(".") and pathlib.Path(name).suffix.lower() in _SENT
            (paths if sent and os.path.isfile(os.path.join(here, name)) else left_out).append(path)
    return paths, left_out


def _check(path: str) -> None:
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the name of {path!r} is not UTF-8: rename it and try again") from None
    if length > _LONGEST_PATH:
        raise ValueError(f"the path {path} has {length} bytes; the limit is {_LONGEST_PATH}")


def complete_dataset(dataset_id: str, folder: Folder) -> StoredDataset:
    """The state of a complete dataset with the files of `folder`, if the server's response is missing."""
    return StoredDataset(dataset_id, True, len(folder.files), folder.size_bytes, folder.files[-1].path)


class Upload:
    """Opens streams, one after the other, until the dataset is complete. Not thread-safe."""

    def __init__(
        self,
        stub: Any,
        dataset_id: str,
        folder: Folder,
        *,
        retry: RetryPolicy,
        timeout: float | None,
        on_progress: Callable[[UploadProgress], None] | None,
    ) -> None:
        self._stub = stub
        self._id = dataset_id
        self._folder = folder
        self._retry = retry
        self._timeout = timeout
        self._on_progress = on_progress
        self._stored = 0  # complete files on the server, according to its last answer
        self._finish_sent = False
        self._failure: Exception | None = None

    def run(self) -> StoredDataset:
        """Sends the missing files. Gives up after max_attempts consecutive streams without a further complete file."""
        furthest = 0
        attempts = 0
        interrupted = False
        while True:
            try:
                return self._once()
            except grpc.RpcError as rpc_error:
                if self._failure is not None:  # an error of this side ended the stream
                    raise self._failure from None
                error = from_rpc_error(rpc_error)
            if self._finish_sent and error.code == grpc.StatusCode.ALREADY_EXISTS:  # only the response was lost
                return complete_dataset(self._id, self._folder)
            attempts = 1 if self._stored > furthest else attempts + 1
            furthest = max(furthest, self._stored)
            repeatable = error
            # A broken stream may still be open on the server and hold the dataset: ABORTED is temporary then.
            if interrupted and error.code == grpc.StatusCode.ABORTED:
                repeatable = ProadError(grpc.StatusCode.UNAVAILABLE, error.message)
            delay = retry_delay(self._retry, repeatable, attempts, float("inf"), random.random())
            if delay is None:
                raise error
            interrupted = True
            time.sleep(delay)

    def _once(self) -> StoredDataset:
        stored = self._stub.UploadDataset(iter([self._start()]), timeout=self._timeout)
        first = sum(1 for file in self._folder.files if file.path.encode() <= stored.last_path.encode())
        size = sum(file.size_bytes for file in self._folder.files[:first])
        if (first, size) != (stored.files, stored.size_bytes):
            raise ProadError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"the server has an unfinished upload named {self._id} with {stored.files} files and "
                f"{stored.size_bytes} bytes up to {stored.last_path}, but {self._folder.root} has {first} files and "
                f"{size} bytes up to that path. It is another dataset: upload it under another name",
            )
        self._stored = first
        response = self._stub.UploadDataset(self._messages(first, size))
        if self._failure is not None:
            raise self._failure
        return StoredDataset(
            dataset_id=response.dataset_id,
            complete=response.complete,
            files=response.files,
            size_bytes=response.size_bytes,
            last_path=response.last_path,
            expires=(
                response.expire_time.ToDatetime(tzinfo=datetime.timezone.utc)
                if response.HasField("expire_time")
                else None
            ),
        )

    def _start(self) -> training_pb2.UploadDatasetRequest:
        start = training_pb2.UploadStart(
            dataset_id=self._id, total_bytes=self._folder.size_bytes, total_files=len(self._folder.files)
        )
        return training_pb2.UploadDatasetRequest(start=start)

    def _messages(self, first: int, size: int) -> Iterator[training_pb2.UploadDatasetRequest]:
        """Generates the messages from the file with the index `first` on. Runs in a thread of gRPC."""
        try:
            yield self._start()
            total = self._folder.size_bytes
            files = self._folder.files
            for index, file in enumerate(files[first:], first):
                header = training_pb2.UploadFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)
                yield training_pb2.UploadDatasetRequest(file=header)
                for chunk in self._chunks(file):
                    yield training_pb2.UploadDatasetRequest(chunk=chunk)
                    size += len(chunk)
                    self._report(UploadProgress(index, len(files), size, total))
            self._finish_sent = True
            yield training_pb2.UploadDatasetRequest(finish=training_pb2.UploadFinish(files=len(files)))
            self._report(UploadProgress(len(files), len(files), total, total))
        except Exception as error:  # run() raises it after the stream has ended
            self._failure = error

    def _chunks(self, file: FolderFile) -> Iterator[bytes]:
        left = file.size_bytes
        with open(self._folder.root / file.path, "rb") as content:
            while left > 0:
                chunk = content.read(min(_CHUNK, left))
                if not chunk:
                    raise ValueError(f"{self._folder.root / file.path} became shorter during the upload")
                left -= len(chunk)
                yield chunk

    def _report(self, progress: UploadProgress) -> None:
        if self._on_progress is not None:
            self._on_progress(progress)
