"""Which servers an address means, and how calls are spread over several of them; as client/endpoints.h of the C++ client.

    host:port, [::1]:port, unix:/path   one server
    dns:///name:port                    every address that the name has, a headless service for example
    host1:port,host2:port,...           these; names are looked up once

Calls to several servers take turns among those that are connected and say by the health service that they serve. One that
answers nearly everything with an error is left out for a while, but never more than half of them.
"""

from __future__ import annotations

import dataclasses
import json
import socket
from typing import Any

_DNS = "dns:///"

# client/endpoints.cc says why each value is what it is.
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
    """target as gRPC takes it; options of the channel, none for a single server."""

    target: str
    options: tuple[tuple[str, Any], ...] = ()


def parse_endpoints(address: str) -> Endpoints:
    """Never fails: what cannot be found is left to gRPC, whose error names it. May ask the resolver."""
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
    """ "[::1]:50051" -> "::1", "50051" """
    host, _, port = entry.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), port


def _look_up(host: str, port: str) -> list[str]:
    """Addresses as IPv6 has them, all of one kind: of a machine that has both, those of IPv4."""
    for family, pattern in ((socket.AF_INET, "[::ffff:{}]:{}"), (socket.AF_INET6, "[{}]:{}")):
        try:
            found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        except OSError:
            continue
        return [pattern.format(*where[4][:2]) for where in found]
    return []
