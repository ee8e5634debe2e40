"""The dashboards of deploy/grafana as files: nothing is missing that Grafana or a reader needs, every query is one."""

import json
import pathlib
import re
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from prometheus import SOURCE, preview, promtool  # noqa: E402

DASHBOARDS = {path.stem: json.loads(path.read_text())
              for path in sorted((SOURCE / "deploy" / "grafana" / "dashboards").glob("*.json"))}
BUILT_IN = {"__rate_interval": "1m", "__range": "1h"}
# What is asked, in this order.
QUESTIONS = {
    "service": ["Are parts being inspected?", "How late are the answers?", "Why?", "What do the verdicts look like?",
                "Is the model drifting?", "What is training?", "The process"],
    "training": ["What is training?", "How fast?", "How did jobs end?", "How good are the serving versions?",
                 "Does it stay good on the line?"],
}
GRAFANAS_PANELS = {"stat", "timeseries", "heatmap", "bargauge", "table", "state-timeline"}
SCHEMA_OF_GRAFANA_10_4 = 39  # which 11 reads too


class DashboardsTest(unittest.TestCase):
    def each(self):
        for name, dashboard in DASHBOARDS.items():
            with self.subTest(name):
                yield name, dashboard

    def test_they_answer_the_questions_in_order(self):
        self.assertEqual({name: [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
                          for name, dashboard in DASHBOARDS.items()}, QUESTIONS)

    def test_they_are_dashboards(self):
        uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
        self.assertEqual(len(uids), len(set(uids)))
        for _, dashboard in self.each():
            self.assertEqual(dashboard["schemaVersion"], SCHEMA_OF_GRAFANA_10_4)
            self.assertNotIn("id", dashboard, "Grafana gives it")
            ids = [panel["id"] for panel in dashboard["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            for link in dashboard["links"]:
                self.assertIn(link["url"].removeprefix("/d/"), uids)

    def test_every_panel_is_complete(self):
        for name, dashboard in self.each():
            for panel in preview.panels(dashboard):
                with self.subTest(panel["title"]):
                    self.assertIn(panel["type"], GRAFANAS_PANELS)
                    self.assertGreater(len(panel["description"]), 20)
                    self.assertTrue(panel["description"].endswith("."))
                    self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                    self.assertTrue(panel["fieldConfig"]["defaults"]["thresholds"]["steps"])
                    self.assertTrue(panel["targets"])
                    references = [target["refId"] for target in panel["targets"]]
                    self.assertEqual(len(references), len(set(references)))
                    for source in [panel["datasource"], *(target["datasource"] for target in panel["targets"])]:
                        self.assertEqual(source, {"type": "prometheus", "uid": "${datasource}"})
            titles = [panel["title"] for panel in preview.panels(dashboard)]
            self.assertEqual(len(titles), len(set(titles)), f"a title twice in {name}")

    def test_no_panel_covers_another(self):
        for _, dashboard in self.each():
            taken = {}
            for panel in dashboard["panels"]:
                grid = panel["gridPos"]
                self.assertLessEqual(grid["x"] + grid["w"], 24, panel["title"])
                for x in range(grid["x"], grid["x"] + grid["w"]):
                    for y in range(grid["y"], grid["y"] + grid["h"]):
                        self.assertNotIn((x, y), taken, f"{panel['title']} covers {taken.get((x, y))}")
                        taken[x, y] = panel["title"]

    def test_every_query_selects_what_the_reader_chose(self):
        for _, dashboard in self.each():
            self.assertEqual(list(preview.variables(dashboard)), ["datasource", "job", "instance", "category"])
            for panel in preview.panels(dashboard):
                for target in panel["targets"]:
                    self.assertIn('job=~"$job"', target["expr"], panel["title"])

    def test_tables_show_the_columns_that_they_name(self):
        for _, dashboard in self.each():
            for panel in preview.panels(dashboard):
                if panel["type"] != "table":
                    continue
                labels = re.search(r"by \(([\w, ]+)\)", panel["targets"][0]["expr"]).group(1).split(", ")
                organize = panel["transformations"][0]["options"]
                shown = [*labels, "Value"] if "Value" in organize["renameByName"] else labels
                self.assertEqual(sorted(organize["renameByName"]), sorted(shown), panel["title"])

    def test_promtool_accepts_every_query(self):
        rules = ["groups:", "  - name: queries", "    rules:"]
        for _, dashboard in self.each():
            values = preview.variables(dashboard) | BUILT_IN
            for number, query in enumerate(preview.queries(dashboard)):
                rules += [f"      - record: {dashboard['uid'].replace('-', '_')}:query:{number}",
                          f"        expr: {json.dumps(preview.expand(query.expr, values))}"]
        self.assertGreater(len(rules), 100)
        with tempfile.TemporaryDirectory(prefix="proad-dashboards-") as folder:
            path = pathlib.Path(folder) / "queries.yaml"
            path.write_text("\n".join(rules) + "\n")
            done = promtool("check", "rules", path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_provisioning_names_what_is_there(self):
        folder = SOURCE / "deploy" / "grafana" / "provisioning"
        self.assertIn("path: /var/lib/grafana/dashboards\n", (folder / "dashboards" / "proad.yaml").read_text())
        source = (folder / "datasources" / "prometheus.yaml").read_text()
        interval = re.search(r"timeInterval: (\S+)", source).group(1)
        configuration = (SOURCE / "deploy" / "prometheus" / "prometheus.yaml").read_text()
        self.assertIn(f"scrape_interval: {interval}\n", configuration)


if __name__ == "__main__":
    unittest.main(verbosity=2)
