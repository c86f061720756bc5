"""Medians, quartiles and paired ratios."""

import statistics
from typing import NamedTuple


class Spread(NamedTuple):
    median: float
    low: float   # first quartile
    high: float  # third quartile


def spread(values):
    """Median and quartiles; None for no values."""
    values = list(values)
    if not values:
        return None
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def paired_ratios(ours, theirs):
    """Spread of ours[i] / theirs[i] over the rounds in which both exist.

    Pairs are taken within a round, so a disturbance that lasts longer than a round cancels out.
    """
    return spread(a / b for a, b in zip(ours, theirs) if a is not None and b)
