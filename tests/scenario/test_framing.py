"""Hostile framing: heads and chunks that two parsers may read in two ways.

Behind each case stands a second request that a smuggler would like to be run. It never is: the
first is refused and the connection closed, at once, on a new connection and on a kept one. Then the
same cases through nginx: every request that the server ran must be one that nginx has sent.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import SLOW, Server

HOST = b"Host: localhost\r\n"
PUT = b"PUT /images/first HTTP/1.1\r\n"
GET = b"GET /livez HTTP/1.1\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


GIF = (b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;")


def put(fields, body=b"", host=HOST):
    return PUT + host + fields + b"\r\n" + body


def get(fields=b"", host=HOST, line=GET):
    return line + host + fields + b"\r\n"


def chunks(text):
    return put(CHUNKED, text)


# name: the bytes; the smuggled request follows them
CASES = {
    # two lengths
    "lengths that differ": put(b"Content-Length: 3\r\nContent-Length: 40\r\n", b"abc"),
    "lengths that differ, the longer first": put(b"Content-Length: 40\r\nContent-Length: 3\r\n", b"abc"),
    "lengths that agree": put(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"),
    "lengths, the second zero": put(b"Content-Length: 3\r\nContent-Length: 0\r\n", b"abc"),
    "lengths in two cases": put(b"Content-Length: 3\r\ncontent-length: 0\r\n", b"abc"),
    "length as a list": put(b"Content-Length: 3, 3\r\n", b"abc"),
    "length as a list that differs": put(b"Content-Length: 3, 0\r\n", b"abc"),
    # what is no number
    "length with a plus": put(b"Content-Length: +3\r\n", b"abc"),
    "length with a minus": put(b"Content-Length: -3\r\n", b"abc"),
    "length minus zero": put(b"Content-Length: -0\r\n"),
    "length in hex": put(b"Content-Length: 0x3\r\n", b"abc"),
    "length with a fraction": put(b"Content-Length: 3.0\r\n", b"abc"),
    "length with an exponent": put(b"Content-Length: 3e0\r\n", b"abc"),
    "length with a blank behind": put(b"Content-Length: 3 \r\n", b"abc"),
    "length with a tab behind": put(b"Content-Length: 3\t\r\n", b"abc"),
    "length with a blank inside": put(b"Content-Length: 3 0\r\n", b"abc"),
    "length with a vertical tab": put(b"Content-Length: \x0b3\r\n", b"abc"),
    "length with an underscore": put(b"Content-Length: 3_0\r\n", b"abc"),
    "length in quotes": put(b'Content-Length: "3"\r\n', b"abc"),
    "length in other digits": put("Content-Length: \u0663\r\n".encode(), b"abc"),
    "length without a value": put(b"Content-Length:\r\n", b"abc"),
    "length of blanks": put(b"Content-Length:   \r\n", b"abc"),
    "length 2^63": put(b"Content-Length: 9223372036854775808\r\n", b"abc"),
    "length 2^64 - 1": put(b"Content-Length: 18446744073709551615\r\n", b"abc"),
    "length 2^64": put(b"Content-Length: 18446744073709551616\r\n", b"abc"),
    "length 2^64 + 3": put(b"Content-Length: 18446744073709551619\r\n", b"abc"),
    "length of 400 digits": put(b"Content-Length: " + b"3" * 400 + b"\r\n", b"abc"),
    # a length and a coding
    "length and chunked": put(b"Content-Length: 3\r\n" + CHUNKED, b"0\r\n\r\n"),
    "chunked and length": put(CHUNKED + b"Content-Length: 3\r\n", b"0\r\n\r\n"),
    "chunked and length zero": put(CHUNKED + b"Content-Length: 0\r\n", b"0\r\n\r\n"),
    "length that covers the chunks": put(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"),
    # codings
    "coding xchunked": put(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "coding chunkedx": put(b"Transfer-Encoding: chunkedx\r\n", b"0\r\n\r\n"),
    "coding chunk": put(b"Transfer-Encoding: chunk\r\n", b"0\r\n\r\n"),
    "coding gzip, chunked": put(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "coding chunked, gzip": put(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"),
    "coding chunked, identity": put(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "coding chunked, chunked": put(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"),
    "coding identity": put(b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "coding identity with a length": put(b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n", b"abc"),
    "coding with a parameter": put(b"Transfer-Encoding: chunked;q=1\r\n", b"0\r\n\r\n"),
    "coding in quotes": put(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"),
    "coding with a comma": put(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"),
    "coding with a blank behind": put(b"Transfer-Encoding: chunked \r\n", b"0\r\n\r\n"),
    "coding with a vertical tab": put(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"),
    "coding with a form feed": put(b"Transfer-Encoding: chunked\x0c\r\n", b"0\r\n\r\n"),
    "coding without a value": put(b"Transfer-Encoding:\r\n", b"0\r\n\r\n"),
    "coding twice": put(CHUNKED + CHUNKED, b"0\r\n\r\n"),
    "coding identity, then chunked": put(b"Transfer-Encoding: identity\r\n" + CHUNKED, b"0\r\n\r\n"),
    "coding chunked, then identity": put(CHUNKED + b"Transfer-Encoding: identity\r\n", b"0\r\n\r\n"),
    "coding in HTTP/1.0": b"PUT /images/first HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
    "coding of a GET that is none": get(b"Transfer-Encoding: xchunked\r\n"),
    # names
    "blank before the colon of the coding": put(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"),
    "blank before the colon of the length": put(b"Content-Length : 3\r\n", b"abc"),
    "tab before the colon of the length": put(b"Content-Length\t: 3\r\n", b"abc"),
    "blank in a name": get(b"X Y: b\r\n"),
    "no name": get(b": b\r\n"),
    "no colon": get(b"no colon\r\n"),
    "a name of other bytes": get(b"X\x80: b\r\n"),
    "a name in brackets": get(b"X(): b\r\n"),
    "a byte before the length's name": put(b"\x0bContent-Length: 3\r\n", b"abc"),
    "a byte before the coding's name": put(b"\x00Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "quotes in a name": get(b'"X": b\r\n'),
    # folded lines
    "a folded value": get(b"X: a\r\n folded\r\n"),
    "a value folded by a tab": get(b"X: a\r\n\tfolded\r\n"),
    "a value that is only a fold": get(b"X:\r\n folded\r\n"),
    "a folded coding": put(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"),
    "a folded length": put(b"Content-Length: 3\r\n 0\r\n", b"abc"),
    "a length hidden in a fold": put(b"X: a\r\n Content-Length: 3\r\n", b"abc"),
    "a fold as the first line": GET + b" Host: localhost\r\n\r\n",
    "a line of blanks": get(b"   \r\n"),
    # NUL bytes
    "NUL in the target": get(line=b"GET /livez\x00x HTTP/1.1\r\n"),
    "NUL in the method": get(line=b"G\x00ET /livez HTTP/1.1\r\n"),
    "NUL in a value": get(b"X: a\x00b\r\n"),
    "NUL in a name": get(b"X\x00: a\r\n"),
    "NUL behind a length": put(b"Content-Length: 3\x00\x00\r\n", b"abc"),
    "NUL behind a coding": put(b"Transfer-Encoding: chunked\x00\r\n", b"0\r\n\r\n"),
    # ends of lines
    "LF behind the request line": get(line=b"GET /livez HTTP/1.1\n"),
    "LF behind a field": get(b"X: a\nY: b\r\n"),
    "LF before a length": put(b"X: a\nContent-Length: 3\r\n", b"abc"),
    "LF instead of the empty line": GET + HOST + b"\n",
    "LF everywhere": b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    "CR in a value": get(b"X: a\rb\r\n"),
    "CR that hides a length": put(b"X: a\rContent-Length: 3\r\n", b"abc"),
    "CR CR LF": get(b"X: a\r\r\n"),
    "CR in the target": get(line=b"GET /livez\r HTTP/1.1\r\n"),
    "CR CR behind the head": GET + HOST + b"\r\r\n",
    # lines whose lengths balance each other
    "balanced: LF and two blanks": get(b"X: b\r\nY:  c\r\n", host=b"Host: localhost\n"),
    "balanced: LF and no blank": put(b"X: a\r\nY: b\nContent-Length: 3\r\n", b"abc", host=b"Host:localhost\r\n"),
    "balanced: LF and a blank in the line": get(host=b"Host: localhost\nX: a\r\n", line=b"GET /livez  HTTP/1.1\r\n"),
    "balanced: NUL and two blanks": put(b"X: a\x00\r\nContent-Length:  3\r\n", b"abc", host=b"Host:localhost\r\n"),
    # request lines
    "two blanks before the target": get(line=b"GET  /livez HTTP/1.1\r\n"),
    "two blanks behind the target": get(line=b"GET /livez  HTTP/1.1\r\n"),
    "a blank in the target": get(line=b"GET /livez x HTTP/1.1\r\n"),
    "a tab in the target": get(line=b"GET /livez\tx HTTP/1.1\r\n"),
    "a control byte in the query": get(line=b"GET /livez?\x01 HTTP/1.1\r\n"),
    "DEL in the target": get(line=b"GET /livez?\x7f HTTP/1.1\r\n"),
    "a tab behind the method": get(line=b"GET\t/livez HTTP/1.1\r\n"),
    "a method that is no token": get(line=b"G(T /livez HTTP/1.1\r\n"),
    "a method in quotes": get(line=b'"GET" /livez HTTP/1.1\r\n'),
    "a blank before the method": get(line=b" GET /livez HTTP/1.1\r\n"),
    "a blank behind the version": get(line=b"GET /livez HTTP/1.1 \r\n"),
    "version 2.0": get(line=b"GET /livez HTTP/2.0\r\n"),
    "version 0.9": b"GET /livez\r\n",
    "version in small letters": get(line=b"GET /livez http/1.1\r\n"),
    "version with more digits": get(line=b"GET /livez HTTP/1.10\r\n"),
    "version without a number": get(line=b"GET /livez HTTP/\r\n"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x00\x05hello\r\n",
    "a target without a slash": get(line=b"GET livez HTTP/1.1\r\n"),
    "a target of nothing": get(line=b"GET  HTTP/1.1\r\n"),
    # hosts
    "no host": get(host=b""),
    "two hosts": get(host=HOST + b"Host: i\r\n"),
    "two hosts that agree": get(host=HOST + b"host: h\r\n"),
    "two hosts in HTTP/1.0": get(host=HOST + HOST, line=b"GET /livez HTTP/1.0\r\n"),
    # values
    "DEL in a value": get(b"X: a\x7f\r\n"),
    "an escape in a value": get(b"X: a\x1b[2J\r\n"),
    # chunks
    "chunk size of letters": chunks(b"g\r\nabc\r\n0\r\n\r\n"),
    "chunk size with 0x": chunks(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with a minus": chunks(b"-3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with a plus": chunks(b"+3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with a blank before": chunks(b" 3\r\nabc\r\n0\r\n\r\n"),
    "chunk size with a blank behind": chunks(b"3 \r\nabc\r\n0\r\n\r\n"),
    "chunk size of nothing": chunks(b"\r\nabc\r\n0\r\n\r\n"),
    "chunk size of 17 digits": chunks(b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    "chunk that is longer than its size": chunks(b"3\r\nabcdef\r\n0\r\n\r\n"),
    "chunk without CR LF": chunks(b"3\r\nabc0\r\n\r\n"),
    "chunk size with NUL": chunks(b"3\x00\r\nabc\r\n0\r\n\r\n"),
}

# Read in two ways by nobody, so taken: what follows is a request of its own.
GOOD = {
    "HTTP/1.0 without a host": b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "an empty host": get(host=b"Host:\r\n"),
    "blanks and none behind colons": get(b"X:\r\nY: \r\nZ: \t a\r\nW:b\r\n"),
    "names of every token byte": get(b"!#$%&'*+-.^_`|~09azAZ: x\r\n"),
    "bytes above 0x7f in a value": get(b"X: caf\xc3\xa9 \xff\r\n"),
    "the form for proxies": get(line=b"GET http://localhost/livez HTTP/1.1\r\n"),
    "empty lines before it": b"\r\n\r\n" + get(),
    "a body of no bytes": get(b"Content-Length: 0\r\n"),
    "leading zeros": get(b"Content-Length: 000\r\n"),
    "a chunked body with a trailer": b"PUT /images/x HTTP/1.1\r\n" + HOST + CHUNKED
                                     + b"\r\n23;ext=\"a b\"\r\n" + GIF + b"\r\n00\r\n"
                                       b"X-Trailer: a\r\nContent-Length: 7\r\n\r\n",
}

# Bodies that are allowed and not at their end: what follows is a part of them.
OPEN = {
    "length 2^20": put(b"Content-Length: 1048576\r\n"),
    "chunk size 2^20": chunks(b"100000\r\n"),
    "chunk size 2^64 - 1": chunks(b"ffffffffffffffff\r\n"),
    "chunks without an end": chunks(b"3\r\nabc\r\n200\r\n"),
}


def smuggled(number, fields=b""):
    return b"GET /smuggled/%d HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (number, fields)


def exchange(port, data, seconds=8):
    """Sends it, and reads to the end without ending itself; None: the other side did not close."""
    with socket.create_connection(("127.0.0.1", port), seconds * SLOW) as client:
        try:
            client.sendall(data)
        except OSError:
            pass  # closed in the middle: the answer may still be there
        answer = b""
        try:
            while piece := client.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        except TimeoutError:
            return None
        return answer


def statuses(answer):
    return [int(s) for s in re.findall(rb"(?:^|\n|\})HTTP/1\.[01] (\d\d\d)", answer)]


def ran(server):
    """The ids and paths that the access log has."""
    return re.findall(r" http\.request id=(\S+) .* path=(\S+) status=", server.log_text())


def wait_ran(server, path):
    end = time.monotonic() + 5 * SLOW
    while all(p != path for _, p in ran(server)):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Direct(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-file", "1M").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def check(self, number, name, data, before):
        answer = exchange(self.server.port, before + data + smuggled(number))
        self.assertIsNotNone(answer, "the connection stays open")
        found = statuses(answer)
        if before:
            self.assertEqual(found.pop(0), 200, answer[:300])
        for status in found:
            self.assertTrue(400 <= status < 500 or status == 505, answer[:600])
        # libmicrohttpd writes the head of some of its own pages twice.
        self.assertLessEqual(len(found), 2, answer[:600])

    def run_all(self, first, before):
        for number, (name, data) in enumerate(CASES.items(), first):
            with self.subTest(name):
                self.check(number, name, data, before)
        # The log is in order: once this is in it, all before is.
        self.server.get("/last/%d" % first)
        self.assertTrue(wait_ran(self.server, "/last/%d" % first))
        names = list(CASES)
        bad = [names[n] for n in self.smuggled_from(first) if n < len(names)]
        self.assertEqual(bad, [])

    def smuggled_from(self, first):
        """Which of the numbers from `first` on were run."""
        numbers = [int(path.split("/")[2]) for _, path in ran(self.server) if "/smuggled/" in path]
        return [n - first for n in numbers if first <= n < first + 1000]

    def test_what_follows_an_open_body_is_body(self):
        for number, (name, data) in enumerate(OPEN.items(), 4000):
            with self.subTest(name), socket.create_connection(("127.0.0.1", self.server.port)) as client:
                client.sendall(data + smuggled(number))
                client.settimeout(0.3)
                self.assertRaises(TimeoutError, client.recv, 1)
        self.server.get("/last/4000")
        self.assertTrue(wait_ran(self.server, "/last/4000"))
        self.assertEqual(self.smuggled_from(4000), [])

    def test_there_are_enough(self):
        self.assertGreater(len(CASES), 100)

    def test_first_on_a_connection(self):
        self.run_all(1000, b"")

    def test_later_on_a_connection(self):
        self.run_all(2000, get())

    def test_good_heads_are_taken_and_what_follows_is_a_request(self):
        """Also byte by byte. It shows, too, that a smuggled request would have been seen."""
        for number, (name, data) in enumerate(GOOD.items(), 3000):
            for drip in (False, True):
                with self.subTest(name, drip=drip):
                    path = f"/smuggled/{number}/{int(drip)}"
                    text = data + b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path.encode()
                    with socket.create_connection(("127.0.0.1", self.server.port), 20 * SLOW) as client:
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        for at in range(0, len(text) if drip else 0):
                            client.sendall(text[at:at + 1])
                        if not drip:
                            client.sendall(text)
                        answer = b"".join(iter(lambda: client.recv(65536), b""))
                    found = statuses(answer)
                    self.assertEqual(len(found), 2, answer[:600])
                    self.assertIn(found[0], (200, 202), answer[:600])
                    self.assertEqual(found[1], 404, answer[:600])
        self.server.get("/last/3000")
        self.assertTrue(wait_ran(self.server, "/last/3000"))
        self.assertEqual(len(self.smuggled_from(3000)), 2 * len(GOOD))

    def test_many_in_one_segment_are_answered_in_order(self):
        image = harness.image("small.jpg")
        text = b""
        for i in range(20):
            text += b"GET /pipe/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % i
            text += b"PUT /images/p HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(image) + image
            text += b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        text += b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = exchange(self.server.port, text, 30)
        self.assertEqual(statuses(answer), [404, 202, 200] * 20 + [200])


NGINX = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 256; }}
http {{
	log_format ids '$request_id $request_uri';
	access_log {folder}/access.log ids;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	keepalive_timeout 1s;
	client_header_timeout 2s;
	client_body_timeout 2s;
	upstream kept {{ server 127.0.0.1:{backend}; keepalive 8; }}
	proxy_set_header X-Request-Id $request_id;
	proxy_set_header Host localhost;
	server {{
		listen 127.0.0.1:{ports[0]};
		location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.0; }}
	}}
	server {{
		listen 127.0.0.1:{ports[1]};
		proxy_request_buffering off;
		location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; }}
	}}
	server {{
		listen 127.0.0.1:{ports[2]};
		proxy_request_buffering off;
		location / {{
			proxy_pass http://kept;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header X-Request-Id $request_id;
			proxy_set_header Host localhost;
		}}
	}}
}}
"""


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Nginx(unittest.TestCase):
    """A proxy of this test's own; the system's one is not touched."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-file", "1M", "--insecure").start()
        cls.folder = tempfile.mkdtemp(prefix="calotype-nginx-")
        cls.ports = free_ports(3)
        path = os.path.join(cls.folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            if os.geteuid() == 0:
                file.write("user root;")
            file.write(NGINX.format(folder=cls.folder, backend=cls.server.port, ports=cls.ports))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        cls.process = subprocess.Popen([program, "-p", cls.folder, "-e", f"{cls.folder}/error.log", "-c", path])
        end = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", cls.ports[2])):
            assert cls.process.poll() is None and time.monotonic() < end, "nginx does not start"
            time.sleep(0.02)

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait(20)
        shutil.rmtree(cls.folder)
        cls.server.__exit__()

    def sent(self):
        with open(os.path.join(self.folder, "access.log"), encoding="latin-1") as file:
            return [line.split(" ", 1) for line in file.read().splitlines()]

    def through(self, port, first):
        for number, (name, data) in enumerate(CASES.items(), first):
            with self.subTest(name):
                answer = exchange(port, data + smuggled(number, b"Connection: close\r\n"))
                self.assertIsNotNone(answer, "the connection stays open")
        self.assertEqual(self.server.get("/last/%d" % first).status, 404)
        self.assertTrue(wait_ran(self.server, "/last/%d" % first))

    def check_all(self):
        """What the server ran is what nginx has sent, each once."""
        end = time.monotonic() + 5 * SLOW
        while True:  # nginx writes its line when all is over
            sent = {i: target.split("?")[0] for i, target in self.sent()}
            if all(i in sent or "/last/" in path for i, path in ran(self.server)) or time.monotonic() > end:
                break
            time.sleep(0.05)
        ids = set()
        for i, path in ran(self.server):
            if path.startswith("/last/"):
                continue
            if i not in sent:
                self.fail(f"nginx has not sent {path}")
            self.assertFalse(i in ids, f"{path} ran twice")
            self.assertEqual(sent[i], path)
            ids.add(i)
        return ids

    def test_proxy_1_0(self):
        self.through(self.ports[0], 1000)
        self.assertGreater(len(self.check_all()), 10)

    def test_proxy_1_1(self):
        self.through(self.ports[1], 2000)
        self.assertGreater(len(self.check_all()), 10)

    def test_proxy_1_1_with_kept_connections(self):
        self.through(self.ports[2], 3000)
        self.assertGreater(len(self.check_all()), 10)

    def test_uploads_go_through(self):
        image = harness.image("small.jpg")
        for port in self.ports:
            for framing in (b"Content-Length: %d\r\n\r\n" % len(image) + image,
                            CHUNKED + b"\r\n%x\r\n" % len(image) + image + b"\r\n0\r\nX-T: a\r\n\r\n"):
                answer = exchange(port, b"PUT /images/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + framing)
                self.assertEqual(statuses(answer), [202], answer[:500])


if __name__ == "__main__":
    harness.main()
