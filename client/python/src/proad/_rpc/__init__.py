"""The messages of google.rpc, which describe errors.

A process can register these messages once only. If googleapis-common-protos is installed, this package uses its copy,
as other packages do. Otherwise it uses the copy that was generated with the stubs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proad._rpc.bundled import error_details_pb2, status_pb2
else:
    try:
        from google.rpc import error_details_pb2, status_pb2
    except ImportError:
        from proad._rpc.bundled import error_details_pb2, status_pb2

__all__ = ["error_details_pb2", "status_pb2"]
