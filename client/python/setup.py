"""Generates the stubs of ../../proto during the build of the package. All other settings are in pyproject.toml."""

import importlib.metadata
import pathlib
import re
import shutil

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = pathlib.Path(__file__).resolve().parent
# In a source distribution, the protos are in the folder of this file.
PROTO = next((path for path in (HERE / "proto", HERE.parents[1] / "proto") if path.is_dir()), None)


def generate(target):
    """Writes proad/v1 and proad/_rpc/bundled below `target`."""
    import grpc_tools
    from grpc_tools import protoc

    if PROTO is None:
        raise SystemExit("no proto/ folder: build from a checkout of the project or from its source distribution")
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    include = ["protoc", f"-I{PROTO}", f"-I{well_known}"]
    protos = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "proad").rglob("*.proto"))
    common = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "google" / "rpc").glob("*.proto"))
    bundled = target / "proad" / "_rpc" / "bundled"
    bundled.mkdir(parents=True, exist_ok=True)
    out = [f"--python_out={target}", f"--pyi_out={target}"]
    for arguments in ([*out, f"--grpc_python_out={target}", *protos], [*out, *common]):
        if protoc.main(include + arguments):
            raise SystemExit(f"protoc failed: {arguments}")
    # google.rpc belongs to another distribution, which may be installed: the copy stays inside this package.
    for path in (target / "google" / "rpc").iterdir():
        shutil.move(path, bundled / path.name)
    shutil.rmtree(target / "google")
    for folder in (bundled, target / "proad" / "v1"):
        (folder / "__init__.py").write_text('"""Generated from the protos."""\n')
        for path in [*folder.glob("*.py"), *folder.glob("*.pyi")]:
            path.write_text(re.sub(r"^from google\.rpc import", "from proad._rpc import", path.read_text(), flags=re.M))


class BuildWithStubs(build_py):
    def run(self):
        super().run()
        generate(HERE / "src" if self.editable_mode else pathlib.Path(self.build_lib))


class IncludeProtos(sdist):
    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        shutil.copytree(PROTO, pathlib.Path(base_dir) / "proto", dirs_exist_ok=True)


def dependencies():
    """The generated code needs the versions of grpcio and protobuf that its generator requires."""
    asked = importlib.metadata.requires("grpcio-tools") or []
    return ["numpy", *(item for item in asked if re.match(r"(grpcio|protobuf)\b", item))]


setup(cmdclass={"build_py": BuildWithStubs, "sdist": IncludeProtos}, install_requires=dependencies())
