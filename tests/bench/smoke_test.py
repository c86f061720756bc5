#!/usr/bin/env python3
"""Keeps the benchmark from rotting: the load generator, its backend, the relays it is compared with
and the driver, with counts so small that the figures mean nothing."""

import argparse
import asyncio
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from benchlib import load, models, process, proxies, report  # noqa: E402
from benchlib import side_by_side, stats, tls, works  # noqa: E402
from benchlib.works import WORKS  # noqa: E402

ARGS = argparse.Namespace()


def make_backend():
    return load.Backend(ARGS.loadgen, process.pick_cores()[1])


def run_loadgen(mode, port, *options):
    """(exit status, JSON answer)"""
    done = subprocess.run([ARGS.loadgen, mode, "--target", str(port), *map(str, options)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


class Tampering(threading.Thread):
    """A relay for one connection. `tamper` turns what comes from the backend (or goes to it) into
    what is passed on; nothing = the end."""

    def __init__(self, backend_port, tamper, upwards=False):
        super().__init__(daemon=True)
        self._upwards = upwards
        self._backend_port = backend_port
        self._tamper = tamper
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.start()

    def run(self):
        client = self._listener.accept()[0]
        backend = socket.create_connection(("127.0.0.1", self._backend_port))
        up, down = (self._tamper, bytes) if self._upwards else (bytes, self._tamper)
        threading.Thread(target=self._copy, args=(client, backend, up), daemon=True).start()
        self._copy(backend, client, down)
        try:
            client.shutdown(socket.SHUT_RDWR)  # close() would wait for the other thread's recv
        except OSError:
            pass
        self._listener.close()

    @staticmethod
    def _copy(source, sink, change):
        try:
            while data := source.recv(65536):
                changed = change(data)
                if not changed:
                    return
                sink.sendall(changed)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the load generator hung up: it has seen enough


def flip_last_bit(data):
    return data[:-1] + bytes([data[-1] ^ 1])


class LoadGenerator(unittest.TestCase):
    # Bounded by operations, so that a busy machine makes a run slower and not empty.
    MODES = (("roundtrip", "-n", 5, "-o", 100, "-d", 30, "-w", 0),
             ("roundtrip", "-n", 3, "-s", 100000, "-o", 50, "-d", 30, "-w", 0.01),
             ("connect", "-n", 3, "-o", 50, "-d", 30, "-w", 0, "--sources", 3),
             ("download", "-n", 2, "-o", 3, "-d", 30, "-w", 0.01),
             ("upload", "-n", 2, "-o", 3, "-d", 30, "-w", 0),
             ("idle", "-n", 20, "--hold", 0.01))

    def check_all_modes(self, port):
        for mode, *options in self.MODES:
            with self.subTest(mode=mode, options=options):
                status, answer = run_loadgen(mode, port, *options)
                self.assertEqual((status, answer["errors"]["total"]), (0, 0), answer)
                self.assertGreater(answer["bytes"], 0)
                self.assertGreater(answer["operations"], 0)
                self.assertLessEqual(answer["latency_us"]["p50"], answer["latency_us"]["p99"])

    def test_directly_against_its_backend(self):
        with make_backend() as backend:
            self.check_all_modes(backend.port)
            self.assertEqual(backend.close()["errors"], 0)

    def test_through_every_relay(self):
        for binary in [ARGS.bare_relay, *ARGS.baselines]:
            with self.subTest(relay=binary), make_backend() as backend, \
                    tempfile.TemporaryDirectory() as directory:
                relay = proxies.Relay(directory, "relay", binary, binary)
                relay.start(backend.port, process.pick_cores()[0])
                try:
                    self.check_all_modes(relay.port)
                finally:
                    relay.stop()
                self.assertEqual(backend.close()["errors"], 0)

    def test_a_flipped_bit_is_an_error(self):
        for mode in ("roundtrip", "connect", "download"):
            with self.subTest(mode=mode), make_backend() as backend:
                relay = Tampering(backend.port, flip_last_bit)
                status, answer = run_loadgen(mode, relay.port, "-n", 1, "-d", 0.5, "--limit", 60)
                self.assertEqual(status, 1)
                self.assertGreater(answer["errors"]["mismatch"], 0)

    def test_a_flipped_bit_on_the_way_up_is_an_error(self):
        with make_backend() as backend:
            changed = []

            def flip_once(data):
                if not changed and len(data) > 100:
                    changed.append(True)
                    return flip_last_bit(data)
                return data
            relay = Tampering(backend.port, flip_once, upwards=True)
            status, answer = run_loadgen("upload", relay.port, "-n", 1, "-o", 1, "-d", 30)
            self.assertEqual((status, answer["errors"]["mismatch"]), (1, 1))
            self.assertGreater(backend.close()["errors"], 0)

    def test_an_early_end_is_an_error(self):
        with make_backend() as backend:
            relay = Tampering(backend.port, lambda data: b"")
            status, answer = run_loadgen("roundtrip", relay.port, "-n", 1, "-d", 0.2, "--limit", 60)
            self.assertEqual(status, 1)
            self.assertEqual(answer["errors"]["early_end"], 1)

    def test_silence_ends_at_the_time_limit(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            status, answer = run_loadgen("roundtrip", port, "-n", 2, "--limit", 0.3)
            self.assertEqual((status, answer["errors"]["timeout"]), (1, 2))

    def test_nobody_listening_is_an_error(self):
        with process.refusing_port() as port:
            status, answer = run_loadgen("connect", port, "-n", 2, "-d", 0.05)
        self.assertEqual(status, 1)
        self.assertGreater(answer["errors"]["connect"], 0)

    def test_cpu_time_of_a_process_per_connection_counts_its_children(self):
        processes = next(path for path in ARGS.baselines if "processes" in path)
        with make_backend() as backend, tempfile.TemporaryDirectory() as directory:
            relay = proxies.Relay(directory, "processes", processes, processes)
            relay.start(backend.port, process.pick_cores()[0])
            try:
                _, answer = run_loadgen("roundtrip", relay.port, "-n", 2, "-o", 200, "-d", 30,
                                        "--watch", relay.pid)
            finally:
                relay.stop()
            # The parent alone does nothing under this load; a relayed round trip takes over 1 us.
            self.assertGreater(answer["cpu"]["total_ns"], 1000 * answer["operations"])


class TlsRelay(threading.Thread):
    """Terminates TLS and relays to a plain backend. `tickets`: how many sessions a client is
    offered."""

    def __init__(self, backend_port, certificate, tickets=2, tamper=bytes):
        super().__init__(daemon=True)
        self._backend_port = backend_port
        self._tamper = tamper
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert, certificate.key)
        self._context.num_tickets = tickets
        self._listening = threading.Event()
        self._loop = None
        self._end = None
        self.port = 0

    def __enter__(self):
        self.start()
        self._listening.wait(30)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self.join()

    def run(self):
        asyncio.run(self._serve())

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        # It ends with connections open: what it says of them is no news.
        self._loop.set_exception_handler(lambda *_: None)
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0, ssl=self._context,
                                            backlog=1000)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        async with server:
            await self._end.wait()

    async def _relay(self, reader, writer):
        source, sink = await asyncio.open_connection("127.0.0.1", self._backend_port)
        up = asyncio.create_task(self._copy(reader, sink, bytes))
        await self._copy(source, writer, self._tamper)
        up.cancel()

    @staticmethod
    async def _copy(source, sink, change):
        try:
            while data := await source.read(65536):
                sink.write(change(data))
                await sink.drain()
        except OSError:
            pass
        sink.close()


class Tls(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.certificate = tls.make_certificate(directory.name)

    def run_over_tls(self, mode, *options, **relay_options):
        with make_backend() as backend, \
                TlsRelay(backend.port, self.certificate, **relay_options) as relay:
            return run_loadgen(mode, relay.port, "--tls", self.certificate.cert, *options)

    def test_every_mode(self):
        modes = [*LoadGenerator.MODES, ("resume", "-n", 3, "-o", 50, "-d", 30, "-w", 0)]
        for mode, *options in modes:
            with self.subTest(mode=mode, options=options):
                status, answer = self.run_over_tls(mode, *options)
                self.assertEqual((status, answer["errors"]["total"]), (0, 0), answer)
                self.assertGreater(answer["operations"], 0)

    def test_a_flipped_bit_is_an_error(self):
        for mode in ("roundtrip", "connect", "download"):
            with self.subTest(mode=mode):
                status, answer = self.run_over_tls(mode, "-n", 1, "-d", 0.5, "--limit", 60,
                                                   tamper=flip_last_bit)
                self.assertEqual(status, 1)
                self.assertGreater(answer["errors"]["mismatch"], 0)

    def test_a_server_that_resumes_nothing_is_an_error(self):
        status, answer = self.run_over_tls("resume", "-n", 1, "-o", 5, "-d", 30, tickets=0)
        self.assertEqual(status, 1)
        self.assertGreater(answer["errors"]["session"], 0)

    def test_another_certificate_is_an_error(self):
        with tempfile.TemporaryDirectory() as directory, make_backend() as backend, \
                TlsRelay(backend.port, tls.make_certificate(directory)) as relay:
            status, answer = run_loadgen("roundtrip", relay.port, "--tls", self.certificate.cert,
                                         "-n", 2, "-d", 0.05)
        self.assertEqual(status, 1)
        self.assertEqual(answer["errors"]["connect"], 2)

    def test_a_round_over_all_proxies_makes_a_report(self):
        cores = process.pick_cores()
        generator = load.Generator(ARGS.loadgen, cores[1], duration=30, warm_up=0.01,
                                   operations=20, certificate=self.certificate.cert)
        run = [proxies.make_proxy(key, self.directory, ARGS.penstock, "")
               for key in ("penstock", "haproxy", "nginx")]
        results = side_by_side.Results(run, tls.WORKS, works.LEVEL)
        for proxy in run:
            tls.terminate(proxy, self.certificate)
        side_by_side.measure_memory(run, make_backend, generator, 50, 1, cores[0], results, str)
        with make_backend() as backend:
            for proxy in run:
                proxy.start(backend.port, cores[0])
                self.addCleanup(proxy.stop)
            side_by_side.run_rounds(run, generator, 1, results, str)
        self.assertEqual(results.failures, [])
        text = report.comparison(results, run, [("machine", "this one")], "run.py --tls")
        for work in tls.WORKS:
            self.assertEqual(text.count(f"| {work.title} |"), 4)
        self.assertIn("| memory per idle connection |", text)


class Driver(unittest.TestCase):
    def setUp(self):
        self.cores = process.pick_cores()
        self.generator = self.make_generator(operations=1000)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.relays = [proxies.Relay(directory.name, f"relay{i}", f"relay {i}", ARGS.bare_relay)
                       for i in range(2)]

    def make_generator(self, operations):
        """Bounded by operations, so that a busy machine makes a run slower and not empty."""
        return load.Generator(ARGS.loadgen, self.cores[1], duration=30, warm_up=0.01,
                              operations=operations)

    def check_round(self, chosen, generator):
        results = side_by_side.Results(self.relays, chosen)
        side_by_side.measure_memory(self.relays, make_backend, self.generator, 100, 1,
                                    self.cores[0], results, str)
        with make_backend() as backend:
            for relay in self.relays:
                relay.start(backend.port, self.cores[0])
                self.addCleanup(relay.stop)
            side_by_side.run_rounds(self.relays, generator, 1, results, str)
        self.assertEqual(results.failures, [])
        text = report.comparison(results, self.relays, [("machine", "this one")], "run.py")
        for work in chosen:
            self.assertEqual(text.count(f"| {work.title} |"), 4)
        self.assertNotIn("failed", text)

    def test_a_round_of_messages_makes_a_report(self):
        self.check_round([work for work in WORKS if not work.bulk], self.generator)

    def test_a_round_of_streams_makes_a_report(self):
        # Here an operation is 4 MiB.
        self.check_round([work for work in WORKS if work.bulk], self.make_generator(operations=5))

    def test_models_make_a_report(self):
        points = models.run_models(self.relays, make_backend, self.generator, 1, self.cores[0],
                                   str, counts=(1, 10))
        self.assertEqual([len(point) for point in points.values()], [1, 1, 1, 1])
        text = report.concurrency_models(points, self.relays, (1, 10), [], "run.py")
        self.assertEqual(text.count("| relay 0 |"), 6)

    def test_a_work_that_fails_is_reported_and_not_averaged(self):
        with process.refusing_port() as port:
            nobody = [argparse.Namespace(key=relay.key, title=relay.title, pid=os.getpid(),
                                         port=port) for relay in self.relays]
            results = side_by_side.Results(nobody, WORKS)
            side_by_side.run_rounds(nobody, self.generator, 1, results, str)
        self.assertEqual(len(results.failures), len(WORKS) * len(nobody))
        self.assertIn("failed", report.comparison(results, nobody, [], "run.py"))


class Statistics(unittest.TestCase):
    def test_spread_is_median_and_quartiles(self):
        self.assertEqual(stats.spread([5, 1, 2, 4, 3]), (3, 2, 4))
        self.assertEqual(stats.spread([7]), (7, 7, 7))
        self.assertIsNone(stats.spread([]))

    def test_ratios_are_paired_within_a_round(self):
        # The same disturbance hits both in round 2: the ratio of medians would be 1 as well, but a
        # failed round must drop out on both sides.
        self.assertEqual(stats.paired_ratios([1, 10, None, 3], [2, 20, 5, 6]), (0.5, 0.5, 0.5))
        self.assertIsNone(stats.paired_ratios([None], [1]))

    def test_every_proxy_takes_every_place_in_the_order(self):
        orders = [side_by_side.order_of(["a", "b", "c"], turn) for turn in range(6)]
        for place in range(3):
            self.assertEqual({order[place] for order in orders}, {"a", "b", "c"})
        follows = {(a, b) for order in orders for a, b in zip(order, order[1:])}
        self.assertEqual(len(follows), 6)

    def test_works_are_selected_by_key(self):
        self.assertEqual([work.key for work in works.select("up4,connect")], ["up4", "connect"])
        self.assertRaises(ValueError, works.select, "up4,nothing")
        self.assertEqual([work.mode for work in works.select("resumed", tls.WORKS)], ["resume"])

    def test_only_what_stands_between_the_markers_is_replaced(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "page.md"
            path.write_text("a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n", encoding="utf-8")
            report.write_between(path, "x", "new")
            self.assertEqual(path.read_text(encoding="utf-8"),
                             "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb\n")
            self.assertRaises(ValueError, report.write_between, path, "y", "new")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--loadgen", required=True)
    parser.add_argument("--penstock", required=True)
    parser.add_argument("--bare-relay", required=True)
    parser.add_argument("--baselines", required=True, nargs="+")
    parser.parse_args(namespace=ARGS)
    process.raise_descriptor_limit()
    unittest.main(argv=sys.argv[:1])


if __name__ == "__main__":
    main()
