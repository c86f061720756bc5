"""The load generator and the backend behind the proxies."""

import json
import subprocess

from benchlib import process


class LoadFailed(Exception):
    """Errors were counted under load, or the load generator gave no answer."""


class Backend:
    """`penstock_loadgen serve`; a context manager. `port` is where it listens."""

    def __init__(self, loadgen, core):
        self._child = process.start([loadgen, "serve"], core, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True)
        try:
            self.port = json.loads(self._child.stdout.readline())["port"]
        except (json.JSONDecodeError, KeyError) as error:
            process.end(self._child)
            raise LoadFailed(f"{loadgen} serve did not start") from error

    def close(self):
        """Ends the backend and returns what it counted."""
        self._child.stdin.close()
        answer = self._child.stdout.read()
        self._child.wait()
        return json.loads(answer) if answer else {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        process.end(self._child)


class Generator:
    """Runs load against a port and returns the load generator's JSON. A run lasts `duration`, or
    until it has done `operations` (0 = no such bound). With a certificate it speaks TLS."""

    def __init__(self, loadgen, core, duration, warm_up, operations=0, certificate=None):
        self._loadgen = loadgen
        self._core = core
        self._duration = duration
        self._warm_up = warm_up
        self._operations = operations
        self._tls = ["--tls", certificate] if certificate else []

    def run(self, mode, port, connections, size=64, watch=(), operations=None, duration=None):
        command = [self._loadgen, mode, "--target", port, "--connections", connections,
                   "--size", size, "--duration", duration or self._duration,
                   "--warm-up", self._warm_up, "--operations", operations or self._operations, *self._tls]
        if mode in ("connect", "resume"):
            command += ["--sources", 8]
        if watch:
            command += ["--watch", ",".join(str(pid) for pid in watch)]
        child = process.start(command, self._core, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True)
        try:
            text = child.communicate(timeout=120)[0]
        finally:
            process.end(child)
        return _checked(text, mode)

    def idle(self, port, connections):
        """A context manager during which that many connections are open and idle."""
        return _Idle([self._loadgen, "idle", "--target", port, "--connections", connections,
                      "--hold", 120, *self._tls], self._core)


class _Idle:
    def __init__(self, command, core):
        self._command = command
        self._core = core
        self._child = None

    def __enter__(self):
        self._child = process.start(self._command, self._core, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, text=True)
        line = self._child.stdout.readline()
        if '"idle"' not in line or '"mode"' in line:
            process.end(self._child)
            raise LoadFailed(f"idle connections could not be opened: {line.strip()}")
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                text = self._child.communicate(timeout=120)[0]  # closes its input: it may leave
                _checked(text, "idle")
        finally:
            process.end(self._child)


def _checked(text, mode):
    try:
        answer = json.loads(text.strip().splitlines()[-1])
    except (IndexError, json.JSONDecodeError) as error:
        raise LoadFailed(f"{mode}: no answer from the load generator") from error
    if answer["errors"]["total"]:
        raise LoadFailed(f"{mode}: {answer['errors']}")
    return answer
