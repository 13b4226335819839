"""docker/nginx.conf and docker/Caddyfile as they are, with a certificate of our own: whole uploads,
uploads that break off and resume, downloads in parts, through TLS with a key."""

import hashlib
import http.client
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

import harness
from harness import Answer, Server, image

TUS = {"Tus-Resumable": "1.0.0"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """What both have in common: a server that trusts them, a certificate, requests over TLS."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", cls.folder / "privkey.pem", "-out", cls.folder / "fullchain.pem",
             "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        cls.context = ssl.create_default_context(cafile=cls.folder / "fullchain.pem")
        cls.server = Server("--trusted-proxies", "127.0.0.1").start()
        cls.addClassCleanup(cls.server.__exit__)
        done = subprocess.run([str(harness.SERVER), "key", "add", "--data", str(cls.server.data),
                               "--scope", "read,write"], capture_output=True, text=True, check=True)
        cls.key = done.stdout.strip()
        cls.port, cls.plain_port = free_port(), free_port()
        cls.log = open(cls.folder / "proxy.log", "wb")
        cls.process = cls.start()
        cls.addClassCleanup(cls.end)
        cls.wait_until_it_answers()

    @classmethod
    def end(cls):
        cls.process.terminate()
        cls.process.wait(20)
        cls.log.close()

    @classmethod
    def wait_until_it_answers(cls):
        end = time.monotonic() + 20 * harness.SLOW
        while True:
            try:
                socket.create_connection(("127.0.0.1", cls.port), 1).close()
                return
            except OSError:
                text = (cls.folder / "proxy.log").read_text()
                assert cls.process.poll() is None and time.monotonic() < end, text
                time.sleep(0.05)

    def connect(self, source="127.0.0.1"):
        plain = socket.create_connection(("127.0.0.1", self.port), 30, source_address=(source, 0))
        return self.context.wrap_socket(plain, server_hostname="localhost")

    def request(self, method, path, body=None, source="127.0.0.1", key=True, **headers):
        connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=30 * harness.SLOW, context=self.context,
            source_address=(source, 0))
        # A bare system may lack the name.
        connection._create_connection = lambda address, *more, **rest: socket.create_connection(
            ("127.0.0.1", address[1]), *more, **rest)
        try:
            headers = harness.dashed(headers)
            if key:
                headers["Authorization"] = f"Bearer {self.key}"
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def wait_job(self, path):
        end = time.monotonic() + 60 * harness.SLOW
        while time.monotonic() < end:
            job = self.request("GET", path).json()
            if job["done"]:
                self.assertEqual(job["state"], "succeeded", job)
                return job["response"]["image"]
            time.sleep(0.1)
        self.fail("the job does not end")

    def test_whole_upload_and_downloads(self):
        data = image("photo.jpg")
        answer = self.request("PUT", "/images/a.jpg", body=data)
        self.assertEqual(answer.status, 202, answer)
        self.assertTrue(answer["Location"].startswith("/jobs/"))
        made = self.wait_job(answer["Location"])
        self.assertEqual(made["sha256"], hashlib.sha256(data).hexdigest())
        self.assertEqual(self.request("GET", made["url"], key=False).status, 200)
        self.assertEqual(self.request("GET", made["original"], key=False).status, 401)
        self.assertEqual(self.request("GET", made["original"]).body, data)
        part = self.request("GET", f'/blobs/{made["sha256"]}', Range="bytes=100000-199999")
        self.assertEqual((part.status, part.body), (206, data[100_000:200_000]))
        self.assertEqual(part["Content-Range"], f"bytes 100000-199999/{len(data)}")
        known = self.request("GET", made["url"], If_None_Match=self.request("GET", made["url"])["ETag"])
        self.assertEqual(known.status, 304)

    def staged(self):
        return max((p.stat().st_size if p.stat().st_blocks else 0
                    for p in (self.server.data / "staging").iterdir()), default=0)

    def test_upload_breaks_off_and_resumes(self):
        data = image("photo.jpg") + b"tls"
        half = len(data) // 2
        answer = self.request("POST", "/uploads", Tus_Resumable="1.0.0", Upload_Length=str(len(data)))
        self.assertEqual(answer.status, 201, answer)
        upload = answer["Location"]
        with self.connect() as sock:
            sock.sendall((f"PATCH {upload} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                          f"Authorization: Bearer {self.key}\r\nUpload-Offset: 0\r\n"
                          "Content-Type: application/offset+octet-stream\r\n"
                          f"Content-Length: {len(data)}\r\n\r\n").encode() + data[:half])
            # it is passed on as it comes: the server has it while the proxy still waits for more
            end = time.monotonic() + 10 * harness.SLOW
            while self.staged() < half * 3 // 4 and time.monotonic() < end:
                time.sleep(0.05)
            self.assertGreaterEqual(self.staged(), half * 3 // 4)
        end = time.monotonic() + 20 * harness.SLOW
        while True:
            answer = self.request("HEAD", upload, Tus_Resumable="1.0.0")
            if answer.status == 200 and int(answer["Upload-Offset"]) > 0:
                break
            self.assertLess(time.monotonic(), end, answer)
            time.sleep(0.1)
        offset = int(answer["Upload-Offset"])
        self.assertTrue(half * 3 // 4 <= offset <= half, (offset, half))
        answer = self.request("PATCH", upload, body=data[offset:], Tus_Resumable="1.0.0",
                              Upload_Offset=str(offset),
                              Content_Type="application/offset+octet-stream")
        self.assertEqual((answer.status, answer["Upload-Offset"]), (204, str(len(data))))
        made = self.wait_job(re.search(r"<(/jobs/[0-9a-f]{32})>", answer["Link"]).group(1))
        self.assertEqual(made["sha256"], hashlib.sha256(data).hexdigest())

    def test_the_client_is_known_and_cannot_be_made_up(self):
        answer = self.request("GET", "/images", source="127.0.0.3", X_Forwarded_For="6.6.6.6",
                              Forwarded="for=7.7.7.7;proto=http", X_Forwarded_Proto="http",
                              X_Request_Id="who-is-it")
        self.assertEqual(answer.status, 200, answer)
        end = time.monotonic() + 5  # its line is written when all is over
        while "id=who-is-it" not in self.server.log_text() and time.monotonic() < end:
            time.sleep(0.05)
        self.assertRegex(self.server.log_text(), "id=who-is-it peer=127.0.0.3 ")

    def test_refusals_come_through(self):
        body = b"x" * 3_000_000
        answer = self.request("PUT", "/images/a.jpg", body=body[:100_000], key=False)
        self.assertEqual((answer.status, answer.json()["code"]), (401, "unauthorized"))
        self.assertEqual(self.request("PUT", "/images/a.jpg", body=body).status, 415)

    def test_upgrade_to_tls(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.plain_port, timeout=30)
        connection.request("GET", "/images?limit=1", headers={"Host": "localhost"})
        response = connection.getresponse()
        self.assertEqual(response.status, 308)
        self.assertRegex(response.getheader("Location"), r"^https://localhost(:\d+)?/images\?limit=1$")
        connection.close()


class Nginx(Proxy, unittest.TestCase):
    @classmethod
    def start(cls):
        text = (harness.ROOT / "docker/nginx.conf").read_text()
        for old, new in (("server calotype:8080;", f"server 127.0.0.1:{cls.server.port};"),
                         ("listen 8443 ssl", f"listen 127.0.0.1:{cls.port} ssl"),
                         ("listen 8080;", f"listen 127.0.0.1:{cls.plain_port};"),
                         (" /tmp/", f" {cls.folder}/"), (" /tls/", f" {cls.folder}/")):
            assert old in text, old
            text = text.replace(old, new)
        path = cls.folder / "nginx.conf"
        path.write_text(text)
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        return subprocess.Popen([program, "-e", "stderr", "-c", str(path), "-g", "daemon off;"],
                                stdout=cls.log, stderr=cls.log)


class Caddy(Proxy, unittest.TestCase):
    @classmethod
    def start(cls):
        text = (harness.ROOT / "docker/Caddyfile").read_text()
        for old, new in (("photos.example.org {", f"localhost {{\n\ttls {cls.folder}/fullchain.pem "
                                                  f"{cls.folder}/privkey.pem"),
                         ("127.0.0.1:8080", f"127.0.0.1:{cls.server.port}")):
            assert old in text, old
            text = text.replace(old, new)
        path = cls.folder / "Caddyfile"
        path.write_text(f"{{\n\tadmin off\n\thttp_port {cls.plain_port}\n\thttps_port {cls.port}\n}}\n{text}")
        return subprocess.Popen(
            ["caddy", "run", "--adapter", "caddyfile", "--config", str(path)], stdout=cls.log,
            stderr=cls.log, env={"HOME": str(cls.folder), "PATH": "/usr/bin:/bin"})


if __name__ == "__main__":
    harness.main()
