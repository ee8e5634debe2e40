#!/usr/bin/env python3
"""Checks who includes whom, so that the layout of the project stays what it says it is.

    include_rules.py [ROOT]       prints every offending line as FILE:LINE: RULE; exit 1 when there is one
    include_rules.py --self-test  plants violations in a temporary tree and checks that each is found

The rules:
  layers     proto includes nothing of ours, and client only the contract. A folder of model includes itself and the folders
             before it: files < picture < dataset < spec < network < training. A folder of server includes itself, model,
             and the folders of lower layers: util, telemetry < serving, verdicts < batching, jobs, uploads < rpc, trainer <
             server. Folders of server never include each other in a circle.
  rooms      every source of model and server stands in a folder that the rules name.
  torch      LibTorch headers only in model/network, model/training, server/serving/torch_model.cc,
             server/trainer/main.cc, tests/torch and tests/bench; directly or through headers of ours.
             Never <torch/torch.h>: it costs minutes of compile time where single headers cost seconds.
  contract   gRPC, protobuf and generated headers only in server/rpc, server/server.*, server/main.cc, client and the
             tests that are not of tests/unit, tests/torch and tests/fuzz; directly or through headers of ours.
  clash      no file sees both LibTorch and protobuf: the wheel brings headers of another protobuf.
  root       headers of ours are included by their path from the root, and exist.
"""

import dataclasses
import functools
import pathlib
import re
import sys
import tempfile

from check_main import report_self_test, run_check

SOURCE_FOLDERS = ("model", "server", "client", "tests")
SUFFIXES = {".h", ".cc", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
PROTOBUF = re.compile(r"^(grpcpp|grpc|google/protobuf|google/rpc|proad)/")
GENERATED = re.compile(r"^(google/rpc|proad)/.*\.pb\.h$")

# A folder includes its own layer and lower ones; between folders of one layer only circles are forbidden, except in model,
# where every folder is a layer of its own. "server/" holds the files beside the folders.
LAYERS = {
    "model/files/": 0,
    "model/picture/": 1,
    "model/dataset/": 2,
    "model/spec/": 3,
    "model/network/": 4,
    "model/training/": 5,
    "server/util/": 6,
    "server/telemetry/": 6,
    "server/version.": 6,
    "server/serving/": 7,
    "server/verdicts/": 7,
    "server/batching/": 8,
    "server/jobs/": 8,
    "server/uploads/": 8,
    "server/rpc/": 9,
    "server/trainer/": 9,
    "server/": 10,
}
MODEL_LAYERS = "files < picture < dataset < spec < network < training"
SERVER_LAYERS = "util, telemetry < serving, verdicts < batching, jobs, uploads < rpc, trainer < server"

TORCH_PLACES = (
    "model/network/",
    "model/training/",
    "server/serving/torch_model.cc",
    "server/trainer/main.cc",
    "tests/torch/",
    "tests/bench/",
)
CONTRACT_PLACES = ("server/rpc/", "server/server.", "server/main.cc", "client/", "tests/")
CONTRACT_FREE_TESTS = ("tests/unit/", "tests/torch/", "tests/fuzz/")


@dataclasses.dataclass(frozen=True)
class Include:
    line: int
    path: str
    quoted: bool


@dataclasses.dataclass(frozen=True)
class Finding:
    file: str
    line: int
    rule: str
    text: str

    def __str__(self):
        return f"{self.file}:{self.line}: [{self.rule}] {self.text}"


def layer(path):
    """The layer of a file of model or server; None for a file outside every folder that LAYERS names."""
    prefix = max((p for p in LAYERS if path.startswith(p)), key=len, default=None)
    if prefix == "server/" and path.count("/") > 1:
        return None
    return LAYERS.get(prefix)


class Tree:
    """The sources under a root with their includes."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.includes = {}
        for folder in SOURCE_FOLDERS:
            for file in sorted(self.root.glob(f"{folder}/**/*")):
                if file.suffix in SUFFIXES and file.is_file():
                    self.includes[file.relative_to(self.root).as_posix()] = self._read(file)
        # Not a decorator: a cache on the class would keep every tree alive.
        self.outside = functools.cache(self._outside)

    @staticmethod
    def _read(file):
        found = []
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if match:
                found.append(Include(number, match.group(2), match.group(1) == '"'))
        return found

    def _outside(self, file):
        """What FILE sees of others' headers, directly or through ours: path -> the includes that lead there."""
        seen = {}
        visited = {file}
        waiting = [(file, ())]
        while waiting:
            current, way = waiting.pop()
            for include in self.includes[current]:
                here = way + (include,)
                if include.path in self.includes:
                    if include.path not in visited:
                        visited.add(include.path)
                        waiting.append((include.path, here))
                else:
                    seen.setdefault(include.path, here)
        return seen


def first_seen(tree, file, pattern):
    """(line in FILE, words that say how) of the first include that matches, or None."""
    for path, way in tree.outside(file).items():
        if pattern.match(path):
            through = " -> ".join(step.path for step in way)
            return way[0].line, through
    return None


def may_see_torch(file):
    return file.startswith(TORCH_PLACES)


def may_see_contract(file):
    return file.startswith(CONTRACT_PLACES) and not file.startswith(CONTRACT_FREE_TESTS)


def outranks(included, file):
    """Whether the file INCLUDED stands in a higher layer than FILE; check_rooms reports files without a layer."""
    return (layer(included) or 0) > (layer(file) or 0)


def check_rooms(tree, file):
    if file.startswith(("model/", "server/")) and layer(file) is None:
        yield Finding(file, 0, "rooms", f"this folder has no layer (model: {MODEL_LAYERS}; server: {SERVER_LAYERS})")


def check_layers(tree, file):
    for include in tree.includes[file]:
        top = include.path.split("/")[0]
        if top not in SOURCE_FOLDERS and not GENERATED.match(include.path):
            continue
        wrong = None
        if file.startswith("model/") and top != "model":
            wrong = "model includes only model"
        elif file.startswith("model/") and outranks(include.path, file):
            wrong = f"a folder of model includes only the folders before it ({MODEL_LAYERS})"
        elif file.startswith("client/") and top != "client" and not GENERATED.match(include.path):
            wrong = "client includes only client and the contract"
        elif file.startswith("server/"):
            if top in ("client", "tests"):
                wrong = f"server never includes {top}"
            elif top == "server" and outranks(include.path, file):
                wrong = f"a lower layer of server includes a higher one ({SERVER_LAYERS})"
        if wrong:
            yield Finding(file, include.line, "layers", f'"{include.path}": {wrong}')


def check_root(tree, file):
    for include in tree.includes[file]:
        top = include.path.split("/")[0]
        if include.quoted and "/" not in include.path or top in (".", ".."):
            yield Finding(file, include.line, "root",
                          f'"{include.path}": headers of ours are included by their path from the root')
        elif top in SOURCE_FOLDERS and include.path not in tree.includes:
            yield Finding(file, include.line, "root", f'"{include.path}": there is no such header')


def check_outside(tree, file):
    torch = first_seen(tree, file, TORCH)
    contract = first_seen(tree, file, PROTOBUF)
    if torch and not may_see_torch(file):
        where = "LibTorch belongs into " + ", ".join(TORCH_PLACES)
        yield Finding(file, torch[0], "torch", f"{torch[1]}: {where}")
    for include in tree.includes[file]:
        if include.path == "torch/torch.h":
            yield Finding(file, include.line, "torch", "<torch/torch.h>: include single headers of LibTorch")
    if contract and not may_see_contract(file):
        yield Finding(file, contract[0], "contract",
                      f"{contract[1]}: gRPC and protobuf belong into server/rpc, server/server.*, server/main.cc, "
                      f"client and the tests over the wire")
    if torch and contract:
        yield Finding(file, torch[0], "clash", f"sees LibTorch ({torch[1]}) and protobuf ({contract[1]})")


def check_circles(tree):
    """Finds circles among the folders of server, and prints the include that closes one."""
    edges = {}
    for file, includes in tree.includes.items():
        parts = file.split("/")
        if parts[0] != "server" or len(parts) < 3:
            continue
        for include in includes:
            to = include.path.split("/")
            if to[0] == "server" and len(to) > 2 and to[1] != parts[1]:
                edges.setdefault(parts[1], {}).setdefault(to[1], Finding(
                    file, include.line, "layers", f'"{include.path}" closes a circle of folders: '))

    def visit(folder, way):
        for following, finding in edges.get(folder, {}).items():
            if following in way:
                circle = way[way.index(following):] + [following]
                yield dataclasses.replace(finding, text=finding.text + " -> ".join(circle))
            else:
                yield from visit(following, way + [following])

    found = {}
    for folder in sorted(edges):
        for finding in visit(folder, [folder]):
            found.setdefault(frozenset(finding.text.split(": ")[1].split(" -> ")), finding)
    return list(found.values())


def findings(root):
    tree = Tree(root)
    if not tree.includes:
        return [Finding(str(root), 0, "root", "no sources here")]
    result = []
    for file in tree.includes:
        for check in (check_rooms, check_layers, check_root, check_outside):
            result.extend(check(tree, file))
    return result + check_circles(tree)


# ---------------------------------------------------------------- the check of the check

# A tree that keeps every rule.
CLEAN = {
    "model/files/sha256.h": "#include <vector>\n",
    "model/picture/image.h": '#include "model/files/sha256.h"\n',
    "model/picture/image.cc": '#include "model/picture/image.h"\n#include <opencv2/imgcodecs.hpp>\n',
    "model/dataset/dataset.h": '#include "model/picture/image.h"\n',
    "model/spec/config.h": '#include "model/picture/image.h"\n',
    "model/spec/config.cc": '#include "model/spec/config.h"\n',
    "model/network/pro_ad.h": '#include <torch/types.h>\n#include "model/spec/config.h"\n',
    "model/training/trainer.h": '#include "model/network/pro_ad.h"\n',
    "server/util/mutex.h": "#include <mutex>\n",
    "server/telemetry/log.h": '#include "server/util/mutex.h"\n',
    "server/serving/servable_model.h": '#include "model/spec/config.h"\n#include "absl/status/statusor.h"\n',
    "server/serving/torch_model.cc": '#include "model/network/pro_ad.h"\n#include "server/serving/servable_model.h"\n',
    "server/batching/worker.h": '#include "server/serving/servable_model.h"\n',
    "server/jobs/job_store.h": '#include "model/spec/config.h"\n',
    "server/trainer/main.cc": '#include "model/training/trainer.h"\n#include "server/jobs/job_store.h"\n',
    "server/rpc/convert.h": '#include "proad/v1/detection.pb.h"\n#include "model/picture/image.h"\n',
    "server/server.h": '#include "server/rpc/convert.h"\n#include "server/batching/worker.h"\n',
    "server/server.cc": '#include "server/server.h"\n#include <grpcpp/grpcpp.h>\n',
    "client/detection_client.cc": '#include "proad/v1/detection.grpc.pb.h"\n',
    "client/heatmap.h": "#include <string>\n",
    "tests/wire/rpc/detect_test.cc": '#include "server/server.h"\n#include "client/heatmap.h"\n',
    "tests/torch/network/pro_ad_test.cc": '#include "model/network/pro_ad.h"\n',
    "tests/unit/picture/decode_test.cc": '#include "model/picture/image.h"\n#include "gtest/gtest.h"\n',
}

IMAGE = '#include "model/picture/image.h"\n'

# What is planted, and what must be found: (file, new content, line, rule, words of the message).
PLANTED = [
    ("model/picture/image.cc", IMAGE + '#include "server/util/mutex.h"\n', 2, "layers", "only model"),
    ("model/files/sha256.h", IMAGE, 1, "layers", "files < picture"),
    ("model/dataset/dataset.h", '#include "model/spec/config.h"\n', 1, "layers", "dataset < spec"),
    ("model/network/pro_ad.h", '#include "model/training/trainer.h"\n', 1, "layers", "network < training"),
    ("model/image.h", "#include <vector>\n", 0, "rooms", "has no layer"),
    ("server/training/job.h", "#include <vector>\n", 0, "rooms", "has no layer"),
    ("model/spec/config.cc", '#include "model/spec/config.h"\n\n#include <torch/types.h>\n', 3, "torch",
     "model/network/"),
    ("model/spec/config.cc", '#include "model/network/pro_ad.h"\n', 1, "torch",
     "model/network/pro_ad.h -> torch/types.h"),
    ("model/network/pro_ad.h", "#include <torch/torch.h>\n", 1, "torch", "single headers"),
    ("model/network/pro_ad.h", '#include <torch/types.h>\n#include <google/protobuf/message.h>\n', 2, "contract",
     "gRPC"),
    ("client/heatmap.h", "#include <string>\n" + IMAGE, 2, "layers", "only client"),
    ("server/util/mutex.h", '#include "server/serving/servable_model.h"\n', 1, "layers", "lower layer"),
    ("server/batching/worker.h", '#include "server/rpc/convert.h"\n', 1, "layers", "lower layer"),
    ("server/jobs/job_store.h", '#include "server/trainer/main.cc"\n', 1, "layers", "lower layer"),
    ("server/batching/worker.h", '#include "proad/v1/detection.pb.h"\n', 1, "contract", "server/rpc"),
    ("server/batching/worker.h", "#include <ATen/ATen.h>\n", 1, "torch", "LibTorch belongs"),
    ("server/util/mutex.h", '#include "server/telemetry/log.h"\n', 1, "layers", "circle"),
    ("server/serving/torch_model.cc", '#include "model/network/pro_ad.h"\n#include "server/rpc/convert.h"\n', 1, "clash",
     "LibTorch (model/network/pro_ad.h -> torch/types.h)"),
    ("server/rpc/convert.h", '#include "client/heatmap.h"\n', 1, "layers", "never includes client"),
    ("server/config.cc", "#include <grpcpp/server.h>\n", 1, "contract", "server/server.*"),
    ("tests/unit/picture/decode_test.cc", '#include "server/server.h"\n', 1, "contract", "server/server.h -> "),
    ("tests/unit/picture/decode_test.cc", '#include "model/network/pro_ad.h"\n', 1, "torch", "LibTorch belongs"),
    ("server/server.h", '#include "../model/picture/image.h"\n', 1, "root", "from the root"),
    ("server/server.h", '#include "server/rpc/gone.h"\n', 1, "root", "no such header"),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)

        def write(name, content):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content, encoding="utf-8")

        for name, content in CLEAN.items():
            write(name, content)
        for finding in findings(root):
            failures.append(f"found in the clean tree: {finding}")
        for name, content, line, rule, words in PLANTED:
            write(name, content)
            found = findings(root)
            if not any(f.file == name and f.line == line and f.rule == rule and words in f.text for f in found):
                failures.append(f"not found: {name}:{line} [{rule}] {words}; found {[str(f) for f in found]}")
            if name in CLEAN:
                write(name, CLEAN[name])
            else:
                (root / name).unlink()
    return report_self_test(failures, len(PLANTED), "include rules")


if __name__ == "__main__":
    sys.exit(run_check(sys.argv[1:], findings, self_test, "include rules: {} broken", "include rules: all kept"))
