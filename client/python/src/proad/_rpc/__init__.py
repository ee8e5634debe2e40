"""google.rpc, the messages that errors are made of.

A process can hold them only once. Where googleapis-common-protos is installed, other packages use its copy, and so
does this one; elsewhere the copy that was generated with the stubs is used.
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
