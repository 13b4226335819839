"""Clients that wait for jobs: Prefer: wait on real sockets, one and many, and at the stop."""

import http.client
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

    def test_kept_alive_connection_waits_longer_than_the_deadlines(self):
        """The clock of the connection stands while it waits; then it takes the next request."""
        path = self.put()
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.settimeout(30 * SLOW)
            for _ in range(2):
                connection.sendall(wait_request(path))
                self.assertTrue(connection.recv(65536).startswith(b"HTTP/1.1 200"))


class Leavers(unittest.TestCase):
    """A client that leaves makes room within a second; one that only says no more is waited for."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--workers", "1", "--max-per-address", "1000").start()
        cls.paths = [cls.server.request("PUT", "/images/x.jpg", body=image("tiny.jpg") + b"%d" % i)["Location"]
                     for i in range(6)]
        cls.server.kill()
        postpone(cls.server)
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def setUp(self):
        self.path = self.paths.pop()

    def ended(self):
        """How many waits for the job are in the log, which has a request at its end."""
        return self.server.log_text().count(f"method=GET path={self.path} ")

    def wait_until_ended(self, count, seconds):
        began = time.monotonic()
        while self.ended() < count:
            self.assertLess(time.monotonic() - began, seconds * SLOW, f"{self.ended()} of {count}")
            time.sleep(0.02)

    def connect(self, version="1.1"):
        client = socket.create_connection(("127.0.0.1", self.server.port))
        client.sendall(wait_request(self.path, 45).replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
        return client

    def test_1_clients_that_close(self):
        clients = [self.connect() for _ in range(20)]
        stays = self.connect()
        time.sleep(0.5)  # they sleep
        self.assertEqual(self.ended(), 0)
        for number, client in enumerate(clients):
            if number % 2:  # a reset, as after a kill with unread bytes
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1" + b"\0" * 7)
            client.close()
        self.wait_until_ended(20, 3)  # a second, on a machine with time
        stays.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            stays.recv(1)  # nothing is sent to who is there
        self.server.request("DELETE", self.path)
        stays.settimeout(20 * SLOW)
        self.assertTrue(stays.recv(65536).startswith(b"HTTP/1.1 200 "))
        stays.close()

    def test_2_a_client_that_is_killed(self):
        client = subprocess.Popen(["curl", "-s", "-H", "Prefer: wait=45", self.server.url + self.path])
        time.sleep(0.5 * SLOW)
        self.assertEqual(self.ended(), 0)
        client.kill()
        client.wait()
        self.wait_until_ended(1, 3)

    def test_3_half_closed_clients_get_their_answer(self):
        """An interim response tells whether they are there; HTTP/1.0 has none, so nothing is asked."""
        new, old = self.connect(), self.connect("1.0")
        time.sleep(0.3)
        for client in (new, old):
            client.shutdown(socket.SHUT_WR)
        time.sleep(1)
        self.assertEqual(self.ended(), 0)
        self.server.request("DELETE", self.path)
        said = []
        for client in (new, old):
            client.settimeout(20 * SLOW)
            text = b""
            while b'"canceled"' not in text:
                data = client.recv(65536)
                self.assertTrue(data, (client is old, text, self.server.log_text()[-1500:]))
                text += data
            said.append(text)
            client.close()
        interim, _, rest = said[0].partition(b"\r\n\r\n")
        self.assertEqual(interim, b"HTTP/1.1 100 Continue")
        self.assertTrue(rest.startswith(b"HTTP/1.1 200 "), rest[:100])
        self.assertTrue(said[1].startswith(b"HTTP/1."), said[1][:100])
        self.assertIn(b" 200 ", said[1].split(b"\r\n")[0])

    def test_4_many_half_closed_clients_are_answered_at_once(self):
        """libmicrohttpd would close those whose end it reads before it asks for the answer."""
        clients = []
        for number in range(60):
            client = self.connect(("1.1", "1.0")[number % 2])
            if number % 4 < 2:
                client.shutdown(socket.SHUT_WR)  # perhaps before the request is read
            clients.append(client)
        time.sleep(0.3)
        for number, client in enumerate(clients):
            if number % 4 >= 2:
                client.shutdown(socket.SHUT_WR)
        time.sleep(0.5)
        self.assertEqual(self.ended(), 0)
        self.server.request("DELETE", self.path)
        for number, client in enumerate(clients):
            client.settimeout(20 * SLOW)
            text = b""
            while data := client.recv(65536):
                text += data
            self.assertEqual((text.count(b" 200 OK"), text.count(b'"state":"canceled"')), (1, 1), (number, text))
            client.close()

    def test_5_half_closed_python_and_then_leaving(self):
        """A client of the field skips the interim response; one that leaves later is noticed, too."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20 * SLOW)
        connection.request("GET", self.path, headers={"Prefer": "wait=45"})
        later = self.connect()
        time.sleep(0.3)
        connection.sock.shutdown(socket.SHUT_WR)
        later.shutdown(socket.SHUT_WR)
        time.sleep(0.6)
        later.close()  # its kernel has already taken the interim response unread: a reset
        self.wait_until_ended(1, 3)
        self.server.request("DELETE", self.path)
        answer = connection.getresponse()
        self.assertEqual((answer.status, b"canceled" in answer.read()), (200, True))
        connection.close()

    def test_6_unix_socket(self):
        """The last one: it takes the data over."""
        folder = tempfile.mkdtemp(prefix="calotype-leave-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        self.server.stop()
        name = f"{folder}/s"
        server = subprocess.Popen([str(harness.SERVER), "--listen", f"unix:{name}", "--data",
                                   str(self.server.data)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.assertIn(b"listening", server.stdout.readline())
            client = socket.socket(socket.AF_UNIX)
            client.connect(name)
            client.sendall(wait_request(self.path, 45))
            time.sleep(0.5)
            client.close()
            began = time.monotonic()
            for line in server.stderr:
                if f"method=GET path={self.path} ".encode() in line:
                    break
            self.assertLess(time.monotonic() - began, 3 * SLOW)
        finally:
            server.terminate()
            server.communicate()
        self.assertEqual(server.returncode, 0)
        self.server.start()


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


def cpu_s(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def open_connections(server):
    text = server.get("/metrics").body.decode()
    return int(float(re.search(r"^calotype_http_connections (\S+)$", text, re.M).group(1)))


class Many(unittest.TestCase):
    """Few in the short form, 10,000 in the long one: what they cost, and how soon all are woken."""

    COUNT = 10000 if harness.LONG else 500

    def check_leaving(self, server):
        """As many wait for a job, and leave at once."""
        server.request("POST", self.path + "/retry")
        server.kill()
        postpone(server)
        server.start()
        crowd = Crowd(server, [wait_request(self.path, 50)] * self.COUNT)
        time.sleep(0.5)
        before, began = cpu_s(server), time.monotonic()
        time.sleep(1)
        waiting = cpu_s(server) - before
        before, began = cpu_s(server), time.monotonic()
        crowd.close()
        while open_connections(server) > 1:
            self.assertLess(time.monotonic() - began, 20 * SLOW)
            time.sleep(0.05)
        print(f"{self.COUNT} waiters: a second of waiting takes {waiting:.3f} s of CPU; they leave, and "
              f"are gone after {time.monotonic() - began:.2f} s and {cpu_s(server) - before:.3f} s of CPU")
        if harness.VARIANT == "gcc" and harness.LONG:
            self.assertLess(waiting, 0.1)

    def test_many_are_woken_at_once(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
        limit = str(self.COUNT + 100)
        with Server("--workers", "1", "--max-connections", limit, "--max-per-address", limit) as server:
            path = server.request("PUT", "/images/x.jpg", body=image("photo.jpg"))["Location"]
            self.path = path
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
            self.check_leaving(server)
            if harness.VARIANT in ("asan", "tsan"):
                return  # it is not the figures that are tested there
            self.assertLessEqual(each, 16 * 1024)
            if harness.LONG:  # the short form shares its machine with others
                self.assertLess(took, 0.5)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


if __name__ == "__main__":
    harness.main()
