"""The proxies under test: how each is configured, started and found ready."""

import os
import pathlib
import re
import select
import shutil
import socket
import subprocess
import time

from benchlib import machine, process

START_LIMIT = 60  # seconds


class ProxyFailed(Exception):
    """A proxy is missing or did not become ready; the message says what to do."""


class Proxy:
    """One proxy with one worker. start() and stop() may alternate."""

    key = ""
    title = ""
    # What makes it speak TLS to its clients, in its own language: beside its address, and as lines.
    tls_words = ""
    tls_lines = ""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory) / self.key
        self.port = 0
        self._child = None

    @property
    def pid(self):
        return self._child.pid

    def version(self):
        return ""

    def start(self, backend_port, core):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = process.free_port()
        with open(self.directory / "stderr", "wb") as errors:
            self._child = process.start(self._command(backend_port), core, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=errors)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self._child is not None:
            process.end(self._child)
            self._child.stdout.close()
            self._child = None

    def _command(self, backend_port):
        raise NotImplementedError

    def _wait_until_ready(self):
        limit = time.monotonic() + START_LIMIT
        while time.monotonic() < limit and self._child.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise self._not_ready()

    def _not_ready(self):
        said = (self.directory / "stderr").read_text(errors="replace").strip()[-2000:]
        return ProxyFailed(f"{self.title} did not become ready: {said or 'it said nothing'}")

    def _write(self, name, text):
        path = self.directory / name
        path.write_text(text, encoding="utf-8")
        return path


def _program(name):
    # Daemons often live where a user's PATH does not lead.
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not found:
        raise ProxyFailed(f"{name} is not installed (apt-get install haproxy nginx "
                          "libnginx-mod-stream), or leave it out with --proxies")
    return found


class Penstock(Proxy):
    """As users run it: deadlines, counters and an access log to a file."""

    key = "penstock"
    title = "Penstock"

    # A limit of every kind, none of which this bench reaches.
    LISTENER_LIMITS = """\
max_connections = 100000
max_connections_per_source = 100000
accept_rate = "1000000/s"
accept_rate_per_source = "1000000/s"
deny = ["192.0.2.0/24", "2001:db8::/32"]
"""
    UPSTREAM_LIMITS = """\
max_connections = 100000
max_connecting_per_backend = 100000
backend_defaults = { max_connections = 100000 }
"""

    def __init__(self, directory, binary, limits_on=False):
        super().__init__(directory)
        self._binary = pathlib.Path(binary)
        self._limits_on = limits_on
        if not self._binary.exists():
            raise ProxyFailed(f"{binary} does not exist: ./dev build release")

    def version(self):
        return machine.first_line_of([self._binary, "version"])

    def _command(self, backend_port):
        config = self._write("penstock.toml", f"""\
[process]
workers = 1

[access_log]
target = "{self.directory}/access.log"

[[listener]]
name = "web"
bind = "127.0.0.1:0"
upstream = "web"
{self.LISTENER_LIMITS if self._limits_on else ""}{self.tls_lines}
[[upstream]]
name = "web"
backend = "127.0.0.1:{backend_port}"
{self.UPSTREAM_LIMITS if self._limits_on else ""}""")
        return [self._binary, "run", "-c", config]

    def _wait_until_ready(self):
        limit = time.monotonic() + START_LIMIT
        said = b""
        while time.monotonic() < limit:
            if not select.select([self._child.stdout], [], [], limit - time.monotonic())[0]:
                break
            piece = os.read(self._child.stdout.fileno(), 65536)
            said += piece
            if not piece:
                break
            port = re.search(rb"^listening web 127\.0\.0\.1:(\d+)$", said, re.M)
            if port and re.search(rb"^ready$", said, re.M):
                self.port = int(port.group(1))
                return
        raise self._not_ready()


class Haproxy(Proxy):
    key = "haproxy"
    title = "HAProxy"

    def __init__(self, directory):
        super().__init__(directory)
        self._binary = _program("haproxy")

    def version(self):
        return machine.first_line_of([self._binary, "-v"]).partition(" 20")[0]

    def _command(self, backend_port):
        config = self._write("haproxy.cfg", f"""\
global
    nbthread 1
    maxconn 9900
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen web
    bind 127.0.0.1:{self.port} backlog 4096 {self.tls_words}
    server a 127.0.0.1:{backend_port}
""")
        return [self._binary, "-db", "-f", config]


class Nginx(Proxy):
    key = "nginx"
    title = "nginx"

    def __init__(self, directory):
        super().__init__(directory)
        self._binary = _program("nginx")

    def version(self):
        return machine.first_line_of([self._binary, "-v"])

    def _stream_module(self):
        """The load_module line where stream is a dynamic module (Debian)."""
        built = subprocess.run([self._binary, "-V"], capture_output=True, text=True, check=False)
        path = re.search(r"--modules-path=(\S+)", built.stderr)
        module = pathlib.Path(path.group(1) if path else "/") / "ngx_stream_module.so"
        return f"load_module {module};" if module.exists() else ""

    def _command(self, backend_port):
        user = "user root;" if os.geteuid() == 0 else ""
        config = self._write("nginx.conf", f"""\
{self._stream_module()}
{user}
daemon off;
worker_processes 1;
error_log stderr warn;
pid {self.directory}/nginx.pid;
events {{
    worker_connections 19900;
}}
stream {{
    server {{
        listen 127.0.0.1:{self.port} {self.tls_words} backlog=4096;
        {self.tls_lines}
        proxy_pass 127.0.0.1:{backend_port};
        proxy_timeout 1h;
    }}
}}
""")
        return [self._binary, "-p", self.directory, "-e", "stderr", "-c", config]


class Relay(Proxy):
    """One of the benchmark's own relays: PROGRAM LISTEN_PORT BACKEND_PORT."""

    def __init__(self, directory, key, title, binary):
        self.key = key
        self.title = title
        super().__init__(directory)
        self._binary = pathlib.Path(binary)
        if not self._binary.exists():
            raise ProxyFailed(f"{binary} does not exist: ./dev build release")

    def _command(self, backend_port):
        return [self._binary, self.port, backend_port]


def make_proxy(key, directory, binary, programs, limits_on=False):
    """`binary`: Penstock's; `programs`: the folder of the benchmark's own programs."""
    if key == "penstock":
        return Penstock(directory, binary, limits_on)
    if key == "haproxy":
        return Haproxy(directory)
    if key == "nginx":
        return Nginx(directory)
    own = {
        "bare": ("bare relay", "penstock_bare_relay"),
        "threads": ("thread per connection", "penstock_baseline_threads"),
        "processes": ("process per connection", "penstock_baseline_processes"),
        "poll": ("one poll loop", "penstock_baseline_poll"),
    }
    if key not in own:
        known = ", ".join(["penstock", "haproxy", "nginx", *own])
        raise ProxyFailed(f"unknown proxy '{key}'; known: {known}")
    title, program = own[key]
    return Relay(directory, key, title, pathlib.Path(programs) / program)
