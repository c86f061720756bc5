"""What single decisions cost: the micro-benchmarks, each the median of several runs."""

import json
import os
import subprocess

PROGRAMS = {
    "penstock_pick_bench": r"^pick/[a-z0-9_]*/(4|16|100|1000)$",
    "penstock_table_bench": "",
    "penstock_admission_bench": "",
}


class BenchFailed(Exception):
    """A micro-benchmark is missing or ended badly."""


def measure(programs, core, repetitions, progress):
    """(name, median of CPU time in ns, spread in ns) of every case."""
    def pin():
        os.sched_setaffinity(0, {core})
    rows = []
    for program, wanted in PROGRAMS.items():
        path = programs / program
        if not path.exists():
            raise BenchFailed(f"{path} does not exist: ./dev build release all")
        progress(f"{program}")
        done = subprocess.run(
            [path, f"--benchmark_filter={wanted or '.'}", "--benchmark_format=json",
             f"--benchmark_repetitions={repetitions}", "--benchmark_min_time=0.05",
             "--benchmark_report_aggregates_only=true"],
            preexec_fn=pin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchFailed(f"{program} failed: {done.stderr.strip()[-500:]}")
        rows += _rows(program, json.loads(done.stdout)["benchmarks"])
    return rows


def _rows(program, cases):
    scale = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
    found = {}
    for case in cases:
        ns = case["cpu_time"] * scale[case["time_unit"]]
        found.setdefault(case["run_name"], {})[case["aggregate_name"]] = ns
    label = program.removeprefix("penstock_").removesuffix("_bench")
    return [(f"{label}: {name}", values["median"], values["stddev"])
            for name, values in found.items()]
