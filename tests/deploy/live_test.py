"""Dashboards and rules against a real server and a real Prometheus, with load and faults.

Every query of every panel and rule must have data, or stand in EMPTY with its reason; every metric and every label
value that they name must have been scraped; and the alerts that the faults call for must come, and no others of those
that speak of a server that is gone.
"""

import json
import math
import pathlib
import re
import sys
import tempfile
import time
import unittest
import urllib.request

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from line import Line, config, pictures  # noqa: E402
from prometheus import SCRAPE, SOURCE, RealPrometheus, preview, promtool  # noqa: E402
from real_server import RealServer  # noqa: E402
from stubs import training_pb2  # noqa: E402
from waiting import await_true  # noqa: E402

RUNBOOK = (SOURCE / "deploy" / "README.md").read_text()
DASHBOARDS = sorted((SOURCE / "deploy" / "grafana" / "dashboards").glob("*.json"))

# The days before: brick was good, with low scores.
HISTORY = {
    'category:proad_verdicts_anomalous:ratio_rate1h{job="proad",category="brick"}': lambda day: 0.01,
    'category:proad_score:mean1h{job="proad",category="brick"}': lambda day: 0.001 * day,
}
# Parts of queries that have nothing to show in this test, and why.
EMPTY = {
    "proad_certificate_expiry_timestamp_seconds": "the server has no certificate",
    "proad_auth_failures_total": "the server asks for no credentials",
    "proad_credential_reloads_total": "it has none to take anew",
}
# What the faults call for, whether it fires at once or waits for its time.
EXPECTED = {"ProadErrorBudgetFastBurn", "ProadErrorBudgetSlowBurn", "ProadRejections", "ProadPicturesRefused",
            "ProadModelSwapFailed", "ProadTrainJobFailed", "ProadUndecided", "ProadVerdictRateJump", "ProadScoreShift"}
# What none of them may cause.
FORBIDDEN = {"ProadTargetDown", "ProadAbsent", "ProadNotReady", "ProadNoWorker", "ProadWorkerQuarantined",
             "ProadWorkerReplaced", "ProadVersionsDiffer", "ProadRestarts", "ProadMemoryGrowth", "ProadFileDescriptors",
             "ProadCertificateExpiring", "ProadCredentialReloadFailed", "ProadAuthFailures"}

# Metrics, but not what rules record, which has colons in its name.
SELECTOR = re.compile(r"(?<![\w:])((?:proad|process)_\w+)(?![\w:])(?:\{([^}]*)\})?")
MATCHER = re.compile(r"(\w+)(=~|!~|!=|=)\"([^\"]*)\"")


class LiveTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.start = time.time()
        folder = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="proad-live-"))
        data = pathlib.Path(folder) / "data"
        data.mkdir()
        cls.server = cls.enterClassContext(RealServer(config(data)))
        cls.prometheus = cls.enterClassContext(RealPrometheus(cls.server.metrics_address, history=HISTORY))
        cls.line = Line(cls.server, data)
        cls.addClassCleanup(cls.line.close)
        cls.scrapes, cls.metadata = [], {}
        cls.work()
        cls.scrape()
        cls.prometheus.await_rules()
        cls.end = time.time()

    @classmethod
    def seen(cls, expr):
        """Returns once a query has an answer."""
        await_true(f"an answer to {expr}", lambda: cls.prometheus.api.instant(expr), pause=0.1)

    @classmethod
    def scrape(cls):
        """What there is now, for tests of the text."""
        with urllib.request.urlopen(f"http://{cls.server.metrics_address}/metrics", timeout=30) as answer:
            cls.scrapes.append(answer.read().decode())
        # Prometheus soon forgets the type of what is not there any more, such as a job's loss.
        cls.metadata |= cls.prometheus.api.get("metadata")

    @classmethod
    def work(cls):
        """Half a minute of a factory. Counters that begin with the first part must be scraped before others come."""
        line = cls.line
        categories = ("alien", "brick", "gravel")
        for category in categories:
            line.inspect(category, 1)
        for category in categories:
            cls.seen(f'proad_verdicts_total{{category="{category}"}}')
        for category in categories:
            line.inspect(category, 35)
        line.stream("brick", 8)
        line.overlays(4)
        line.wrong(30)
        codes = line.rush(48, 3)
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes, set(codes)
        line.rush(24, 2, timeout=0.05)
        line.swap()
        line.fail_to_swap()
        cls.train()

    @classmethod
    def train(cls):
        line = cls.line
        long_job = line.start_job("long", 10000, "brick")
        cls.seen('proad_train_loss and on (slot) proad_train_phase{phase="training"} == 1')
        cls.seen("rate(proad_train_images_total[4s]) > 0")
        line.inspect("brick", 4)
        cls.scrape()
        line.cancel(long_job)
        job = line.await_job(line.start_job("parts", 2, "alien", activate_on_success=True))
        assert job.state == training_pb2.TRAIN_JOB_STATE_SUCCEEDED, job.reason
        assert job.gate_result.activated, job.gate_result.reason
        assert line.detect(pictures("brick")[0], "unheard_of", model="parts") == grpc.StatusCode.NOT_FOUND
        assert line.detect(pictures("alien")[0], "alien", model="parts") == grpc.StatusCode.OK
        failed = line.await_job(line.start_bad_job("broken"))
        assert failed.state == training_pb2.TRAIN_JOB_STATE_FAILED, failed.state
        cls.seen('proad_train_jobs_completed_total{outcome="failed"} == 1')

    def has_data(self, expr):
        """Whether a query had at least one number to show at some time of the test."""
        found = self.prometheus.api.range(expr, self.start, self.end, SCRAPE)
        return any(math.isfinite(float(value)) for series in found for _, value in series["values"])

    def queries(self):
        """(where, expression) of every panel, annotation and rule, variables replaced."""
        interval = f"{4 * SCRAPE}s"
        span = f"{math.ceil(self.end - self.start)}s"
        for path in DASHBOARDS:
            dashboard = json.loads(path.read_text())
            values = preview.variables(dashboard) | {"__rate_interval": interval, "__range": span}
            for query in preview.queries(dashboard):
                yield f"{path.name}, {query.panel}", preview.expand(query.expr, values)
        for group in self.prometheus.api.get("rules")["groups"]:
            for rule in group["rules"]:
                yield rule["name"], rule["query"]

    def test_every_panel_and_recording_rule_has_data(self):
        alerts = {rule["name"] for group in self.prometheus.api.get("rules", type="alert")["groups"]
                  for rule in group["rules"]}
        empty = [f"{where}: {expr}" for where, expr in self.queries()
                 if where not in alerts and not any(part in expr for part in EMPTY)
                 and not self.has_data(expr)]
        self.assertEqual(empty, [])

    def test_every_rule_can_be_evaluated(self):
        rules = [rule for group in self.prometheus.api.get("rules")["groups"] for rule in group["rules"]]
        self.assertGreater(len(rules), 40)
        self.assertEqual([rule["name"] for rule in rules if rule["health"] != "ok"], [])

    def test_every_metric_and_label_value_was_scraped(self):
        names = set(self.prometheus.api.get("label/__name__/values"))
        missing = set()
        for where, expr in self.queries():
            for name, matchers in SELECTOR.findall(expr):
                if name in EMPTY:
                    continue
                if name not in names:
                    missing.add(f"{where}: {name}")
                    continue
                for label, operator, value in MATCHER.findall(matchers):
                    # Codes are gRPC's, and no server answers all of them; the rest are variables at All.
                    if label == "code" or operator.startswith("!") or value == ".*":
                        continue
                    scraped = set(self.prometheus.api.get(f"label/{label}/values", **{"match[]": name}))
                    missing |= {f'{where}: {name}{{{label}="{each}"}}' for each in value.split("|")
                                if each not in scraped}
        self.assertEqual(sorted(missing), [])

    def test_the_runbook_lists_what_was_scraped(self):
        rows = re.findall(r"^\| (`proad_[^|]*)\| (\w+) \| ([^|]*)\|", RUNBOOK, re.MULTILINE)
        self.assertGreater(len(rows), 30)
        for names, kind, labels in rows:
            for name in re.findall(r"`(\w+)`", names):
                if name in EMPTY:
                    continue
                self.assertEqual([each["type"] for each in self.metadata.get(name, [])], [kind], name)
                series = self.prometheus.api.get("series", **{"match[]": f'{{__name__=~"{name}(_count)?"}}'})
                scraped = {label for each in series for label in each} - {"__name__", "job", "instance"}
                # Prometheus has no empty labels, such as the version of CUDA of a build without it.
                self.assertLessEqual(scraped, set(re.findall(r"`(\w+)`", labels)), name)

    def test_only_counters_are_asked_for_their_rate(self):
        wrong = set()
        for where, expr in self.queries():
            for name in re.findall(r"(?:rate|increase)\((\w+)", expr):
                family = name if name in self.metadata else re.sub(r"_(bucket|sum|count)$", "", name)
                kinds = {each["type"] for each in self.metadata.get(family, [])}
                if not kinds <= {"counter", "histogram"}:
                    wrong.add(f"{where}: {name} is a {kinds}")
        self.assertEqual(sorted(wrong), [])

    def test_the_preview_draws_every_panel(self):
        page = preview.Page(self.prometheus.api, (self.end - self.start) / 60, SCRAPE)
        for path in DASHBOARDS:
            dashboard = json.loads(path.read_text())
            page.values |= preview.variables(dashboard)
            drawn = preview.draw(dashboard, page, rows=0)
            self.assertEqual(drawn.count("<section"), len(preview.panels(dashboard)))
            self.assertEqual(drawn.count("<h3"), sum(panel["type"] == "row" for panel in dashboard["panels"]))
            for kind in {panel["type"] for panel in preview.panels(dashboard)} - {"bargauge"}:
                self.assertIn({"stat": 'class="stat"', "table": "<table>"}.get(kind, "<svg"), drawn)

    def test_scrapes_are_as_prometheus_wants_them(self):
        for text in self.scrapes:
            done = promtool("check", "metrics", stdin=text)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_the_days_before_are_their_mean(self):
        series = self.prometheus.api.instant('category:proad_score:mean_same_hours{category="brick"}')
        self.assertAlmostEqual(float(series[0]["value"][1]), 0.004)

    def test_the_faults_are_told(self):
        alerts = self.prometheus.api.get("alerts")["alerts"]
        active = {alert["labels"]["alertname"] for alert in alerts}
        self.assertLessEqual(EXPECTED, active)
        self.assertEqual(FORBIDDEN & active, set())
        for alert in alerts:
            words = "".join(alert["annotations"].values())
            self.assertNotRegex(words, r"error expanding|no value|\{\{|NaN| (?=[ ,.:])", alert["labels"]["alertname"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
