"""Markdown: the tables for the terminal and for docs/performance.md."""

from benchlib import models
from benchlib.stats import paired_ratios, spread


def _number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _spread(value, form=_number):
    if value is None:
        return "failed"
    return f"{form(value.median)} ({form(value.low)} to {form(value.high)})"


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _present(values):
    return [value for value in values if value is not None]


def head_lines(facts, command):
    return [f"- {label}: {text}" for label, text in facts] + [f"- command: `{command}`"]


def cost_lines(results, proxies):
    rows = []
    for work in results.works:
        cells = [_spread(spread(_present(results.column(work, proxy.key, "cost"))))
                 for proxy in proxies]
        rows.append([work.title, "us / MB" if work.bulk else "us", *cells])
    memory = [_spread(spread(value / 1024 for value in _present(results.memory[proxy.key])))
              for proxy in proxies if results.memory[proxy.key]]
    if memory:
        rows.append(["memory per idle connection", "KiB", *memory])
    return ["**CPU time of the whole proxy per operation, and memory: median (quartiles)**", "",
            *_table(["work", "unit", *(proxy.title for proxy in proxies)], rows)]


def _ratio_cell(ratio, target):
    if ratio is None:
        return "failed"
    text = _spread(ratio, "{:.2f}".format)
    if target is None:
        return text
    return f"{text}, wanted {target:.2f}: {'met' if ratio.median <= target else '**missed**'}"


def ratio_lines(results, reference, peers):
    """How much of each peer's cost the reference needs, round by round."""
    rows = []
    for work in results.works:
        ours = results.column(work, reference.key, "cost")
        cells = [_ratio_cell(paired_ratios(ours, results.column(work, peer.key, "cost")),
                             _target(work.targets, reference, peer)) for peer in peers]
        rows.append([work.title, *cells])
    ours = results.memory[reference.key]
    if ours:
        rows.append(["memory per idle connection",
                     *(_ratio_cell(paired_ratios(ours, results.memory[peer.key]),
                                   _target(results.memory_targets, reference, peer)) for peer in peers)])
    head = ["work", *(f"{reference.title} / {peer.title}" for peer in peers)]
    return [f"**Paired ratios of {reference.title}'s cost to each peer's: median (quartiles)**", "",
            *_table(head, rows)]


def _target(targets, reference, peer):
    return targets.get(peer.key) if reference.key == "penstock" else None


def rate_lines(results, proxies):
    rows = []
    for work in results.works:
        cells = []
        for proxy in proxies:
            rate, p50, p99 = (spread(_present(results.column(work, proxy.key, name)))
                              for name in ("rate", "p50", "p99"))
            if rate is None:
                cells.append("failed")
            elif work.bulk:
                cells.append(f"{rate.median:,.0f} MB/s")
            else:
                cells.append(f"{rate.median:,.0f}/s, {_number(p50.median)}, {_number(p99.median)}")
        rows.append([work.title, *cells])
    return ["**Operations per second, and latency p50 and p99 in us (medians)**", "",
            *_table(["work", *(proxy.title for proxy in proxies)], rows)]


def share_lines(results, proxies):
    rows = []
    for work in results.works:
        cells = []
        for proxy in proxies:
            samples = [sample for sample in results.samples[work.key][proxy.key] if sample]
            ticks = sum(sample.ticks for sample in samples)
            user = sum(sample.user_ticks for sample in samples)
            cells.append(f"{100 * user / ticks:.0f} %" if ticks else "-")
        rows.append([work.title, *cells])
    return ["**Share of that CPU time spent in user space** (sampled by the kernel's tick, over "
            "all rounds)", "", *_table(["work", *(proxy.title for proxy in proxies)], rows)]


def comparison(results, proxies, facts, command):
    """The whole report of the side-by-side run."""
    lines = [*head_lines(facts, command), "", *cost_lines(results, proxies), ""]
    if len(proxies) > 1:
        lines += [*ratio_lines(results, proxies[0], proxies[1:]), ""]
    return "\n".join([*lines, *rate_lines(results, proxies), "", *share_lines(results, proxies)])


def _count(connections):
    return f"{connections:,} connection{'' if connections == 1 else 's'}"


def concurrency_models(points, run, counts, facts, command):
    """`run`: the models, in the order of their rows."""
    def table(title, attribute, scale=1.0, least=1):
        """`least`: below so many connections the figure would only be noise."""
        def cell(model, count):
            measured = points.get((model.key, count))
            if isinstance(measured, str):
                return measured
            return _number(models.median(measured, attribute) / scale) if count >= least else "-"
        rows = [[model.title, *(cell(model, count) for count in counts)] for model in run]
        return ["", f"**{title}**", "", *_table(["model", *map(_count, counts)], rows)]

    return "\n".join([
        *head_lines(facts, command),
        *table("Round trips of 64 B per second, all connections busy", "rate"),
        *table("CPU time per round trip, us, all connections busy", "cost"),
        *table(f"CPU time per round trip, us, {models.ACTIVE} more connections busy while these "
               "are idle", "idle_cost"),
        *table("Latency p99, us, all connections busy", "p99"),
        *table("Memory per idle connection in user space (PSS), KiB", "memory", 1024, least=64),
        *table("Kernel stacks and page tables per idle connection, KiB", "kernel_memory", 1024,
               least=64),
    ])


def write_between(path, name, text):
    """Replaces what stands between the markers `name` of a document."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    document = path.read_text(encoding="utf-8")
    before, found, rest = document.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"{path} has no markers {begin} and {end}")
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")


def warm_start(times, delay, facts, command):
    """Milliseconds to the first byte of the answer, by pool."""
    rows = [[name, str(len(values)), _spread(spread(values))] for name, values in times.items()
            if values]
    return "\n".join([*head_lines(facts, command), "",
                      f"Backend {delay * 1000:.0f} ms away in each direction; milliseconds, "
                      "median (quartiles):", "",
                      *_table(["pool", "clients", "from connect to the first byte"], rows)])


def scrapes(results, connections, backends, facts, command):
    """Fetching the metrics each second beside a little traffic, against the same without."""
    def column(kind, value):
        return _spread(spread(value(answer) for answer in results[kind]))

    def ratio(value):
        return _spread(paired_ratios([value(a) for a in results["with"]],
                                     [value(a) for a in results["without"]]))

    values = [("CPU of the proxy, us per round trip",
               lambda a: a["cpu"]["total_ns"] / 1000 / max(a["operations"], 1)),
              ("p50 of a round trip, us", lambda a: a["latency_us"]["p50"]),
              ("p99 of a round trip, us", lambda a: a["latency_us"]["p99"])]
    rows = [[title, column("without", value), column("with", value), ratio(value)]
            for title, value in values]
    fetched = _spread(spread(results["scrape_ms"])) if results["scrape_ms"] else "none"
    return "\n".join([*head_lines(facts, command), "",
                      f"{connections:,} idle connections, {backends} backends, a page of "
                      f"{results['page_bytes'] / 1000:,.0f} kB; fetching it took {fetched} ms, at "
                      f"most {max(results['scrape_ms'], default=0):.1f} ms:", "",
                      *_table(["", "not fetched", "fetched each second", "ratio"], rows)])


def choices(rows, facts, command):
    """CPU nanoseconds of single decisions."""
    cells = [[f"`{name}`", _number(median), _number(deviation)] for name, median, deviation in rows]
    return "\n".join([*head_lines(facts, command), "",
                      *_table(["decision", "ns, median", "standard deviation"], cells)])
