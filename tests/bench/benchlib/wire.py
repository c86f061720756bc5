"""A wire with a delay between two network namespaces, in user space: kernels without netem have it
too. Each end is a TUN device; packets are written to the other one when they have been under way
long enough."""

import collections
import fcntl
import os
import select
import struct
import subprocess
import threading
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
LARGEST_PACKET = 65536


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def inside(namespace, *command):
    """The command as it runs in that namespace."""
    return ["ip", "netns", "exec", namespace, *map(str, command)]


def _open_tun(name):
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return end


class Wire:
    """Namespaces `near` and `far`, 10.255.0.1 and 10.255.0.2, `delay` seconds apart. Needs root."""

    near_address, far_address = "10.255.0.1", "10.255.0.2"

    def __init__(self, delay):
        self.delay = delay
        self.near, self.far = (f"penstock-{os.getpid()}-{end}" for end in ("near", "far"))
        self._ends = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self):
        try:
            for namespace, address in ((self.near, self.near_address),
                                       (self.far, self.far_address)):
                _ip("netns", "add", namespace)
                device = f"pw{os.getpid()}{len(self._ends)}"[:15]
                self._ends.append(_open_tun(device))
                _ip("link", "set", device, "netns", namespace)
                _ip("-n", namespace, "link", "set", "lo", "up")
                _ip("-n", namespace, "address", "add", f"{address}/30", "dev", device)
                _ip("-n", namespace, "link", "set", device, "up")
            self._thread.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        for end in self._ends:
            os.close(end)
        for namespace in (self.near, self.far):
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)

    def _carry(self):
        under_way = collections.deque()  # (due, end to write to, packet); in order, one delay
        others = {self._ends[0]: self._ends[1], self._ends[1]: self._ends[0]}
        while not self._stopping.is_set():
            wait = 0.1
            if under_way:
                wait = min(max(under_way[0][0] - time.monotonic(), 0), wait)
            readable, _, _ = select.select(self._ends, [], [], wait)
            for end in readable:
                try:
                    packet = os.read(end, LARGEST_PACKET)
                except BlockingIOError:
                    continue
                under_way.append((time.monotonic() + self.delay, others[end], packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, end, packet = under_way.popleft()
                try:
                    os.write(end, packet)
                except OSError:
                    pass  # a queue is full or a device is gone: a wire loses packets
