"""Everything at once, for as long as asked: detection, streams, swaps, training, scrapes and faults against one server.

    soak.py [--minutes N] [--seed N] [--accounting-only] [--json FILE] [--markdown FILE]

Every request is accounted for: it is answered, refused, expired, cancelled or lost with the connection that was reset,
as its kind may be, and nothing is missing on either side. Memory, descriptors and threads of the server must be flat
after a warm-up of a quarter of the time, unless --accounting-only is given. Prints a table in Markdown, writes it and
all figures as JSON where asked, and exits with 0 only if all of it holds.
"""

import argparse
import json
import pathlib
import re
import sys
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
from real_server import MODEL, SAMPLE, SOURCE, RealServer, import_model  # noqa: E402
from soak_account import OUTCOMES, Account, Resources  # noqa: E402
from soak_load import ALLOWED, BAD, DETECT, FRAMES, PATIENCE, Load, scrape  # noqa: E402
from stubs import model_pb2, model_pb2_grpc  # noqa: E402

CONFIG = f"""
log:
  level: warning
admission:
  max_images: 32
# A crowded machine is slow, and nothing may expire but what is meant to.
detect:
  default_deadline: {PATIENCE}s
training:
  data_root: {SAMPLE}
  encoders: {SOURCE / "model" / "weights"}
  threads: 1
"""
SAMPLE_INTERVAL = 5  # seconds
# What may come and go with connections, jobs and versions that are loaded, per figure: absolute, and of its mean.
TOLERATED = {"memory_mib": (32, 0.05), "descriptors": (8, 0), "threads": (8, 0)}


def activate(server, version):
    with grpc.insecure_channel(server.address) as channel:
        model_pb2_grpc.ModelServiceStub(channel).ActivateModel(
            model_pb2.ActivateModelRequest(model=f"{MODEL}@{version}"), timeout=60)


def counted(text, rpc, code=None):
    """Sum of proad_requests_total."""
    pattern = r'^proad_requests_total\{code="(\w+)",rpc="(\w+)"\} (\S+)$'
    return sum(int(float(value)) for its_code, its_rpc, value in re.findall(pattern, text, re.MULTILINE)
               if its_rpc == rpc and code in (None, its_code))


def gauge(text, name):
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE).group(1))


def await_idle(server, patience=60):
    """The last scrape, once nothing is in flight: calls whose client is gone end a little later."""
    deadline = time.monotonic() + patience
    while True:
        text = scrape(server)
        if gauge(text, "proad_inflight") == 0 or time.monotonic() > deadline:
            return text
        time.sleep(0.1)


def check_server_side(text, account):
    """What the server counted must fit what its clients saw; the complaints go to the account."""
    sides = {}
    for rpc, kinds in (("Detect", DETECT), ("DetectStream", FRAMES)):
        rows = account.rows()
        sent = sum(rows[kind]["sent"] for kind in kinds)
        seen = sum(rows[kind][outcome] for kind in kinds for outcome in ("answered", "refused"))
        sides[rpc] = {"sent": sent, "seen": seen, "counted": counted(text, rpc)}
        if not seen <= sides[rpc]["counted"] <= sent:
            account.complain(f"{rpc}: the server counted {sides[rpc]['counted']}, clients sent {sent} and saw {seen}")
    bad = account.count(DETECT, BAD)
    if counted(text, "Detect", "INVALID_ARGUMENT") != bad:
        account.complain(f"{bad} pictures were refused as bad, the server counted "
                         f"{counted(text, 'Detect', 'INVALID_ARGUMENT')}")
    for name in ("proad_inflight", "proad_inflight_bytes", "proad_queue_depth", "proad_streams"):
        if gauge(text, name) != 0:
            account.complain(f"{name} is {gauge(text, name)} with no client left")
    return sides


def check_flat(figures, account):
    for figure, values in figures.items():
        absolute, relative = TOLERATED[figure]
        allowed = absolute + relative * values["first"]
        if values["last"] - values["first"] > allowed:
            account.complain(f"{figure} grew from {values['first']:.1f} to {values['last']:.1f}")


def check_coverage(account, load):
    """A soak in which nothing happened proves nothing."""
    rows = account.rows()
    for kind, row in rows.items():
        if row["sent"] == 0:
            account.complain(f"{kind}: none was sent")
    if load.swaps == 0:
        account.complain("no swap took place")
    if not load.jobs:
        account.complain("no training job came to its end")


def markdown(report):
    head = ["", "sent", *OUTCOMES, "missing"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    rows = report["requests"]
    total = {column: sum(row[column] for row in rows.values()) for column in head[1:]}
    for kind, row in [*rows.items(), ("**all**", total)]:
        lines.append(f"| {kind} | {' | '.join(f'{row[column]:,}' for column in head[1:])} |")
    lines += ["", "| the server's process | after the warm-up | at the end | highest | growth an hour |",
              "|---|---:|---:|---:|---:|"]
    names = {"memory_mib": "memory, MiB", "descriptors": "descriptors", "threads": "threads"}
    for figure, values in report["process"].items():
        lines.append(f"| {names[figure]} | {values['first']:.1f} | {values['last']:.1f} | {values['highest']:.0f} | "
                     f"{values['growth_per_hour']:+.1f} |")
    jobs = ", ".join(f"{count} {state}" for state, count in sorted(report["jobs"].items()))
    lines += ["", f"{report['minutes']:.1f} minutes, {report['swaps']} swaps, training jobs: {jobs or 'none'}; "
                  f"{report['wrong_count']} wrong."]
    return "\n".join(lines)


def run(options):
    account = Account(ALLOWED)
    seconds = 60 * options.minutes
    with RealServer(CONFIG) as server:
        import_model(server.store)
        activate(server, 1)
        activate(server, 2)
        resources = Resources(server.process.pid)
        begin = time.monotonic()
        with Load(server, account, options.seed) as load:
            resources.sample()
            while (left := begin + seconds - time.monotonic()) > 0 and not load.wait(min(SAMPLE_INTERVAL, left)):
                resources.sample()
        took = time.monotonic() - begin
        sides = check_server_side(await_idle(server), account)
        exit_code = server.terminate(timeout=120)
    if exit_code != 0:
        account.complain(f"the server ended with {exit_code}")
    check_coverage(account, load)
    process = resources.summary(warm_up=seconds / 4)
    if not options.accounting_only:
        check_flat(process, account)
    return {"minutes": took / 60, "seed": options.seed, "requests": account.rows(), "server": sides,
            "process": process, "swaps": load.swaps, "jobs": load.jobs,
            "samples": [dict(zip(("seconds", *Resources.FIGURES), sample, strict=True))
                        for sample in resources.samples],
            "wrong_count": account.wrong_count, "wrong": account.wrong}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20, help="how long requests are sent (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="of what is sent when")
    parser.add_argument("--accounting-only", action="store_true", help="do not judge memory, descriptors and threads")
    parser.add_argument("--json", type=pathlib.Path, help="write every figure to this file")
    parser.add_argument("--markdown", type=pathlib.Path, help="write the table to this file, too")
    options = parser.parse_args()
    report = run(options)
    table = markdown(report)
    print(table)
    for words in report["wrong"]:
        print(f"WRONG: {words}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))
    if options.markdown:
        options.markdown.write_text(table + "\n")
    missing = sum(row["missing"] for row in report["requests"].values())
    return 0 if missing == 0 and report["wrong_count"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
