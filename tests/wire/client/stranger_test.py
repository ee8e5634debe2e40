"""Calls a server with nothing but the protos: grpcio, stubs generated from proto/, and server reflection.

    python stranger_test.py [ADDRESS [IMAGE]]      default: a fake server and an image that it accepts
"""

import os
import pathlib
import sys

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "support"))
from fake_server import FakeServer  # noqa: E402
from stubs import detection_pb2, detection_pb2_grpc  # noqa: E402


def reflected_services(channel):
    """The services that the server says it has, asked in the bytes of grpc.reflection.v1alpha: list_services is
    field 7 of a request, list_services_response field 6 of a response, and each service in it a name in a field 1."""
    call = channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda data: data, response_deserializer=lambda data: data)
    (answer,) = call(iter([b"\x3a\x00"]))
    fields = dict(delimited_fields(answer))
    return {name.decode() for _, service in delimited_fields(fields[6]) for _, name in delimited_fields(service)}


def delimited_fields(data):
    """Number and bytes of each length-delimited field of a message."""
    at = 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 2:
            length = varint()
            yield key >> 3, data[at : at + length]
            at += length
        else:
            assert key & 7 == 0, f"wire type {key & 7}"
            varint()


def visit(address, image):
    with grpc.insecure_channel(address) as channel:
        services = reflected_services(channel)
        assert "proad.v1.DetectionService" in services, services
        assert "proad.v1.ModelService" in services, services
        assert "grpc.health.v1.Health" in services, services

        stub = detection_pb2_grpc.DetectionServiceStub(channel)
        request = detection_pb2.DetectRequest(request_id="stranger", encoded=image)
        request.outputs.heatmap = detection_pb2.HEATMAP_FORMAT_FLOAT32
        response = stub.Detect(request, timeout=60)
        assert response.request_id == "stranger", response.request_id
        assert response.score > 0, response.score
        assert response.verdict != detection_pb2.VERDICT_UNSPECIFIED
        assert len(response.heatmap.data) == 4 * response.heatmap.width * response.heatmap.height > 0

        (answer,) = stub.DetectStream(iter([detection_pb2.DetectStreamRequest(request=request)]), timeout=60)
        assert answer.request_id == "stranger", answer
        assert answer.detection.score == response.score, (answer.detection.score, response.score)

        try:
            stub.Detect(detection_pb2.DetectRequest(encoded=b"not an image"), timeout=60)
            raise AssertionError("an invalid image got a detection")
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    print(f"{address}: score {response.score:.4f}, {len(services)} services by reflection")


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PROAD_SERVER")
    if address is None:
        with FakeServer() as server:
            visit(server.address, b"score=0.5")
        return
    sample = pathlib.Path(os.environ["PROAD_SOURCE_DIR"]) / "deploy/sample/brick/test/hole/002.png"
    image = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else sample
    visit(address, image.read_bytes())


if __name__ == "__main__":
    main()
