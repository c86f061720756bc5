"""The comparison itself: every proxy does every work once a round, in an order that rotates."""

import time

from benchlib import load, process
from benchlib.works import MEMORY_TARGETS


class Sample:
    """What one proxy did in one round of one work."""

    def __init__(self, work, answer):
        cpu = answer["cpu"]
        ticks = cpu["user_ticks"] + cpu["system_ticks"]
        self.cost = cpu["total_ns"] / 1000 / work.units(answer)  # microseconds of CPU per unit
        # The kernel samples the split: single rounds are coarse, their sum is what counts.
        self.user_ticks = cpu["user_ticks"]
        self.ticks = ticks
        self.rate = work.rate(answer)
        self.p50 = answer["latency_us"]["p50"]
        self.p99 = answer["latency_us"]["p99"]


class Results:
    """samples[work key][proxy key] = one Sample or None (it failed) a round; memory[proxy key] =
    bytes per idle connection, one a repeat."""

    def __init__(self, proxies, works, memory_targets=MEMORY_TARGETS):
        self.works = works
        self.samples = {work.key: {proxy.key: [] for proxy in proxies} for work in works}
        self.memory = {proxy.key: [] for proxy in proxies}
        self.memory_targets = memory_targets
        self.failures = []

    def column(self, work, key, attribute):
        return [getattr(sample, attribute) if sample else None
                for sample in self.samples[work.key][key]]


def order_of(proxies, turn):
    """Rotated by one each turn, reversed in every other cycle: nobody always runs first, or always
    after the same neighbour."""
    shift = turn % len(proxies)
    order = proxies[shift:] + proxies[:shift]
    return order[::-1] if (turn // len(proxies)) % 2 else order


def run_rounds(proxies, generator, rounds, results, report):
    """`report(text)` is called once a round."""
    for number in range(rounds):
        for index, work in enumerate(results.works):
            for proxy in order_of(proxies, number + index):
                sample = _measure(proxy, work, generator, results)
                results.samples[work.key][proxy.key].append(sample)
        report(f"round {number + 1} of {rounds}")


def _measure(proxy, work, generator, results):
    try:
        answer = generator.run(work.mode, proxy.port, work.connections, work.size,
                               watch=[proxy.pid])
        return Sample(work, answer)
    except (load.LoadFailed, ZeroDivisionError) as error:
        results.failures.append(f"{proxy.title}, {work.title}: {error}")
        return None


def measure_memory(proxies, make_backend, generator, connections, repeats, core, results, report):
    """Each repeat starts every proxy afresh: memory that an earlier load left behind would hide
    what a connection needs."""
    for number in range(repeats):
        for proxy in order_of(proxies, number):
            try:
                value = _bytes_per_connection(proxy, make_backend, generator, connections, core)
            except load.LoadFailed as error:
                results.failures.append(f"{proxy.title}, idle connections: {error}")
                value = None
            results.memory[proxy.key].append(value)
        report(f"memory {number + 1} of {repeats}")


def _bytes_per_connection(proxy, make_backend, generator, connections, core):
    with make_backend() as backend:
        proxy.start(backend.port, core)
        try:
            # So that what is allocated once, on first use, does not count as a connection's.
            generator.run("roundtrip", proxy.port, 8, operations=1000, duration=0.2)
            time.sleep(0.2)
            before = process.proportional_set_size(proxy.pid)
            with generator.idle(proxy.port, connections):
                time.sleep(0.2)
                return (process.proportional_set_size(proxy.pid) - before) / connections
        finally:
            proxy.stop()
