"""Refusals before the end of a request: they reach the client, whatever it is still sending.

A small rest of the body is read and thrown away, and the connection lives on; at a large one the
connection is closed, after the answer and slowly, so that a client that only writes can read it. The long form also
waits for the deadlines of head and body, which test_limits.c has with short times.
"""

import os
import re
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import SERVER, SLOW, Server

SMALL, LARGE = 100 << 10, 100 << 20
PIECE = os.urandom(1 << 20)


def make_key(data, scope):
    done = subprocess.run([str(SERVER), "key", "add", "--data", str(data), "--scope", scope],
                          stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


def read_answer(client):
    """Status, fields and body of one answer; b"" as the status at the end of the stream."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            return b"", b"", data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = int((re.search(rb"(?i)\r\ncontent-length: (\d+)", head) or [0, 0])[1])
    while len(body) < length and (piece := client.recv(65536)):
        body += piece
    return head.split(b" ")[1], head, body


class Early(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.reader = make_key(cls.folder.name, "read")
        cls.writer = make_key(cls.folder.name, "write")
        cls.server = Server("--max-file", "150M", data=cls.folder.name).start()
        cls.little = Server("--max-file", "50K").start()  # without a key

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.little.__exit__()
        cls.folder.cleanup()

    # status, code, server, key
    def cases(self):
        yield b"401", b"unauthorized", self.server, None
        yield b"403", b"forbidden", self.server, self.reader
        yield b"413", b"too_large", self.little, None
        yield b"415", b"unsupported_type", self.server, self.writer

    @staticmethod
    def head(length, key, *fields):
        lines = ["POST /images HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *fields]
        if key:
            lines.append(f"Authorization: Bearer {key}")
        return "\r\n".join([*lines, "", ""]).encode()

    def test_a_small_body_is_drained_and_the_connection_lives_on(self):
        for status, code, server, key in self.cases():
            with self.subTest(status), socket.create_connection(("127.0.0.1", server.port), 20 * SLOW) as client:
                for _ in range(3):
                    client.sendall(self.head(SMALL, key) + PIECE[:SMALL])
                    got, head, body = read_answer(client)
                    self.assertEqual(got, status, head + body)
                    self.assertIn(b'"code":"' + code, body)
                    self.assertNotIn(b"Connection: close", head)

    def test_a_large_body_is_cut_off_readably(self):
        """The client writes, and reads only when it cannot write any more."""
        for status, code, server, key in self.cases():
            with self.subTest(status), socket.create_connection(("127.0.0.1", server.port), 20 * SLOW) as client:
                sent = 0
                try:
                    client.sendall(self.head(LARGE, key))
                    while sent < LARGE:
                        client.sendall(PIECE)
                        sent += len(PIECE)
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.assertLess(sent, LARGE // 2)
                got, head, body = read_answer(client)
                self.assertEqual(got, status, head + body)
                self.assertIn(b'"code":"' + code, body)
                self.assertIn(b"Connection: close", head)

    def test_a_client_that_is_slow_to_read_has_time(self):
        """The answer and the end come while it writes on; nothing is reset for seconds."""
        for status, _, server, key in self.cases():
            with self.subTest(status), socket.create_connection(("127.0.0.1", server.port), 20 * SLOW) as client:
                client.sendall(self.head(LARGE, key) + PIECE)
                for _ in range(10):
                    time.sleep(0.05)
                    client.sendall(PIECE[:65536])
                got, head, body = read_answer(client)
                self.assertEqual(got, status, head + body)

    def test_expect_is_answered_before_the_body(self):
        for status, code, server, key in self.cases():
            if status == b"415":
                continue  # that is in the body
            for length in (SMALL, LARGE):
                with self.subTest(status, length=length):
                    with socket.create_connection(("127.0.0.1", server.port), 20 * SLOW) as client:
                        client.sendall(self.head(length, key, "Expect: 100-continue"))
                        got, head, body = read_answer(client)
                        self.assertEqual(got, status, head + body)
                        self.assertIn(b'"code":"' + code, body)
                        self.assertEqual(client.recv(1), b"")
        with socket.create_connection(("127.0.0.1", self.server.port), 20 * SLOW) as client:
            image = harness.image("small.jpg")
            client.sendall(self.head(len(image), self.writer, "Expect: 100-continue"))
            self.assertEqual(read_answer(client)[0], b"100")
            client.sendall(image)
            self.assertEqual(read_answer(client)[0], b"202")

    def test_curl_is_told(self):
        with tempfile.NamedTemporaryFile() as file:
            file.truncate(LARGE)
            for status, code, server, key in self.cases():
                for expect in ([], ["-H", "Expect:"]):
                    with self.subTest(status, expect=expect):
                        done = subprocess.run(
                            ["curl", "-s", "-w", "\n%{http_code} %{size_upload}", *expect,
                             *(["-H", f"Authorization: Bearer {key}"] if key else []),
                             "-X", "POST", "-T", file.name, f"{server.url}/images"],
                            stdout=subprocess.PIPE, timeout=60 * SLOW, check=False)
                        body, _, figures = done.stdout.rpartition(b"\n")
                        self.assertEqual(figures.split()[0], status, done)
                        self.assertIn(b'"code":"' + code, body)
                        if not expect and status != b"415":
                            self.assertEqual(figures.split()[1], b"0", done)


class Deadlines(unittest.TestCase):
    def test_a_head_has_10_s_and_a_body_30_s_and_then_1_kib_a_second(self):
        head = b"PUT /images/x HTTP/1.1\r\nHost: localhost\r\n"
        body = head + b"Content-Length: 1000000\r\n\r\nGIF89a"
        # What is said first, then each second; and after how many seconds the 408 comes.
        cases = [(head + b"X: ", b"a", 10), (body, b"", 30), (body, b"a" * 100, 33), (body, b"a" * 2000, None)]
        with Server("--access-log=no") as server:
            clients = []
            for first, _, _ in cases:
                client = socket.create_connection(("127.0.0.1", server.port), 20)
                client.sendall(first)
                client.setblocking(False)
                clients.append(client)
            began, ended = time.monotonic(), [None] * len(cases)
            while time.monotonic() - began < 40 and None in ended[:3]:
                time.sleep(1)
                for i, client in enumerate(clients):
                    try:
                        if ended[i] is None:
                            client.send(cases[i][1])
                            if client.recv(1, socket.MSG_PEEK):
                                ended[i] = time.monotonic() - began
                    except BlockingIOError:
                        pass
            for i, (_, _, seconds) in enumerate(cases):
                if seconds is None:
                    self.assertIsNone(ended[i])
                    continue
                self.assertAlmostEqual(ended[i], seconds, delta=2.5)
                clients[i].setblocking(True)
                self.assertEqual(read_answer(clients[i])[0], b"408")
            for client in clients:
                client.close()


if not harness.LONG:
    del Deadlines  # half a minute


if __name__ == "__main__":
    harness.main()
