"""What being watched costs: a proxy with many idle connections and many backends, under a little
traffic, with somebody fetching its metrics each second and without."""

import contextlib
import http.client
import threading
import time

from benchlib import process, proxies

BACKENDS = 100
TRAFFIC = 8  # connections that send messages


class WatchedPenstock(proxies.Penstock):
    """One worker, an upstream of BACKENDS names for the one backend, and metrics over TCP."""

    def __init__(self, directory, binary):
        super().__init__(directory, binary)
        self.admin_port = process.free_port()

    def _command(self, backend_port):
        backends = "".join(f"""
[[upstream.backend]]
name = "backend-{i}"
address = "127.0.0.1:{backend_port}"
""" for i in range(BACKENDS))
        config = self._write("watched.toml", f"""\
[process]
workers = 1

[[admin.listener]]
bind = "127.0.0.1:{self.admin_port}"
access = "metrics"

[[listener]]
name = "web"
bind = "127.0.0.1:0"
upstream = "web"

[[upstream]]
name = "web"
{backends}""")
        return [self._binary, "run", "-c", config]


def fetch(port):
    """(milliseconds until the whole page was there, its size)"""
    begin = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        page = answer.read()
        if answer.status != 200:
            raise proxies.ProxyFailed(f"/metrics answers {answer.status}")
    return (time.monotonic() - begin) * 1000, len(page)


class Scraper(threading.Thread):
    """Fetches the page once a second until stop()."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self._port = port
        self._ended = threading.Event()
        self.times = []

    def run(self):
        while not self._ended.wait(1.0):
            self.times.append(fetch(self._port)[0])

    def stop(self):
        self._ended.set()
        self.join()


def measure(binary, directory, bench, connections, rounds, duration, progress):
    """{"scrape_ms": [...], "page_bytes": n, "with": [answer...], "without": [answer...]}"""
    results = {"scrape_ms": [], "page_bytes": 0, "with": [], "without": []}
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(bench.make_backend())
        proxy = WatchedPenstock(directory, binary)
        proxy.start(backend.port, bench.cores[0])
        stack.callback(proxy.stop)
        stack.enter_context(bench.generator.idle(proxy.port, connections))
        for number in range(rounds):
            order = ("with", "without") if number % 2 == 0 else ("without", "with")
            for kind in order:
                scraper = Scraper(proxy.admin_port)
                if kind == "with":
                    scraper.start()
                answer = bench.generator.run("roundtrip", proxy.port, TRAFFIC,
                                             watch=[proxy.pid], duration=duration)
                if kind == "with":
                    scraper.stop()
                    results["scrape_ms"] += scraper.times
                results[kind].append(answer)
            progress(f"round {number + 1} of {rounds}")
        results["page_bytes"] = fetch(proxy.admin_port)[1]
    return results
