"""Concurrency models: how cost and memory grow with the number of connections."""

import pathlib
import resource
import time

from benchlib import load, process, proxies
from benchlib.stats import spread

CONNECTIONS = (1, 64, 1000, 9000)
ACTIVE = 8      # connections that work while all others are idle
HEADROOM = 200  # descriptors, processes and threads that others need


class Point:
    """One model at one number of connections, once."""

    def __init__(self, busy, mostly_idle, memory, kernel_memory):
        self.rate = busy["operations"] / busy["seconds"]
        self.cost = _cost(busy)
        self.p99 = busy["latency_us"]["p99"]
        self.idle_cost = _cost(mostly_idle)  # of a few connections beside many idle ones
        self.memory = memory                # bytes of PSS per connection
        self.kernel_memory = kernel_memory  # bytes of kernel stacks and page tables per connection


def _cost(answer):
    return answer["cpu"]["total_ns"] / 1000 / answer["operations"]


def cannot_run(key, connections):
    """Why a model cannot hold that many connections here; '' if it can."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    # Threads and loops hold two descriptors per connection; a process of its own holds its own two.
    if key != "processes" and 2 * connections + HEADROOM > descriptors:
        return f"needs {2 * connections} descriptors, the limit is {descriptors}"
    if key in ("threads", "processes"):
        room = _task_limit() - HEADROOM
        if connections > room:
            return f"needs {connections} tasks, the limit leaves {room}"
    if key == "processes" and connections * 512 * 1024 > _available_memory() // 2:
        return "needs more memory than half of what is available"
    return ""


def _task_limit():
    limits = [int(pathlib.Path(path).read_text(encoding="ascii"))
              for path in ("/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max")]
    own = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    return min(limits + ([own] if own != resource.RLIM_INFINITY else []))


def _available_memory():
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def run_models(models, make_backend, generator, rounds, core, report, counts=CONNECTIONS):
    """{(model key, connections): [Point, ...] or the reason why it cannot run or failed}"""
    points = {}
    for number in range(rounds):
        for connections in counts:
            shift = number % len(models)
            for model in models[shift:] + models[:shift]:
                _add_point(points, model, connections, make_backend, generator, core)
        report(f"models, round {number + 1} of {rounds}")
    return points


def _add_point(points, model, connections, make_backend, generator, core):
    place = (model.key, connections)
    if isinstance(points.get(place), str):
        return
    reason = cannot_run(model.key, connections)
    if not reason:
        try:
            point = _measure(model, connections, make_backend, generator, core)
            points.setdefault(place, []).append(point)
            return
        except (load.LoadFailed, proxies.ProxyFailed, ZeroDivisionError) as error:
            reason = f"failed: {error}"
    points[place] = reason


def _measure(model, connections, make_backend, generator, core):
    with make_backend() as backend:
        model.start(backend.port, core)
        try:
            generator.run("roundtrip", model.port, 1, operations=100, duration=0.2)
            time.sleep(0.2)
            before = process.proportional_set_size(model.pid)
            kernel_before = process.kernel_thread_memory()
            with generator.idle(model.port, connections):
                memory = process.proportional_set_size(model.pid) - before
                kernel_memory = process.kernel_thread_memory() - kernel_before
                mostly_idle = generator.run("roundtrip", model.port, ACTIVE, watch=[model.pid])
            busy = generator.run("roundtrip", model.port, connections, watch=[model.pid])
            return Point(busy, mostly_idle, memory / connections, kernel_memory / connections)
        finally:
            model.stop()


def median(points, attribute):
    return spread(getattr(point, attribute) for point in points).median
