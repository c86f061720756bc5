"""What warm connections save: the time from a client's connect to the first byte of the answer, with
a backend that is `delay` away, so that connecting to it takes two delays."""

import contextlib
import re
import subprocess
import sys
import time

from benchlib import process, proxies
from benchlib.wire import Wire, inside

POOLS = {"without a pool": "", "min_idle = 4": "pool = { min_idle = 4 }"}

ECHO = """
import asyncio
async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()
async def main():
    server = await asyncio.start_server(echo, sys.argv[1], 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
import sys
asyncio.run(main())
"""

# Runs beside the proxy, in its namespace: connects, asks, waits for the answer.
CLIENT = """
import socket, sys, time
host, port, count, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
for _ in range(count):
    begin = time.monotonic()
    with socket.create_connection((host, port)) as client:
        client.sendall(b"?")
        assert client.recv(1) == b"?"
        print((time.monotonic() - begin) * 1000)
    time.sleep(pause)
"""


def _start_echo(wire, core, stack):
    backend = process.start(inside(wire.far, sys.executable, "-c", ECHO, wire.far_address), core,
                            stdout=subprocess.PIPE, text=True)
    stack.callback(process.end, backend)
    return int(backend.stdout.readline())


def _start_penstock(binary, directory, wire, backend_port, pool, core, stack):
    config = directory / "warm-start.toml"
    config.write_text(f"""\
[process]
workers = 1

[[listener]]
name = "in"
bind = "127.0.0.1:0"
upstream = "far"

[[upstream]]
name = "far"
backend = "{wire.far_address}:{backend_port}"
{pool}
""", encoding="utf-8")
    proxy = process.start(inside(wire.near, binary, "run", "-c", config), core,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stack.callback(process.end, proxy)
    for line in proxy.stdout:
        if found := re.match(r"listening in .*:(\d+)", line):
            port = int(found[1])
        if line == "ready\n":
            return port
    raise proxies.ProxyFailed("Penstock did not become ready in its network namespace")


def _times(wire, port, count, pause, core):
    client = process.start(inside(wire.near, sys.executable, "-c", CLIENT, "127.0.0.1", port, count,
                                  pause), core, stdout=subprocess.PIPE, text=True)
    output, _ = client.communicate(timeout=60 + count * (pause + 1))
    return [float(line) for line in output.split()]


def measure(binary, directory, cores, rounds, clients, delay, progress):
    """Milliseconds by pool, each `clients` long for each of `rounds` interleaved rounds."""
    results = {name: [] for name in POOLS}
    with Wire(delay) as wire, contextlib.ExitStack() as stack:
        backend_port = _start_echo(wire, cores[1], stack)
        ports = {name: _start_penstock(binary, directory, wire, backend_port, pool, cores[0], stack)
                 for name, pool in POOLS.items()}
        time.sleep(1 + 10 * delay)  # the pool fills
        for number in range(rounds):
            progress(f"warm start, round {number + 1} of {rounds}")
            for name, port in ports.items():
                # A pause in which the pool replaces what was taken.
                results[name] += _times(wire, port, clients, 6 * delay, cores[1])
    return results
