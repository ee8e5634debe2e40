"""Server addresses, and the distribution of calls over several servers, as in client/endpoints.h of the C++ client.

    host:port, [::1]:port, unix:/path   one server
    dns:///name:port                    all addresses of the name, for example of a headless service
    host1:port,host2:port,...           the listed servers; their names are resolved once

gRPC distributes calls round robin over the servers that are connected and whose health service reports SERVING. It
ejects a server on which nearly all calls fail for a while, but never more than half of the servers.
"""

from __future__ import annotations

import dataclasses
import json
import socket
from typing import Any

_DNS = "dns:///"

# client/endpoints.cc explains the values.
_SERVICE_CONFIG = {
    "healthCheckConfig": {"serviceName": ""},
    "loadBalancingConfig": [
        {
            "outlier_detection_experimental": {
                "interval": "2s",
                "baseEjectionTime": "5s",
                "maxEjectionTime": "300s",
                "maxEjectionPercent": 33,
                "failurePercentageEjection": {
                    "threshold": 85,
                    "enforcementPercentage": 100,
                    "minimumHosts": 2,
                    "requestVolume": 5,
                },
                "childPolicy": [{"round_robin": {}}],
            }
        },
        {"round_robin": {}},
    ],
}


@dataclasses.dataclass(frozen=True)
class Endpoints:
    """Target and options of a gRPC channel. A single server needs no options."""

    target: str
    options: tuple[tuple[str, Any], ...] = ()


def parse_endpoints(address: str) -> Endpoints:
    """Never fails: gRPC reports an address that cannot be resolved. Can block on the resolver."""
    if address.startswith(_DNS):
        return Endpoints(address, _balancing())
    if "," not in address:
        return Endpoints(address)
    entries = [_split(entry.strip()) for entry in address.split(",") if entry.strip()]
    found = [where for host, port in entries for where in _look_up(host, port)]
    if not found:
        return Endpoints(_DNS + address)
    return Endpoints("ipv6:" + ",".join(found), (*_balancing(), ("grpc.default_authority", entries[0][0])))


def _balancing() -> tuple[tuple[str, Any], ...]:
    return (
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.dns_min_time_between_resolutions_ms", 2000),
    )


def _split(entry: str) -> tuple[str, str]:
    """Splits "[::1]:50051" into "::1" and "50051"."""
    host, _, port = entry.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def _look_up(host: str, port: str) -> list[str]:
    """Returns IPv6 addresses, all of one family: mapped IPv4 addresses if the host has any, else its IPv6 addresses."""
    for family, pattern in ((socket.AF_INET, "[::ffff:{}]:{}"), (socket.AF_INET6, "[{}]:{}")):
        try:
            found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        except OSError:
            continue
        return [pattern.format(*where[4][:2]) for where in found]
    return []
