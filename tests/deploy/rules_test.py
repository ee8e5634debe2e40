"""The rules of deploy/prometheus: promtool accepts them, every alert fires when it should and only then, and leads to
its chapter of the runbook."""

import json
import pathlib
import re
import sys
import tempfile
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).parents[1] / folder) for folder in ("support", "unit/checks")]
from doc_check import anchors  # noqa: E402
from prometheus import RULES, SOURCE, promtool  # noqa: E402

ALERTS = (RULES / "alerts.yaml").read_text()
RECORDED = (RULES / "recording.yaml").read_text()
NAMES = re.findall(r"- alert: (\w+)", ALERTS)

A = 'job="proad",instance="a:9464"'
B = 'job="proad",instance="b:9464"'
BUILD = {f"proad_build_info{{{A}}}": "1x2000"}
DAYS = 336  # half hours of a week


def codes(**values):
    """Answers of Detect, by code."""
    return {f'proad_requests_total{{rpc="Detect",code="{code}",{A}}}': value for code, value in values.items()}


def late(answers, in_time):
    series = f'rpc="Detect",{A}'
    return {f"proad_request_seconds_count{{{series}}}": answers,
            f'proad_request_seconds_bucket{{le="0.5",{series}}}': in_time}


def fullness(images, megabytes):
    """Of 100 images and 100 MB."""
    return {f"proad_inflight{{{A}}}": f"{images}x60", f"proad_inflight_limit{{{A}}}": "100x60",
            f"proad_inflight_bytes{{{A}}}": f"{megabytes}000000x60",
            f"proad_inflight_bytes_limit{{{A}}}": "100000000x60"}


def verdicts(**values):
    return {f'proad_verdicts_total{{category="pcb",verdict="{verdict}",{A}}}': value
            for verdict, value in values.items()}


def week(before, after):
    """A counter that grows by so much every half hour for a week, then by so much."""
    return f"0+{before}x{DAYS} {before * DAYS + after}+{after}x60"


def score(before, after):
    """60 parts every half hour with these mean scores, for a week and then."""
    return {**verdicts(normal=week(60, 60)), f'proad_score_count{{category="pcb",{A}}}': week(60, 60),
            f'proad_score_sum{{category="pcb",{A}}}': week(60 * before, 60 * after)}


def memory(resident, started="0x300"):
    return BUILD | {f"process_resident_memory_bytes{{{A}}}": resident, f"process_start_time_seconds{{{A}}}": started}


def versions(of_a, of_b):
    return {f'proad_model_info{{model="pcb",version="{version}",hash="{version}{version}",{server}}}': "1x60"
            for version, server in ((of_a, A), (of_b, B))}


# Alert: what makes it fire, and what must not, each as (when, series). A sample a minute, but for those named in SLOW.
CASES = {
    "ProadTargetDown": ([("3m", {f"up{{{A}}}": "1 0x20"}), ("3m", {'up{job="my-proad",instance="a"}': "0x20"}),
                         ("20m", {'up{job="line-metrics",instance="b"}': "0x20",
                                  'proad_build_info{job="line-metrics",instance="a"}': "1x20"})],
                        [("3m", {f"up{{{A}}}": "1x20"}), ("3m", {'up{job="other",instance="a"}': "0x20"})]),
    "ProadAbsent": ([("10m", {"up{job=\"other\"}": "1x20"})], [("10m", BUILD)]),
    "ProadNotReady": ([("8m", {f"proad_ready{{{A}}}": "0x20"})],
                      [("8m", {f"proad_ready{{{A}}}": "1x20"}), ("8m", {f"proad_ready{{{A}}}": "0x3 1x20"})]),
    "ProadNoWorker": ([("3m", {f'proad_workers{{state="serving",{A}}}': "0x20"})],
                      [("3m", {f'proad_workers{{state="serving",{A}}}': "1x20",
                               f'proad_workers{{state="quarantined",{A}}}': "0x20"})]),
    "ProadErrorBudgetFastBurn": (
        [("80m", codes(OK="0+100x90", INTERNAL="0+10x90")),
         ("80m", codes(OK="0+100x90", RESOURCE_EXHAUSTED="0+10x90"))],
        [("80m", codes(OK="0+100x90", INTERNAL="0+1x90")),
         ("80m", codes(OK="0+100x90", INVALID_ARGUMENT="0+50x90", CANCELLED="0+50x90")),  # faults of clients
         ("80m", codes(OK="0+100x90", INTERNAL="0+10x60 600x30")),  # over since 20 minutes
         ("80m", codes(OK="0+1x90", INTERNAL="0+0.1x90"))]),  # six failures in an hour
    "ProadErrorBudgetSlowBurn": ([("400m", codes(OK="0+100x450", INTERNAL="0+1x450"))],
                                 [("400m", codes(OK="0+100x450", INTERNAL="0+0.2x450")),
                                  ("400m", codes(OK="0+100x450", INTERNAL="0+1x360 360x90"))]),
    "ProadNoTraffic": ([("25h", codes(OK="0+300x288 86400x60"))],
                       [("25h", codes(OK="0+300x400")), ("25h", codes(OK="0x400")),
                        # Sundays are quiet: nothing a week ago either, though there was something yesterday.
                        ("180h", codes(OK="0x576 0+300x1440 432000x300"))]),
    "ProadPicturesRefused": ([("30m", codes(OK="0+100x60", INVALID_ARGUMENT="0+10x60")),
                              ("30m", codes(OK="0+100x60", NOT_FOUND="0+10x60"))],
                             [("30m", codes(OK="0+100x60", INVALID_ARGUMENT="0+2x60")),
                              ("30m", codes(OK="0+100x60", INTERNAL="0+10x60"))]),
    "ProadLatencyBudgetFastBurn": ([("80m", late("0+100x90", "0+80x90"))],
                                   [("80m", late("0+100x90", "0+95x90")),
                                    ("80m", late("0+100x90", "0+80x60 4900+100x30"))]),
    "ProadLatencyBudgetSlowBurn": ([("400m", late("0+100x450", "0+92x450"))],
                                   [("400m", late("0+100x450", "0+97x450"))]),
    "ProadQueueSaturated": ([("10m", fullness(90, 1)), ("10m", fullness(1, 90))], [("10m", fullness(50, 50))]),
    "ProadQueueWait": ([("10m", {f"proad_queue_oldest_seconds{{{A}}}": "0.3x20"})],
                       [("10m", {f"proad_queue_oldest_seconds{{{A}}}": "0.1x20"}),
                        ("10m", {f"proad_queue_oldest_seconds{{{A}}}": "0.3x4 0 0.3x20"})]),
    "ProadRejections": (
        [("30m", codes(OK="0+100x60") | {f'proad_rejected_total{{reason="{reason}",{A}}}': "0+5x60"})
         for reason in ("queue_full", "bytes_full", "deadline_unattainable", "deadline_expired")],
        [("30m", codes(OK="0+100x60") | {f'proad_rejected_total{{reason="{reason}",{A}}}': "0+5x60"})
         for reason in ("cancelled", "no_model", "draining")]),
    "ProadWorkerQuarantined": ([("3m", {f'proad_workers{{state="quarantined",{A}}}': "0 1x20"})],
                               [("3m", {f'proad_workers{{state="quarantined",{A}}}': "0x20"})]),
    "ProadWorkerReplaced": ([("12m", {f"proad_workers_replaced_total{{{A}}}": "0x10 1x60"})],
                            [("12m", {f"proad_workers_replaced_total{{{A}}}": "0x60"}),
                             ("50m", {f"proad_workers_replaced_total{{{A}}}": "0x10 1x60"})]),
    "ProadVerdictRateJump": (
        [("174h", verdicts(normal=week(57, 48), anomalous=week(3, 12)))],
        [("174h", verdicts(normal=week(57, 57), anomalous=week(3, 3))),
         ("174h", verdicts(normal=week(99, 97), anomalous=week(1, 3))),  # two points more
         ("174h", verdicts(normal=week(10, 8), anomalous=week(1, 4)))]),  # fewer than 30 parts an hour
    "ProadScoreShift": ([("174h", score(0.1, 0.14)), ("174h", score(0.1, 0.06))], [("174h", score(0.1, 0.11))]),
    "ProadUndecided": ([("100m", verdicts(normal="0+10x120", undecided="0+5x120"))],
                       [("100m", verdicts(normal="0+100x120", undecided="0+5x120"))]),
    "ProadModelSwapFailed": ([("10m", {f'proad_model_swaps_total{{result="failed",{A}}}': "0x5 1x60"})],
                             [("10m", {f'proad_model_swaps_total{{result="failed",{A}}}': "1x60",
                                       f'proad_model_swaps_total{{result="ok",{A}}}': "0x5 1x60"})]),
    "ProadVersionsDiffer": ([("20m", versions("1", "2"))], [("20m", versions("2", "2"))]),
    "ProadTrainJobFailed": ([("10m", {f'proad_train_jobs_completed_total{{outcome="failed",{A}}}': "0x5 1x60"})],
                            [("10m", {f'proad_train_jobs_completed_total{{outcome="failed",{A}}}': "1x60",
                                      f'proad_train_jobs_completed_total{{outcome="cancelled",{A}}}': "0x5 1x60"})]),
    "ProadTrainJobStuck": (
        [("40m", {f'proad_train_progress_ratio{{slot="0",{A}}}': "0+0.01x20 0.2x40"}),
         ("10m", {f'proad_train_jobs{{state="running",{A}}}': "1x20"})],
        [("40m", {f'proad_train_progress_ratio{{slot="0",{A}}}': "0+0.01x60",
                  f'proad_train_jobs{{state="running",{A}}}': "1x60"}),
         ("40m", {f'proad_train_progress_ratio{{slot="0",{A}}}': "0+0.01x30 stale",
                  f'proad_train_jobs{{state="running",{A}}}': "1x30 0x60"})]),
    "ProadCertificateExpiring": ([("1m", {f"proad_certificate_expiry_timestamp_seconds{{{A}}}": "172800x5"}),
                                  ("3h", {f"proad_certificate_expiry_timestamp_seconds{{{A}}}": "3600x200"})],
                                 [("1m", {f"proad_certificate_expiry_timestamp_seconds{{{A}}}": "864000x5"}),
                                  ("1m", {f"proad_certificate_expiry_timestamp_seconds{{{A}}}": "0x5"})]),
    "ProadCertificateExpiresSoon": ([("1m", {f"proad_certificate_expiry_timestamp_seconds{{{A}}}": "864000x5"})],
                                    [("1m", {f"proad_certificate_expiry_timestamp_seconds{{{A}}}": "2592000x5"}),
                                     ("1m", {f"proad_certificate_expiry_timestamp_seconds{{{A}}}": "172800x5"})]),
    "ProadAuthFailures": ([("20m", {f'proad_auth_failures_total{{reason="token",{A}}}': "0+120x60"})],
                          [("20m", {f'proad_auth_failures_total{{reason="token",{A}}}': "0+30x60"})]),
    "ProadCredentialReloadFailed": (
        [("10m", {f'proad_credential_reloads_total{{what="tokens",result="failed",{A}}}': "0x5 1x60"})],
        [("10m", {f'proad_credential_reloads_total{{what="tokens",result="failed",{A}}}': "1x60",
                  f'proad_credential_reloads_total{{what="tokens",result="ok",{A}}}': "0x5 1x60"})]),
    "ProadRestarts": ([("30m", BUILD | {f"process_start_time_seconds{{{A}}}": "0 100 200 300x60"})],
                      [("30m", BUILD | {f"process_start_time_seconds{{{A}}}": "0 100x60"}),
                       ("30m", BUILD | {'process_start_time_seconds{job="other"}': "0 100 200 300x60"})]),
    "ProadMemoryGrowth": (
        [("16h", memory("1e9+1e7x300"))],
        [("16h", memory("1e9x300")),
         ("16h", memory("1e9x180 1e9 5e9 1e9 5e9 1e9 5e9 1e9 5e9 1e9x50")),  # only its peaks grow
         # Another version was loaded, ...
         ("16h", memory("1e9x150 2e9x150") | {f'proad_model_swaps_total{{result="ok",{A}}}': "0x150 1x150"}),
         ("16h", memory("1e9x150 2e9x150", started="0x150 45000x150"))]),  # ... or the process is a young one.
    "ProadFileDescriptors": (
        [("10m", BUILD | {f"process_open_fds{{{A}}}": "90x20", f"process_max_fds{{{A}}}": "100x20"})],
        [("10m", BUILD | {f"process_open_fds{{{A}}}": "50x20", f"process_max_fds{{{A}}}": "100x20"})]),
}
# Those that look back for days: minutes between samples.
SLOW = {"ProadNoTraffic": 5, "ProadMemoryGrowth": 5, "ProadVerdictRateJump": 30, "ProadScoreShift": 30}


# Every rule by its name, as it stands in its file.
BLOCKS = {match.group(2): match.group(0) for match in re.finditer(
    r"^      - (record|alert): (\S+)\n(?:^        .*\n|^          .*\n)+", RECORDED + ALERTS, re.MULTILINE)}


def needed(name):
    """The rules that a rule looks at, in the order of evaluation, itself last."""
    found = []
    for each in re.findall(r"\w+:\w+:\w+", BLOCKS[name].split("\n", 1)[1]):
        found += [rule for rule in needed(each) if rule not in found]
    return [*found, name]


def write_unit_tests(folder, alert):
    """promtool's unit tests of one alert, over just the rules that it needs; returns their file."""
    rules = folder / f"{alert}.rules.yaml"
    rules.write_text("groups:\n  - name: needed\n    rules:\n" + "".join(BLOCKS[name] for name in needed(alert)))
    interval = f"{SLOW.get(alert, 1)}m"
    tests = []
    for words, cases in zip(("fires", "is quiet"), CASES[alert]):
        for number, (when, series) in enumerate(cases):
            tests.append({
                "name": f"{alert} {words}, {number}", "interval": interval,
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": [{
                    "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})', "eval_time": when,
                    "exp_samples": [{"labels": "{}", "value": 1}] if words == "fires" else []}]})
    path = folder / f"{alert}.yaml"
    # JSON is YAML, too.
    path.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": interval, "tests": tests}))
    return path


class RulesTest(unittest.TestCase):
    def check(self, *arguments):
        done = promtool(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_promtool_accepts_rules_and_configuration(self):
        said = self.check("check", "rules", "--lint-fatal", *sorted(RULES.glob("*.yaml")))
        self.assertEqual(said.count("SUCCESS"), 2)
        self.check("check", "config", "--lint-fatal", RULES.parent / "prometheus.yaml")

    def test_every_alert_fires_when_it_should_and_only_then(self):
        self.assertEqual(sorted(CASES), sorted(NAMES))
        self.assertTrue(all(fires and quiet for fires, quiet in CASES.values()))
        self.assertEqual(set(BLOCKS), {*NAMES, *re.findall(r"- record: (\S+)", RECORDED)})
        with tempfile.TemporaryDirectory(prefix="proad-rules-") as folder:
            self.check("test", "rules", *[write_unit_tests(pathlib.Path(folder), alert) for alert in NAMES])

    def test_a_wrong_expectation_is_noticed(self):
        with tempfile.TemporaryDirectory(prefix="proad-rules-") as folder:
            for alert in ("ProadTargetDown", "ProadScoreShift"):
                path = write_unit_tests(pathlib.Path(folder), alert)
                right = path.read_text()
                # No firing alert is expected where there is one, and the other way round.
                for wrong in (re.sub(r'"exp_samples": \[\{.*?\}\]', '"exp_samples": []', right),
                              right.replace('"exp_samples": []', '"exp_samples": [{"labels": "{}", "value": 1}]')):
                    self.assertNotEqual(wrong, right)
                    path.write_text(wrong)
                    self.assertNotEqual(promtool("test", "rules", path).returncode, 0, alert)

    def test_every_alert_is_told_in_full_and_leads_to_the_runbook(self):
        known = anchors((SOURCE / "deploy" / "README.md").read_text())
        rules = re.split(r"\n +- alert: ", ALERTS)[1:]
        self.assertEqual(len(rules), len(set(NAMES)))
        for name, rule in zip(NAMES, rules):
            with self.subTest(name):
                self.assertRegex(rule, r"severity: (critical|warning|info)\n")
                self.assertRegex(rule, r"summary: \S")
                self.assertRegex(rule, r"description: \S")
                self.assertIn(f"runbook_url: deploy/README.md#alerts-{name.lower()}\n", rule + "\n")
                self.assertIn(f"alerts-{name.lower()}", known)


if __name__ == "__main__":
    unittest.main(verbosity=2)
