#!/usr/bin/env python3
"""Draws what the simulation prints: waiting per policy and number of workers, as SVG.

    penstock_simulate | plot.py > docs/balancing.svg
    penstock_simulate | plot.py --table        the same figures as the table of docs/balancing.md
"""

import csv
import html
import sys

WIDTH = 860
LABELS = 210  # width of the policies' names
BAR = 16
GAP = 6
TOP = 64
COLOURS = {True: "#2a7f9e", False: "#c0622d"}  # looks at load or not
BLIND = ("round_robin", "random", "maglev", "ring_hash")
COLUMNS = (("wait_p99_ms", "wait, p99"), ("wait_p999_ms", "p99.9"), ("answer_mean_ms", "answer, mean"),
           ("answer_p99_ms", "p99"))
SHARES = ("share_fast", "share_medium", "share_slow", "share_stalled")


def text(x, y, words, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{html.escape(words)}</text>")


def panel(rows, x, width, scale):
    """The bars of one number of workers."""
    workers = rows[0]["workers"]
    yield text(x, TOP - 12, f"{workers} worker{'s' if workers != '1' else ''}", weight="bold")
    for place, row in enumerate(rows):
        value = float(row["wait_p99_ms"])
        y = TOP + place * (BAR + GAP)
        colour = COLOURS[row["policy"] not in BLIND]
        yield (f'<rect x="{x:.1f}" y="{y}" width="{max(value * scale, 1):.1f}" height="{BAR}" '
               f'fill="{colour}"/>')
        yield text(x + value * scale + 5, y + BAR - 4, f"{value:.0f}")


def draw(rows):
    groups = {}
    for row in rows:
        groups.setdefault(row["workers"], []).append(row)
    policies = [row["policy"] for row in next(iter(groups.values()))]
    height = TOP + len(policies) * (BAR + GAP) + 12
    width = (WIDTH - LABELS - 16) / len(groups)
    most = max(float(row["wait_p99_ms"]) for row in rows)
    scale = (width - 50) / most
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12" fill="#222">')
    yield f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    yield text(16, 24, "One client in a hundred waits longer than this (milliseconds)", weight="bold")
    for place, policy in enumerate(policies):
        yield text(LABELS - 10, TOP + place * (BAR + GAP) + BAR - 4, policy, "end")
    for place, group in enumerate(groups.values()):
        yield from panel(group, LABELS + place * width, width, scale)
    yield "</svg>"


def table(rows):
    yield ("| workers | policy | " + " | ".join(title for _, title in COLUMNS) +
           " | fast | medium | slow | stalled |")
    yield "|" + "---|" * (2 + len(COLUMNS) + len(SHARES))
    for row in rows:
        times = " | ".join(f"{float(row[key]):.0f}" for key, _ in COLUMNS)
        shares = " | ".join(row[key] for key in SHARES)
        yield f"| {row['workers']} | {row['policy']} | {times} | {shares} |"


def main(arguments):
    if arguments not in ([], ["--table"]):
        sys.exit(__doc__)
    rows = list(csv.DictReader(sys.stdin))
    print("\n".join((table if arguments else draw)(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
