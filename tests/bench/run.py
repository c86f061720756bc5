#!/usr/bin/env python3
"""Measures Penstock side by side with HAProxy, nginx and the least that a relay can cost.

All proxies run at the same time, each with one worker on the same core; load generator and backend
share another core. Each round gives every proxy every work once, in an order that rotates. What is
reported: medians over the rounds, and the paired ratios within the rounds. docs/performance.md says
what the figures mean.

    ./dev bench
    tests/bench/run.py --write
    tests/bench/run.py --quick
    tests/bench/run.py --tls
    tests/bench/run.py --limits-on
    tests/bench/run.py --concurrency-models
    tests/bench/run.py --warm-start
    tests/bench/run.py --choices
    tests/bench/run.py --scrape
"""

import argparse
import contextlib
import os
import pathlib
import shlex
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from benchlib import choices, load, machine, models, process, proxies, report  # noqa: E402
from benchlib import scrape, side_by_side, tls, warm_start, works  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ("threads", "processes", "poll", "penstock")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release",
                        help="build directory (default: build/release)")
    parser.add_argument("--penstock", type=pathlib.Path, help="default: penstock in --build")
    parser.add_argument("--programs", type=pathlib.Path,
                        help="folder of the benchmark's own programs (default: in --build)")
    parser.add_argument("--proxies", help="the first is the one that ratios are about (default: "
                        "penstock,haproxy,nginx,bare; with --tls without bare)")
    parser.add_argument("--works", help="comma-separated, of: " +
                        ", ".join(w.key for w in works.WORKS) + "; with --tls of: " +
                        ", ".join(w.key for w in tls.WORKS))
    parser.add_argument("--rounds", type=int, help="default: 15, with --concurrency-models 3")
    parser.add_argument("--duration", type=float, help="seconds measured per point (default: 1)")
    parser.add_argument("--warm-up", type=float, default=0.2, help="seconds (default: %(default)s)")
    parser.add_argument("--idle", type=int, help="connections for the memory figure, 0 to "
                        "leave it out (default: 8000)")
    parser.add_argument("--quick", action="store_true", help="a smoke run: figures mean little")
    parser.add_argument("--concurrency-models", action="store_true",
                        help="1 to 9,000 connections through a thread each, a process each, one "
                             "poll loop, and Penstock")
    parser.add_argument("--tls", action="store_true",
                        help="TLS towards the clients: handshakes, messages, streams, memory")
    parser.add_argument("--limits-on", action="store_true",
                        help="Penstock with a limit of every kind, each too high to be reached")
    parser.add_argument("--warm-start", action="store_true",
                        help="time to the first byte with and without warm connections (needs root)")
    parser.add_argument("--choices", action="store_true",
                        help="what single decisions cost: picking, hash tables, admission")
    parser.add_argument("--scrape", action="store_true",
                        help="what fetching the metrics each second costs, at 9,000 connections")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args(arguments)
    args.penstock = args.penstock or args.build / "penstock"
    args.programs = args.programs or args.build / "tests/bench"
    known = tls.WORKS if args.tls else works.WORKS
    try:
        args.works = works.select(args.works, known) if args.works else known
    except ValueError as error:
        parser.error(f"--works: {error}")
    args.proxies = args.proxies or "penstock,haproxy,nginx" + ("" if args.tls else ",bare")
    args.rounds = args.rounds or (2 if args.quick else 3 if args.concurrency_models else 15)
    args.duration = args.duration or (0.2 if args.quick else 1.0)
    if args.idle is None:
        args.idle = 500 if args.quick else 8000
    return args


def progress(text):
    print(text, file=sys.stderr, flush=True)


class Bench:
    """What both kinds of run need: cores, programs, a folder for configurations and logs."""

    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.cores = process.pick_cores()
        if self.cores[0] == self.cores[1]:
            progress("warning: only one core; proxy and load share it")
        os.sched_setaffinity(0, {self.cores[1]})  # this program must not disturb the proxies
        loadgen = args.programs / "penstock_loadgen"
        if not loadgen.exists():
            raise proxies.ProxyFailed(f"{loadgen} does not exist: ./dev build release")
        self.certificate = tls.make_certificate(directory) if args.tls else None
        self.generator = load.Generator(loadgen, self.cores[1], args.duration, args.warm_up,
                                        certificate=self.certificate and self.certificate.cert)
        self.make_backend = lambda: load.Backend(loadgen, self.cores[1])

    def make(self, keys):
        made = [proxies.make_proxy(key, self.directory, self.args.penstock, self.args.programs,
                                   self.args.limits_on)
                for key in keys]
        if self.certificate:
            for proxy in made:
                tls.terminate(proxy, self.certificate)
        return made

    def facts(self, run):
        facts = machine.describe(run, self.args.build, self.cores)
        if self.certificate:
            facts.append(("TLS", f"1.3, {tls.SUITE}, X25519, ECDSA P-256; "
                          + machine.first_line_of(["openssl", "version"])))
        return facts


def compare(bench):
    """The side-by-side run; (report, failures)."""
    args = bench.args
    run = bench.make(args.proxies.split(","))
    facts = bench.facts(run)
    results = side_by_side.Results(run, args.works,
                                   works.LEVEL if args.tls else works.MEMORY_TARGETS)
    if args.idle:
        side_by_side.measure_memory(run, bench.make_backend, bench.generator, args.idle,
                                    1 if args.quick else 3, bench.cores[0], results, progress)
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(bench.make_backend())
        for proxy in run:
            proxy.start(backend.port, bench.cores[0])
            stack.callback(proxy.stop)
        side_by_side.run_rounds(run, bench.generator, args.rounds, results, progress)
        counted = backend.close()
        if counted.get("errors", 1):
            results.failures.append(f"the backend counted errors: {counted}")
    return report.comparison(results, run, facts, command_line()), results.failures


def compare_models(bench):
    """The concurrency models; (report, failures)."""
    args = bench.args
    run = bench.make(MODELS if args.penstock.exists() else MODELS[:-1])
    counts = (1, 64) if args.quick else models.CONNECTIONS
    facts = bench.facts(run)
    points = models.run_models(run, bench.make_backend, bench.generator, args.rounds,
                               bench.cores[0], progress, counts)
    failures = [f"{key} at {count}: {value}" for (key, count), value in points.items()
                if isinstance(value, str) and value.startswith("failed")]
    return report.concurrency_models(points, run, counts, facts, command_line()), failures


def compare_warm_start(bench):
    """With and without a pool; (report, failures)."""
    rounds, clients = (2, 3) if bench.args.quick else (5, 20)
    delay = 0.010
    facts = bench.facts(bench.make(["penstock"]))
    times = warm_start.measure(bench.args.penstock, pathlib.Path(bench.directory), bench.cores,
                               rounds, clients, delay, progress)
    failures = [f"{name}: no answers" for name, values in times.items()
                if len(values) != rounds * clients]
    return report.warm_start(times, delay, facts, command_line()), failures


def measure_choices(bench):
    """The micro-benchmarks; (report, failures)."""
    facts = bench.facts(bench.make(["penstock"]))
    rows = choices.measure(bench.args.programs, bench.cores[0], 3 if bench.args.quick else 9,
                           progress)
    return report.choices(rows, facts, command_line()), []


def measure_scrapes(bench):
    """Metrics fetched each second, and not; (report, failures)."""
    connections, rounds, duration = (200, 1, 2.0) if bench.args.quick else (9000, 7, 6.0)
    facts = bench.facts(bench.make(["penstock"]))
    results = scrape.measure(bench.args.penstock, pathlib.Path(bench.directory), bench,
                             connections, rounds, duration, progress)
    failures = [] if results["scrape_ms"] else ["nothing was fetched"]
    return report.scrapes(results, connections, scrape.BACKENDS, facts, command_line()), failures


KINDS = {"bench-results": compare, "bench-limits": compare, "bench-models": compare_models,
         "bench-warm-start": compare_warm_start, "bench-choices": measure_choices,
         "bench-scrapes": measure_scrapes, "bench-tls": compare}


def kind_of(args):
    """The kind of run, which is also the name of its place in docs/performance.md."""
    if args.concurrency_models:
        return "bench-models"
    if args.warm_start:
        return "bench-warm-start"
    if args.choices:
        return "bench-choices"
    if args.scrape:
        return "bench-scrapes"
    if args.tls:
        return "bench-tls"
    return "bench-limits" if args.limits_on else "bench-results"


def command_line():
    return shlex.join(["tests/bench/run.py", *sys.argv[1:]])


def main():
    args = parse(sys.argv[1:])
    process.raise_descriptor_limit()
    process.exit_on_termination()
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
            bench = Bench(args, directory)
            text, failures = KINDS[kind_of(args)](bench)
    except (proxies.ProxyFailed, load.LoadFailed, choices.BenchFailed) as error:
        sys.exit(f"error: {error}")
    print(text)
    if args.write:
        report.write_between(ROOT / "docs/performance.md", kind_of(args), text)
    for failure in failures:
        progress(f"failed: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
