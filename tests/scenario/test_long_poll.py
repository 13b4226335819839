"""Clients that wait for jobs: Prefer: wait on real sockets, one and many, and at the stop."""

import os
import pathlib
import re
import resource
import selectors
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import SLOW, Server, image

LATER = 3600 * 1000


def wait_request(path, seconds=30, etag=None, close=False):
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Prefer: wait={seconds}"]
    if etag:
        lines.append(f"If-None-Match: {etag}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Crowd:
    """Many connections that each have sent one request and wait."""

    def __init__(self, server, requests):
        self.selector, self.heads = selectors.DefaultSelector(), {}
        for number, request in enumerate(requests):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(request)
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, number)
        self.size = len(requests)

    def collect(self, wait):
        """The status lines that have come by then; every answer on its own connection."""
        end = time.monotonic() + wait
        while len(self.heads) < self.size and time.monotonic() < end:
            for key, _ in self.selector.select(0.05):
                data = key.fileobj.recv(65536)
                self.heads.setdefault(key.data, data.split(b"\r\n")[0])
                if not data:
                    self.selector.unregister(key.fileobj)
        return list(self.heads.values())

    def close(self):
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()


class LongPoll(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--workers", "1", "--max-per-address", "1000").start()
        cls.count = 0

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def put(self, name="photo.jpg"):
        type(self).count += 1
        answer = self.server.request("PUT", "/images/x.jpg",
                                     body=image(name) + b"%d" % self.count)
        self.assertEqual(answer.status, 202, answer)
        return answer["Location"]

    def test_until_the_end(self):
        """One request is enough: upload, wait, the image is there."""
        answer = self.server.get(self.put(), Prefer="wait=30")
        self.assertEqual((answer.status, answer.json()["state"]), (200, "succeeded"))
        self.assertEqual(answer["Preference-Applied"], "wait=30")
        self.assertEqual(len(answer.json()["response"]["image"]["prints"]), 3)

    def test_each_version(self):
        """With If-None-Match each answer is another version, and the last one is the end."""
        path, etag, seen = self.put(), '"0"', []
        while not seen or not seen[-1]["done"]:
            answer = self.server.get(path, Prefer="wait=30", If_None_Match=etag)
            self.assertEqual(answer.status, 200)
            self.assertNotEqual(answer["ETag"], etag)
            etag = answer["ETag"]
            seen.append(answer.json())
        self.assertLessEqual(len(seen), 12, "few requests, although it was watched closely")
        self.assertTrue([job for job in seen if 0 < job["progress"] < 1], seen)

    def test_canceled(self):
        busy, path = self.put(), self.put()
        answers = []
        waiter = threading.Thread(
            target=lambda: answers.append(self.server.get(path, Prefer="wait=30")))
        waiter.start()
        time.sleep(0.1)
        self.assertEqual(self.server.request("DELETE", path).status, 200)
        waiter.join(10 * SLOW)
        self.assertEqual(answers[0].json()["state"], "canceled")
        self.server.request("DELETE", busy)

    def test_many_on_one_job(self):
        busy, path = self.put(), self.put()
        crowd = Crowd(self.server, [wait_request(path)] * 150)
        self.server.request("DELETE", busy)
        heads = crowd.collect(30 * SLOW)
        self.assertEqual(heads, [b"HTTP/1.1 200 OK"] * 150)
        crowd.close()

    def test_many_jobs_many_waiters(self):
        """Jobs that come and go while others begin to wait: nobody is forgotten."""
        paths = [self.put("tiny.jpg") for _ in range(20)]
        crowd = Crowd(self.server, [wait_request(path, 30, etag)
                                    for path in paths for etag in (None, '"1"', '"2"', None)])
        began = time.monotonic()
        heads = crowd.collect(28 * SLOW)
        self.assertEqual(set(heads), {b"HTTP/1.1 200 OK"})
        self.assertEqual(len(heads), crowd.size)
        self.assertLess(time.monotonic() - began, 28 * SLOW)
        crowd.close()

    def test_a_client_that_leaves(self):
        """Its place is free when its time is over, and the job is not disturbed."""
        path = self.put()
        crowd = Crowd(self.server, [wait_request(path, 1)] * 20)
        crowd.close()
        self.assertEqual(self.server.wait_job(path)["state"], "succeeded")
        self.assertEqual(self.server.get("/livez").status, 200)

    def test_kept_alive_connection_waits_longer_than_the_deadlines(self):
        """The clock of the connection stands while it waits; then it takes the next request."""
        path = self.put()
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.settimeout(30 * SLOW)
            for _ in range(2):
                connection.sendall(wait_request(path))
                self.assertTrue(connection.recv(65536).startswith(b"HTTP/1.1 200"))


def postpone(server):
    """Puts all queued jobs off for an hour; the server must be down."""
    database = sqlite3.connect(server.data / "calotype.db")
    database.execute("UPDATE job SET run_at = run_at + ?, state = 0, owner = ''", (LATER,))
    database.commit()
    database.close()


class Stop(unittest.TestCase):
    def check_time_out(self, server, path, etag):
        began = time.monotonic()
        answer = server.get(path, Prefer="wait=1", If_None_Match=etag)
        self.assertEqual((answer.status, answer["ETag"]), (304, etag))
        self.assertEqual(answer["Preference-Applied"], "wait=1")
        self.assertGreaterEqual(time.monotonic() - began, 1)
        plain = server.get(path, Prefer="wait=1")
        self.assertEqual((plain.status, plain.json()["state"]), (200, "queued"))

    def test_time_out_and_sigterm(self):
        with Server("--workers", "1", "--max-per-address", "1000") as server:
            path = server.request("PUT", "/images/x.jpg", body=image("photo.jpg"))["Location"]
            server.kill()
            postpone(server)
            server.start()
            etag = server.get(path)["ETag"]
            self.check_time_out(server, path, etag)
            crowd = Crowd(server, [wait_request(path, 40, etag)] * 50 + [wait_request(path)] * 50)
            time.sleep(0.5)
            self.assertEqual(crowd.collect(0.2), [])
            began = time.monotonic()
            os.kill(server.process.pid, signal.SIGTERM)
            heads = crowd.collect(10 * SLOW)
            self.assertEqual(sorted(heads), [b"HTTP/1.1 200 OK"] * 50 +
                             [b"HTTP/1.1 304 Not Modified"] * 50)
            self.assertEqual(server.stop(), 0)
            self.assertLess(time.monotonic() - began, 10 * SLOW)
            crowd.close()


class Client(unittest.TestCase):
    """calotype put waits by long poll for the last job."""

    def setUp(self):
        self.server = Server("--workers", "1").start()
        self.addCleanup(lambda: self.server.__exit__())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-wait-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.photo = self.folder / "photo.jpg"
        self.photo.write_bytes(image("photo.jpg"))
        for number in range(4):  # they keep the only worker busy
            self.server.request("PUT", "/images/x.jpg", body=image("photo.jpg") + bytes([number]))

    def start_client(self):
        return subprocess.Popen(
            [str(harness.CLIENT), "put", str(self.photo)], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env=dict(os.environ, CALOTYPE_URL=self.server.url, XDG_STATE_HOME=str(self.folder)))

    def test_put(self):
        client = self.start_client()
        out = client.communicate(timeout=60 * SLOW)[0]
        self.assertEqual(client.returncode, 0, out)
        waits = [int(ms) for ms in re.findall(r"method=GET path=/jobs/\w+ .* ms=(\d+)",
                                              self.server.log_text())]
        self.assertGreater(max(waits), 100, "one of them waited")
        self.assertLess(len(waits), 20)

    def test_interrupt(self):
        client = self.start_client()
        end = time.monotonic() + 20 * SLOW
        while "path=/jobs/" not in self.server.log_text() and time.monotonic() < end:
            time.sleep(0.01)
        began = time.monotonic()
        client.send_signal(signal.SIGINT)
        client.communicate(timeout=20 * SLOW)
        self.assertIn(client.returncode, (130, 0))
        self.assertLess(time.monotonic() - began, 3 * SLOW)


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class Many(unittest.TestCase):
    """Few in the short form, 10,000 in the long one: what they cost, and how soon all are woken."""

    COUNT = 10000 if harness.LONG else 500

    def test_many_are_woken_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
        limit = str(self.COUNT + 100)
        with Server("--workers", "1", "--max-connections", limit, "--max-per-address", limit) as server:
            path = server.request("PUT", "/images/x.jpg", body=image("photo.jpg"))["Location"]
            server.kill()
            postpone(server)
            server.start()
            server.get(path, Prefer="wait=1")
            before = resident_bytes(server)
            crowd = Crowd(server, [wait_request(path, 50)] * self.COUNT)
            time.sleep(0.5)
            self.assertEqual(crowd.collect(0.2), [])
            each = (resident_bytes(server) - before) / self.COUNT
            began = time.monotonic()
            self.assertEqual(server.request("DELETE", path).status, 200)
            heads = crowd.collect(10 * SLOW)
            took = time.monotonic() - began
            print(f"{self.COUNT} waiters: {each / 1024:.1f} KiB each, woken in {took:.3f} s")
            self.assertEqual(heads, [b"HTTP/1.1 200 OK"] * self.COUNT)
            crowd.close()
            if harness.VARIANT in ("asan", "tsan"):
                return  # it is not the figures that are tested there
            self.assertLessEqual(each, 16 * 1024)
            if harness.LONG:  # the short form shares its machine with others
                self.assertLess(took, 0.5)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    harness.main()
