"""Connections that only sit there, and clients that drip: they must not slow an upload.

Two equal servers, one with the crowd and one without, get the same upload in turns, so that the
noise of the machine (and the work of the crowd's own thread) meets both. What is judged is the
processor time of the server's threads for an upload, and the watchdog's beside it; the time on the
clock is printed, and judged in the long form.
"""

import os
import pathlib
import resource
import select
import signal
import socket
import statistics
import threading
import time
import unittest

import harness
from harness import LONG, SLOW, Server

IDLE, DRIPPERS, ROUNDS, UPLOAD = (10_000, 200, 40, 32 << 20) if LONG else (1_000, 40, 7, 8 << 20)
ALLOWED = 1.10
WAVE = 500
ASK_AGAIN_S = 20
HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
BODY = b"PUT /images/drip HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nGIF89a"
DRIP_S = 0.25  # a byte of a head; of a body as many as keep it alive


class Crowd(threading.Thread):
    """Idle connections that have asked once, half of the drippers in a head, half in a body."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.idle, self.ends = port, [], threading.Event()
        self.broken = self.sent = 0
        self.asked_at = time.monotonic()
        while len(self.idle) < IDLE:
            self.open_idle(min(WAVE, IDLE - len(self.idle)))
        self.drippers = [self.open(i) for i in range(DRIPPERS)]
        self.start()

    def open_idle(self, count):
        """
        In waves, each answered before the next one: a client is quicker than the acceptor, and where
        its queue in the kernel is full, SYNs are dropped and come again after 1, 3, 7, 15 and 31 s.
        """
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", self.port), 20)
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.idle.append(client)
        self.collect(len(self.idle) - count, count)

    def collect(self, first, count):
        for number, client in enumerate(self.idle[first:first + count], first):
            try:
                answer = client.recv(4096)
            except OSError as error:
                answer = repr(error).encode()
            assert b" 200 " in answer, f"connection {number}: {answer}"

    def keep_alive(self):
        """Who has been idle for a minute is sent away: on a slow machine they ask again in between."""
        if time.monotonic() - self.asked_at < ASK_AGAIN_S:
            return
        self.asked_at = time.monotonic()
        for first in range(0, IDLE, WAVE):
            for client in self.idle[first:first + WAVE]:
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.collect(first, WAVE)

    def open(self, number):
        client = socket.create_connection(("127.0.0.1", self.port), 20)
        client.sendall(BODY if number % 2 else HEAD)
        client.setblocking(False)
        return client

    def run(self):
        while not self.ends.wait(DRIP_S):
            for i, client in enumerate(self.drippers):
                try:
                    client.send(b"abcdefgh" * 64 if i % 2 else b"a")
                    self.sent += 1
                    client.recv(1)
                except BlockingIOError:
                    continue  # no answer yet
                except OSError:
                    pass
                self.broken += 1  # a head has its time, and begins anew
                client.close()
                self.drippers[i] = self.open(i)

    def alive(self):
        """How many of the idle ones the server still holds."""
        poll = select.poll()
        for client in self.idle:
            poll.register(client, select.POLLIN | select.POLLRDHUP)
        return len(self.idle) - len(poll.poll(0))

    def stop(self):
        self.ends.set()
        self.join()
        for client in self.idle + self.drippers:
            client.close()


def cpu_s(server):
    """Of the threads of the server, in nanoseconds' steps: the watchdog's, and all others'."""
    watchdog = others = 0
    for task in pathlib.Path(f"/proc/{server.process.pid}/task").iterdir():
        try:
            used = int((task / "schedstat").read_text().split()[0]) / 1e9
            name = (task / "comm").read_text().strip()
        except FileNotFoundError:
            continue
        if name == "http-watchdog":
            watchdog += used
        else:
            others += used
    return watchdog, others


def low(values):
    """The lower quartile: other programs on this machine can only add."""
    return statistics.quantiles(values, n=4)[0]


class Uploads(unittest.TestCase):
    def upload(self, server, data):
        """Seconds on the clock and of the server's processor time."""
        before, began = cpu_s(server)[1], time.monotonic()
        answer = server.request("PUT", "/images/x", body=data, timeout=60)
        took, used = time.monotonic() - began, cpu_s(server)[1] - before
        self.assertEqual(answer.status, 202, answer)
        return took, used

    def test_a_crowd_does_not_slow_an_upload(self):
        wanted = 2 * (IDLE + DRIPPERS) + 1000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        limit = str(IDLE + DRIPPERS + 100)
        flags = ("--accept", "*/*", "--max-connections", limit, "--max-per-address", limit, "--access-log=no")
        with Server(*flags) as quiet, Server(*flags) as crowded:
            crowd = Crowd(crowded.port)
            try:
                self.compare(quiet, crowded, crowd)
            finally:
                crowd.stop()

    def compare(self, quiet, crowded, crowd):
        took, used = {quiet: [], crowded: []}, {quiet: [], crowded: []}
        before, began = cpu_s(crowded)[0], time.monotonic()
        for i in range(ROUNDS):
            crowd.keep_alive()
            for server in ((quiet, crowded), (crowded, quiet))[i % 2]:
                seconds, cpu = self.upload(server, os.urandom(UPLOAD))
                took[server].append(seconds)
                used[server].append(cpu)
        watchdog = (cpu_s(crowded)[0] - before) / (time.monotonic() - began)
        self.assertEqual(crowd.alive(), IDLE)
        clock, cpu = (low(x[crowded]) / low(x[quiet]) for x in (took, used))
        print(f"{IDLE} idle, {DRIPPERS} dripping ({crowd.broken} begun anew): an upload of {UPLOAD >> 20} MiB "
              f"takes {clock:.2f} of the time and {cpu:.2f} of the CPU without them; the watchdog takes "
              f"{watchdog:.1%} of a core", flush=True)
        self.assertGreater(crowd.sent, DRIPPERS * (time.monotonic() - began) / DRIP_S / 10)
        self.assertLess(watchdog, 0.05)
        self.assertLess(cpu, ALLOWED)
        if LONG:
            self.assertLess(clock, ALLOWED)


class Rush(unittest.TestCase):
    def test_more_than_a_thousand_may_come_while_the_server_is_busy(self):
        """The kernel queues them until they are accepted; the next one would wait for a second."""
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
            count = min(1500, int(file.read()) - 10)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 500, hard), hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        clients = []
        with Server("--max-connections", "2000", "--max-per-address", "2000", "--access-log=no") as server:
            server.process.send_signal(signal.SIGSTOP)
            try:
                for _ in range(count):
                    clients.append(socket.create_connection(("127.0.0.1", server.port), 0.9 * SLOW))
            finally:
                server.process.send_signal(signal.SIGCONT)
            for client in clients:
                client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            for client in clients:
                client.settimeout(20 * SLOW)
                self.assertIn(b" 200 ", client.recv(4096))
                client.close()


if __name__ == "__main__":
    harness.main()
