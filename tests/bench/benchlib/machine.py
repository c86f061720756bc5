"""The machine and the versions that a result belongs to."""

import datetime
import os
import pathlib
import re
import subprocess


def first_line_of(command):
    """First line that a command prints on either stream; '' when it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.uname().machine


def compiler_of(build_dir):
    """The compiler that made a CMake build directory."""
    cache = pathlib.Path(build_dir) / "CMakeCache.txt"
    if not cache.exists():
        return ""
    match = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache.read_text(encoding="utf-8"), re.M)
    return first_line_of([match.group(1), "--version"]) if match else ""


def describe(proxies, build_dir, cores):
    """(label, text) pairs for the head of a report. `cores`: (proxy, load)."""
    gibibytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = [
        ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
        ("machine", f"{cpu_model()}, {os.cpu_count()} cores, {gibibytes:.0f} GiB"),
        ("kernel", f"{os.uname().sysname} {os.uname().release}"),
        ("pinning", f"proxy on core {cores[0]}, load generator and backend on core {cores[1]}"),
        ("load average before", "{:.2f} {:.2f} {:.2f}".format(*os.getloadavg())),
    ]
    facts += [(proxy.title, proxy.version()) for proxy in proxies if proxy.version()]
    compiler = compiler_of(build_dir)
    if compiler:
        facts.append(("compiler", compiler))
    return facts
