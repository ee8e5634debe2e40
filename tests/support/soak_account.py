"""What became of every request of a soak, and what the server's process took meanwhile."""

import os
import pathlib
import threading
import time

import grpc

OUTCOMES = ("answered", "refused", "expired", "cancelled", "dropped")
OUTCOME_OF = {
    grpc.StatusCode.OK: "answered",
    grpc.StatusCode.INVALID_ARGUMENT: "refused",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "refused",
    grpc.StatusCode.DEADLINE_EXCEEDED: "expired",
    grpc.StatusCode.CANCELLED: "cancelled",
    grpc.StatusCode.UNAVAILABLE: "dropped",
}
KEPT_WORDS = 20


class Account:
    """Requests by kind: what was sent, and how each ended. Thread-safe.

    `allowed` has the codes that a kind may end with; any other is wrong, and its words are kept.
    """

    def __init__(self, allowed):
        self._allowed = allowed
        self._lock = threading.Lock()
        self.sent = dict.fromkeys(allowed, 0)
        self.ended = {kind: {} for kind in allowed}
        self.wrong = []
        self.wrong_count = 0

    def send(self, kind, count=1):
        with self._lock:
            self.sent[kind] += count

    def end(self, kind, code, words="", count=1):
        with self._lock:
            self.ended[kind][code] = self.ended[kind].get(code, 0) + count
        if code not in self._allowed[kind]:
            self.complain(f"{kind}: {code.name}: {words}")

    def complain(self, words):
        with self._lock:
            self.wrong_count += 1
            if len(self.wrong) < KEPT_WORDS:
                self.wrong.append(words)

    def call(self, kind, method, request, timeout):
        """A unary call; its answer, or None when it ended with an error."""
        self.send(kind)
        try:
            answer = method(request, timeout=timeout)
        except grpc.RpcError as error:
            self.end(kind, error.code(), error.details())
            return None
        self.end(kind, grpc.StatusCode.OK)
        return answer

    def rows(self):
        """For each kind: sent, each of OUTCOMES, and what ended in none of them."""
        rows = {}
        for kind, codes in self.ended.items():
            row = {"sent": self.sent[kind], **dict.fromkeys(OUTCOMES, 0)}
            for code, count in codes.items():
                if code in OUTCOME_OF:
                    row[OUTCOME_OF[code]] += count
            row["missing"] = row["sent"] - sum(row[outcome] for outcome in OUTCOMES)
            rows[kind] = row
        return rows

    def count(self, kinds, *codes):
        return sum(self.ended[kind].get(code, 0) for kind in kinds for code in codes)


class Resources:
    """Memory, descriptors and threads of a process, sampled."""

    FIGURES = ("memory_mib", "descriptors", "threads")

    def __init__(self, pid):
        self._folder = pathlib.Path("/proc", str(pid))
        self._start = time.monotonic()
        self.samples = []  # (seconds since the start, figure, figure, figure)

    def sample(self):
        status = dict(line.split(":", 1) for line in (self._folder / "status").read_text().splitlines())
        self.samples.append((time.monotonic() - self._start, int(status["VmRSS"].split()[0]) / 1024,
                             len(os.listdir(self._folder / "fd")), int(status["Threads"])))

    def summary(self, warm_up):
        """For each figure, of what was sampled after `warm_up` seconds: first and last (means of a tenth of the
        samples each), highest, and the growth an hour along the straight line through all of them."""
        late = [sample for sample in self.samples if sample[0] >= warm_up] or self.samples[-1:]
        tenth = max(len(late) // 10, 1)
        result = {}
        for column, figure in enumerate(self.FIGURES, 1):
            values = [sample[column] for sample in late]
            result[figure] = {
                "first": sum(values[:tenth]) / tenth, "last": sum(values[-tenth:]) / tenth,
                "highest": max(values), "growth_per_hour": 3600 * slope([sample[0] for sample in late], values),
            }
        return result


def slope(times, values):
    """Of the straight line with the least squares."""
    if len(times) < 2:
        return 0.0
    mean_time, mean_value = sum(times) / len(times), sum(values) / len(values)
    spread = sum((t - mean_time) ** 2 for t in times)
    return sum((t - mean_time) * (v - mean_value) for t, v in zip(times, values, strict=True)) / spread
