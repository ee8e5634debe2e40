#!/usr/bin/env python3
"""Changes model versions at random on two servers that share a store, and checks which version serves after each change.

    PYTHON tests/e2e/identity_campaign.py [--operations 500] [--seed 1]

Operations: publish a version, put another version in the place of an old number by hand, activate, roll back, delete,
load, unload, restart a server, kill it, and kill it during an activation. After each operation, every running server must
serve the version that the last successful ActivateModel or RollbackModel named, with its hash: in the answers of Detect
and in ListModels. No version in memory may have another hash than the version in the store, and no number may be
published twice. Prints a table of the operations; exit 0 only when all of that holds. PROAD_BINARY_DIR and
PROAD_SOURCE_DIR say what to run.
"""

import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

os.environ.setdefault("PROAD_SOURCE_DIR", str(pathlib.Path(__file__).resolve().parents[2]))
os.environ.setdefault("PROAD_BINARY_DIR", os.environ["PROAD_SOURCE_DIR"] + "/build/release")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import grpc  # noqa: E402
from real_server import MODEL, SAMPLE, Server, import_model  # noqa: E402
from stubs import detection_pb2, detection_pb2_grpc, model_pb2, model_pb2_grpc  # noqa: E402

FOLLOW_INTERVAL = 0.2  # seconds
PATIENCE = 20  # seconds for the servers to agree: a load on a busy machine, after the follow interval
MIN_VERSIONS, MAX_VERSIONS = 3, 6  # in the store
IMAGE = (SAMPLE / "brick/test/hole/002.png").read_bytes()
IN_MEMORY = (model_pb2.MODEL_STATE_LOADED, model_pb2.MODEL_STATE_ACTIVE)

CONFIG = f"""
models:
  follow_interval: {int(FOLLOW_INTERVAL * 1000)}ms
  torch_threads: 1
  memory_reserve: 1MiB
batching:
  workers: 1
preprocessing:
  threads: 1
training:
  enabled: false
shutdown:
  lame_duck: 0s
"""

# How often each operation is chosen.
WEIGHTS = {"publish": 2, "replace": 2, "activate": 5, "roll_back": 4, "delete": 3, "load": 2, "unload": 2, "restart": 1,
           "kill": 1, "kill_activating": 1}


class WrongVersion(Exception):
    """A server does not serve what it should."""


class Campaign:
    """`serving` and `before` are (number, hash), as the last successful change left them."""

    def __init__(self, folder, seed):
        self.random = random.Random(seed)
        self.store = folder / "store"
        self.model = self.store / MODEL
        import_model(self.store)
        config = folder / "server.yaml"
        config.write_text(CONFIG)
        self.servers = {name: Server(self.store, config, folder / f"{name}.log", ("--default-model", MODEL))
                        for name in ("first", "second")}
        self.running = set()
        self.copies = 0
        self.published = {"1"}
        self.serving = self.identity("1")
        self.before = None
        self.slowest = 0.0
        for name in self.servers:
            self.start(name)

    # ---- the store

    def numbers(self):
        return sorted((path.name for path in self.model.iterdir() if path.name.isdigit()), key=int)

    def identity(self, number):
        manifest = self.model / number / "manifest.json"
        return (number, hashlib.sha256(manifest.read_bytes()).hexdigest()) if manifest.exists() else None

    def others(self):
        """The numbers of the versions that do not serve."""
        return [number for number in self.numbers() if number != self.serving[0]]

    def any_number(self):
        """Rarely the version that serves."""
        others = self.others()
        return self.random.choice(others) if others and self.random.random() < 0.85 else self.serving[0]

    # ---- the servers

    def start(self, name):
        self.servers[name].start()
        self.servers[name].await_ready()
        self.running.add(name)

    def stop(self, name, how):
        server = self.servers[name]
        self.running.discard(name)
        if how == signal.SIGTERM:
            server.process.send_signal(signal.SIGTERM)
            code = server.process.wait(timeout=60)
            assert code == 0, f"the {name} server exited {code}:\n{server.log()}"
        server.kill()

    def any_running(self):
        return self.random.choice(sorted(self.running))

    def models(self, name):
        return model_pb2_grpc.ModelServiceStub(self.servers[name].channel)

    def change(self, call, request):
        """The response, or None and the status code of the error."""
        try:
            return call(request, timeout=60), None
        except grpc.RpcError as error:
            return None, error.code()

    # ---- the checks

    def detected(self, name):
        request = detection_pb2.DetectRequest(encoded=IMAGE)
        version = detection_pb2_grpc.DetectionServiceStub(self.servers[name].channel).Detect(request, timeout=60)
        return version.model_version.version, version.model_version.hash

    def await_serving(self, allowed):
        """Waits until every running server serves `self.serving`; until then it may serve a version of `allowed`."""
        start = time.monotonic()
        for name in sorted(self.running):
            while (served := self.detected(name)) != self.serving:
                if served not in allowed:
                    raise WrongVersion(f"the {name} server serves {served}; expected {self.serving}")
                if time.monotonic() - start > PATIENCE:
                    raise WrongVersion(f"the {name} server serves {served} for {PATIENCE} s; expected {self.serving}")
                time.sleep(0.02)
        self.slowest = max(self.slowest, time.monotonic() - start)

    def check_lists(self):
        for name in sorted(self.running):
            listed = self.models(name).ListModels(model_pb2.ListModelsRequest(name=MODEL), timeout=60).models
            active = [(entry.model_version.version, entry.model_version.hash) for entry in listed
                      if entry.state == model_pb2.MODEL_STATE_ACTIVE]
            if active != [self.serving]:
                raise WrongVersion(f"the {name} server lists {active} as active; expected {self.serving}")
            for entry in listed:
                version = (entry.model_version.version, entry.model_version.hash)
                stored = self.identity(version[0])
                if entry.state in IN_MEMORY and stored is not None and stored != version:
                    raise WrongVersion(f"the {name} server has {version} in memory; the store has {stored}")

    def expect(self, condition, message):
        if not condition:
            raise WrongVersion(message)

    # ---- the operations; each returns what it did, for the report

    def publish(self):
        """By `proad import`, or faster by a copy under the number after the highest."""
        if self.random.random() < 0.5:
            number = str(1 + max(int(number) for number in self.published))
            self.copy_to(number)
        else:
            before = set(self.numbers())
            import_model(self.store)
            (number,) = set(self.numbers()) - before
            self.expect(number not in self.published, f"number {number} was published twice")
        self.published.add(number)
        return number

    def replace(self):
        """Puts a new version in the place of a number that was published, as somebody who copies directories does."""
        numbers = self.others() or sorted(self.published - {self.serving[0]})
        if self.before is not None and self.random.random() < 0.3:
            numbers = [self.before[0]]
        elif self.random.random() < 0.3:
            numbers = sorted(self.published - {self.serving[0]})  # deleted ones among them
        if not numbers:
            return "nothing to replace"
        number = self.random.choice(numbers)
        self.copy_to(number)
        return number

    def copy_to(self, number):
        """Copies the version that serves, with another date, so that the hash differs."""
        self.copies += 1
        copy = self.model / f".copy-{self.copies}"
        shutil.copytree(self.model / self.serving[0], copy)
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest["version"] = number
        manifest["created"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(86400 * self.copies))
        (copy / "manifest.json").write_text(json.dumps(manifest))
        shutil.rmtree(self.model / number, ignore_errors=True)
        copy.rename(self.model / number)

    def record_activation(self, activated):
        if activated != self.serving:
            self.serving, self.before = activated, self.serving

    def activate(self):
        name, number = self.any_running(), self.any_number()
        response, code = self.change(self.models(name).ActivateModel,
                                     model_pb2.ActivateModelRequest(model=f"{MODEL}@{number}"))
        self.expect(response is not None, f"activating {number} on the {name} server failed: {code}")
        activated = (response.active.version, response.active.hash)
        self.expect(activated == self.identity(number), f"activated {activated}, not {self.identity(number)}")
        self.record_activation(activated)
        return f"{number} on {name}"

    def roll_back(self):
        name = self.any_running()
        possible = self.before is not None and self.identity(self.before[0]) == self.before
        response, code = self.change(self.models(name).RollbackModel, model_pb2.RollbackModelRequest(name=MODEL))
        if not possible:
            self.expect(code == grpc.StatusCode.FAILED_PRECONDITION,
                        f"a rollback without a version before, which was {self.before}, ended with {code}: {response}")
            return f"refused on {name}"
        self.expect(response is not None, f"rolling back to {self.before} on the {name} server failed: {code}")
        activated = (response.active.version, response.active.hash)
        self.expect(activated == self.before, f"rolled back to {activated}, not to {self.before}")
        self.record_activation(activated)
        return f"to {activated[0]} on {name}"

    def delete(self):
        name, number = self.any_running(), self.random.choice(self.others() or [None])
        if number is None:
            return "nothing to delete"
        request = model_pb2.DeleteModelRequest(model=f"{MODEL}@{number}")
        response, code = self.change(self.models(name).DeleteModel, request)
        if code == grpc.StatusCode.FAILED_PRECONDITION:  # it is in memory
            self.models(name).UnloadModel(model_pb2.UnloadModelRequest(model=f"{MODEL}@{number}"), timeout=60)
            response, code = self.change(self.models(name).DeleteModel, request)
        self.expect(response is not None, f"deleting {number} on the {name} server failed: {code}")
        if self.before is not None and self.before[0] == number:
            self.before = None
        return f"{number} on {name}"

    def load(self):
        name, number = self.any_running(), self.any_number()
        response, code = self.change(self.models(name).LoadModel, model_pb2.LoadModelRequest(model=f"{MODEL}@{number}"))
        self.expect(response is not None, f"loading {number} on the {name} server failed: {code}")
        loaded = (response.model_version.version, response.model_version.hash)
        self.expect(loaded == self.identity(number), f"loaded {loaded}, not {self.identity(number)}")
        return f"{number} on {name}"

    def unload(self):
        name, number = self.any_running(), self.any_number()
        _, code = self.change(self.models(name).UnloadModel, model_pb2.UnloadModelRequest(model=f"{MODEL}@{number}"))
        allowed = grpc.StatusCode.FAILED_PRECONDITION if number == self.serving[0] else None
        self.expect(code == allowed, f"unloading {number} on the {name} server ended with {code}")
        return f"{number} on {name}"

    def restart(self):
        name = self.any_running()
        self.stop(name, signal.SIGTERM)
        self.start(name)
        return name

    def kill(self):
        """The server stays down for the next operations, unless the other one is down."""
        name = self.any_running()
        self.stop(name, signal.SIGKILL)
        if not self.running:
            self.start(name)
        return name

    def kill_activating(self):
        name, number = self.any_running(), self.any_number()
        wanted, answers = self.identity(number), []
        call = self.models(name).ActivateModel
        request = model_pb2.ActivateModelRequest(model=f"{MODEL}@{number}")
        thread = threading.Thread(target=lambda: answers.append(self.change(call, request)))
        thread.start()
        thread.join(self.random.uniform(0, 0.3))
        self.stop(name, signal.SIGKILL)
        thread.join()
        acknowledged = answers[0][0] is not None
        self.start(name)
        served = self.detected(name)
        self.expect(served == wanted or (served == self.serving and not acknowledged),
                    f"after a kill during the activation of {wanted}, acknowledged: {acknowledged}, {served} serves; "
                    f"{self.serving} served before")
        self.record_activation(served)
        return f"{number} on {name}: {'activated' if served == wanted else 'not activated'}"

    def choose(self):
        if len(self.numbers()) < MIN_VERSIONS:
            return "publish"
        if len(self.numbers()) > MAX_VERSIONS:
            return "delete"
        return self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]

    def run(self, operations):
        counts = collections.Counter()
        for number in range(1, operations + 1):
            for name in sorted(set(self.servers) - self.running):
                if self.random.random() < 0.5:
                    self.start(name)
            before = self.serving
            self.await_serving({self.serving})
            operation = self.choose()
            done = getattr(self, operation)()
            print(f"{number:4} {operation:16} {done}", flush=True)
            counts[operation] += 1
            self.await_serving({before, self.serving})
            self.check_lists()
        return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="proad-identity-") as folder:
        campaign = Campaign(pathlib.Path(folder), options.seed)
        try:
            counts = campaign.run(options.operations)
        except Exception:
            for name, server in campaign.servers.items():
                lines = [line for line in server.log().splitlines() if "msg=detection" not in line]
                print(f"--- log of the {name} server", *lines[-100:], sep="\n")
            raise
        finally:
            for server in campaign.servers.values():
                server.kill()
    print("\noperation           times")
    for operation in WEIGHTS:
        print(f"{operation:16} {counts[operation]:8}")
    print(f"\n{options.operations} operations, seed {options.seed}: both servers served the expected version after each; "
          f"the slowest agreement took {campaign.slowest:.2f} s; {time.monotonic() - start:.0f} s in all")


if __name__ == "__main__":
    main()
