"""What refusals say: members of the problem, fields that every answer owes, lines in the log."""

import base64
import json
import re
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import SERVER, SLOW, Server

TUS = {"Tus-Resumable": "1.0.0"}
UPLOAD = "/uploads/" + "0" * 32


def make_key(data, scope):
    done = subprocess.run([str(SERVER), "key", "add", "--data", str(data), "--scope", scope],
                          stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


def access_lines(server):
    """The access log as dictionaries."""
    lines = re.findall(r" http\.request (.*)", server.log_text())
    return [dict(re.findall(r'(\w+)=("(?:\\.|[^"])*"|\S+)', line)) for line in lines]


def wait_line(server, **want):
    """The last line with these values, once it is there."""
    end = time.monotonic() + 5 * SLOW
    while True:
        for line in reversed(access_lines(server)):
            if all(line.get(name) == value for name, value in want.items()):
                return line
        if time.monotonic() > end:
            raise AssertionError(f"no line with {want} in {access_lines(server)[-5:]}")
        time.sleep(0.02)


class Open(unittest.TestCase):
    """A server without keys."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-file", "1M", "--max-per-address", "8").start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def raw(self, data):
        """All that the server answers to these bytes."""
        with socket.create_connection(("127.0.0.1", self.server.port), 20 * SLOW) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def test_a_passed_limit_is_named_with_the_value(self):
        for path, limit, value in (("/jobs?limit=201", 200, 201), ("/images?limit=9999", 200, 9999)):
            problem = self.server.get(path).json()
            self.assertEqual((problem["limit"], problem["value"]), (limit, value), problem)
        answer = self.server.request("POST", "/images", body=bytes(1_100_000))
        self.assertEqual((answer.status, answer.json()["limit"], answer.json()["value"]),
                         (413, 1 << 20, 1_100_000))
        for path, limit, value in (("/" + "a" * 5000, 4096, 5001), ("/?" + "a" * 9000, 8191, 9002)):
            answer = self.server.get(path)
            self.assertEqual((answer.status, answer.json()["limit"], answer.json()["value"]),
                             (414, limit, value))
        answer = self.server.request("GET", "/jobs", body=b"abc")
        self.assertEqual((answer.status, answer.json()["limit"], answer.json()["value"]), (413, 0, 3))
        answer = self.server.request("POST", "/uploads", body=b"abc", headers={
            "Upload-Length": "2", "Content-Type": "application/offset+octet-stream", **TUS})
        self.assertEqual((answer.status, answer.json()["limit"], answer.json()["value"]), (413, 2, 3))

    def test_a_limit_of_names_and_fields_is_named(self):
        long = "n" * 300
        photo = harness.image("small.jpg")
        for method, path, headers, value in (
                ("PUT", f"/images/{long}", {}, 300),
                ("POST", f"/images?filename={long}", {}, 300),
                ("POST", "/images", {"Content-Disposition": f'attachment; filename="{long}"'}, None)):
            answer = self.server.request(method, path, body=photo, headers=headers)
            problem = answer.json()
            self.assertEqual((answer.status, problem["limit"], problem.get("value")),
                             (400, 255, value), problem)
        answer = self.server.request(
            "POST", "/images", headers={"Content-Type": "multipart/form-data; boundary=b"},
            body=f'--b\r\nContent-Disposition: form-data; name="f"; filename="{long}"\r\n\r\nx\r\n'
                 "--b--\r\n".encode())
        self.assertEqual(answer.json()["jobs"][0]["error"]["limit"], 255)
        name = base64.b64encode(long.encode()).decode()
        for metadata, limit, value in (("a " + "A" * 4100, 4096, 4102),
                                       (",".join(f"k{n} AA==" for n in range(65)), 64, 65),
                                       (f"filename {name}", 255, None)):
            answer = self.server.request("POST", "/uploads", headers={
                "Upload-Length": "5", "Upload-Metadata": metadata, **TUS})
            problem = answer.json()
            self.assertEqual((answer.status, problem["limit"], problem.get("value")),
                             (400, limit, value), problem)

    def test_a_limit_of_heads_is_named(self):
        fields = "".join(f"X-{n}: 1\r\n" for n in range(119))
        for head, status, limit, value in (
                (f"GET /jobs HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n", 431, 100, 120),
                ("GET /jobs HTTP/1.1\r\nHost: localhost\r\nX: " + "x" * 17000, 431, 16383, None),
                (f"PUT /images/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 63}\r\n\r\n",
                 413, (1 << 63) - 1, None)):
            answer = self.raw(head.encode())
            self.assertTrue(answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:300])
            problem = json.loads(answer.split(b"\r\n\r\n", 1)[1])
            self.assertEqual((problem["limit"], problem.get("value")), (limit, value), problem)

    def test_too_many_connections_are_told_the_limit(self):
        held = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(8)]
        try:
            answer = self.server.get("/livez")
            while answer.status == 200 and len(held) < 20:
                # One of them was too many while the last test's connection had not quite ended.
                held.append(socket.create_connection(("127.0.0.1", self.server.port)))
                answer = self.server.get("/livez")
            self.assertEqual((answer.status, answer["Retry-After"]), (429, "1"))
            self.assertEqual((answer.json()["limit"], answer.json()["value"]), (8, 9))
        finally:
            for client in held:
                client.close()
        end = time.monotonic() + 5 * SLOW
        while self.server.get("/livez").status != 200:
            self.assertLess(time.monotonic(), end)

    def test_a_wrong_offset_is_told_the_right_one(self):
        path = self.server.request("POST", "/uploads", headers={"Upload-Length": "9", **TUS})["Location"]
        answer = self.server.request("PATCH", path, body=b"x", headers={
            "Upload-Offset": "5", "Content-Type": "application/offset+octet-stream", **TUS})
        self.assertEqual((answer.status, answer["Upload-Offset"]), (409, "0"))
        self.assertEqual(answer.json()["offset"], 0)

    def test_tus_resumable_is_in_every_answer_below_uploads(self):
        for method, path, status in (("GET", "/uploads", 405), ("PUT", UPLOAD, 405),
                                     ("GET", "/uploads/a/b", 404), ("HEAD", UPLOAD, 404),
                                     ("OPTIONS", UPLOAD, 204), ("OPTIONS", "/uploads/a/b", 404)):
            answer = self.server.request(method, path)
            self.assertEqual((answer.status, answer["Tus-Resumable"]), (status, "1.0.0"), (method, path))
        self.assertIsNone(self.server.get("/jobs/x")["Tus-Resumable"])
        answer = self.server.request("HEAD", UPLOAD, body=b"abc", headers=TUS)
        self.assertEqual((answer.status, answer["Tus-Resumable"]), (413, "1.0.0"))
        answer = self.raw(f"HEAD {UPLOAD} HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n".encode())
        self.assertRegex(answer, rb"^HTTP/1\.1 400 (.|\n)*\r\nTus-Resumable: 1\.0\.0\r\n")

    def test_options_names_the_methods_of_every_resource(self):
        for path, methods in (("/uploads", "POST, OPTIONS"), (UPLOAD, "HEAD, POST, PATCH, DELETE, OPTIONS"),
                              ("/jobs", "GET, HEAD, OPTIONS"), ("/images", "GET, HEAD, POST, OPTIONS"),
                              ("/i/x", "GET, HEAD, OPTIONS"), ("/i/x/original", "GET, HEAD, OPTIONS"),
                              ("/blobs/x", "GET, HEAD, OPTIONS"), ("/livez", "GET, HEAD, OPTIONS")):
            answer = self.server.request("OPTIONS", path)
            self.assertEqual((answer.status, answer["Allow"]), (204, methods), path)

    def test_lists_on_several_lines_and_fields_that_are_none(self):
        image = self.server.upload(harness.image("small.jpg"))
        path = f"/blobs/{image['sha256']}"
        etag = self.server.head(path)["ETag"]
        answer = self.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: \"x\"\r\n"
                          f"If-None-Match: {etag}\r\n\r\n".encode())
        self.assertTrue(answer.startswith(b"HTTP/1.1 304 "), answer[:300])
        for name in ("Range: bytes=0-1", f"If-Range: {etag}", "Authorization: Bearer x"):
            answer = self.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{name}\r\n{name}\r\n\r\n".encode())
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer[:300])
            self.assertIn(f"the field {name.split(':')[0]} came twice".encode(), answer)
        answer = self.raw(b"POST /uploads HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                          b"Upload-Length: 5\r\nUpload-Length: 5\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 ") and b"Upload-Length came twice" in answer)

    def test_a_refused_head_is_in_the_log(self):
        self.raw(b"GET /refused?secret HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n")
        line = wait_line(self.server, path="/refused")
        self.assertEqual((line["status"], line["method"]), ("400", "GET"))
        self.raw(b"GET /refused\x1b[2J HTTP/1.1\r\nHost: localhost\r\n\r\n")
        line = wait_line(self.server, path=r'"/refused\u001b[2J"')
        self.assertEqual(line["status"], "400")
        self.raw(b"PUT /fields HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 300_000 + b"\r\n\r\n")
        self.assertEqual(wait_line(self.server, path="/fields")["status"], "431")
        self.assertNotIn("secret", self.server.log_text())

    def test_a_client_that_leaves_has_no_status(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertIn(b" 200 ", client.recv(65536))
            client.sendall(b"PUT /images/left HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
            time.sleep(0.1)
        self.assertEqual(wait_line(self.server, path="/images/left")["status"], "0")


class Stop(unittest.TestCase):
    def test_what_is_cut_off_at_the_stop_is_a_503_with_its_status_in_the_log(self):
        with tempfile.TemporaryDirectory() as data, Server(data=data) as server:
            path = server.request("POST", "/uploads", headers={"Upload-Length": "900", **TUS})["Location"]
            client = socket.create_connection(("127.0.0.1", server.port), 20 * SLOW)
            client.sendall(f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                           "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\n"
                           "Content-Length: 900\r\n\r\nabc".encode())
            time.sleep(0.3)
            self.assertEqual(server.stop(), 0)
            with client:
                answer = b"".join(iter(lambda: client.recv(65536), b""))
            self.assertRegex(answer, rb"^HTTP/1\.1 503 (.|\n)*\r\nTus-Resumable: 1\.0\.0\r\n")
            self.assertIn(b'"code":"shutting_down"', answer)
            self.assertEqual(wait_line(server, method="PATCH")["status"], "503")


class Keys(unittest.TestCase):
    def test_a_missing_scope_is_named(self):
        with tempfile.TemporaryDirectory() as data:
            reader, writer = make_key(data, "read"), make_key(data, "write")
            with Server(data=data) as server:
                for key, method, path, scope in ((reader, "POST", "/uploads", "write"),
                                                 (writer, "GET", "/jobs", "read")):
                    answer = server.request(method, path, headers={"Authorization": f"Bearer {key}"})
                    self.assertEqual((answer.status, answer.json()["required_scope"]), (403, scope))
                    self.assertIn(f'scope="{scope}"', answer["WWW-Authenticate"])
                answer = server.request("POST", "/uploads")
                self.assertEqual((answer.status, answer["Tus-Resumable"]), (401, "1.0.0"))


if __name__ == "__main__":
    harness.main()
