"""What is measured, and what the project wants to reach against each peer."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Work:
    """One kind of load. Costs are microseconds of the proxy's CPU per `unit`."""

    key: str
    title: str
    mode: str
    connections: int
    size: int = 64
    unit: str = "operation"
    # Wanted at most: cost of Penstock / cost of the peer.
    targets: dict = field(default_factory=dict)

    @property
    def bulk(self):
        return self.unit == "MB"

    def units(self, answer):
        """How many units of work the load generator's answer reports."""
        return answer["bytes"] / 1e6 if self.bulk else answer["operations"]

    def rate(self, answer):
        return self.units(answer) / answer["seconds"]


def _targets(haproxy=None, nginx=None, bare=None):
    named = {"haproxy": haproxy, "nginx": nginx, "bare": bare}
    return {peer: value for peer, value in named.items() if value is not None}


WORKS = (
    Work("rt64x1", "64 B round trip, 1 connection", "roundtrip", 1,
         targets=_targets(0.90, 1.03, 1.06)),
    Work("rt64x8", "64 B round trip, 8 connections", "roundtrip", 8,
         targets=_targets(0.90, 1.03, 1.06)),
    Work("rt64x64", "64 B round trip, 64 connections", "roundtrip", 64,
         targets=_targets(0.80, 0.92, 1.06)),
    Work("rt4kx64", "4 KiB round trip, 64 connections", "roundtrip", 64, size=4096,
         targets=_targets(0.78, 0.90, 1.08)),
    Work("connect", "connect, 64 B round trip, close; 16 at a time", "connect", 16,
         targets=_targets(0.92, 1.00, 1.06)),
    Work("down4", "download, 4 streams", "download", 4, unit="MB",
         targets=_targets(0.72, 0.42, 1.07)),
    Work("down64", "download, 64 streams", "download", 64, unit="MB",
         targets=_targets(0.80, 0.42, 1.07)),
    Work("up4", "upload, 4 streams", "upload", 4, unit="MB"),
)

MEMORY_TARGETS = _targets(haproxy=0.30, nginx=0.12)
LEVEL = _targets(haproxy=1.00, nginx=1.00)


def select(keys, works=WORKS):
    """Those of `works` with these comma-separated keys; raises ValueError for an unknown one."""
    known = {work.key: work for work in works}
    unknown = [key for key in keys.split(",") if key not in known]
    if unknown:
        raise ValueError(f"unknown: {', '.join(unknown)}")
    return tuple(known[key] for key in keys.split(","))
