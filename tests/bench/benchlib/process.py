"""Child processes: start pinned, read their memory, end by their own id."""

import contextlib
import os
import pathlib
import random
import resource
import signal
import socket
import subprocess


def raise_descriptor_limit():
    """Soft limit to the hard one; children inherit it. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def exit_on_termination():
    """SIGTERM and SIGHUP unwind the stack like Ctrl-C does, so that every child is ended."""
    def leave(number, _frame):
        raise SystemExit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def pick_cores():
    """(core for the proxy, core for the load); the same one twice when there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


def free_port():
    """A port on 127.0.0.1 that was free a moment ago, for a program that must be told one. Where
    there is room it lies below those that the kernel gives to whoever asks for any, as everybody
    does who connects: it stays free until the program has it."""
    chosen_by_kernel = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
    below = range(10000, int(chosen_by_kernel.read_text(encoding="ascii").split()[0]))
    for port in [*random.sample(below, min(100, len(below))), 0]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise OSError("no port is free on 127.0.0.1")


@contextlib.contextmanager
def refusing_port():
    """A port on 127.0.0.1 where nobody listens as long as this lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def start(command, core, **options):
    """Popen on one core."""
    def pin():
        os.sched_setaffinity(0, {core})
    return subprocess.Popen([str(word) for word in command], preexec_fn=pin, **options)


def end(process, patience=5):
    """Terminates one child of ours and waits for it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tree(pid):
    """The process and its living descendants."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text(encoding="ascii").split()
        except OSError:
            continue
        for child in children:
            found += tree(int(child))
    return found


def proportional_set_size(pid):
    """PSS of a process tree in bytes."""
    total = 0
    for member in tree(pid):
        try:
            text = pathlib.Path(f"/proc/{member}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue  # it ended meanwhile
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def kernel_thread_memory():
    """Bytes of kernel stacks and page tables, of the whole machine."""
    total = 0
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith(("KernelStack:", "PageTables:")):
            total += int(line.split()[1]) * 1024
    return total
