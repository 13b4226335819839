"""Whole uploads over real sockets: what is taken, what is refused and how."""

import hashlib
import http.client
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

import harness
from harness import Server, image


def raw(port, data, timeout=20):
    """Sends bytes, reads until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout * harness.SLOW) as connection:
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


class Whole(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def check_problem(self, answer, status, code):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer["Content-Type"], "application/problem+json")
        problem = answer.json()
        self.assertEqual(problem["code"], code)
        self.assertEqual(problem["type"], f"urn:calotype:problem:{code}")
        self.assertEqual(problem["status"], status)
        self.assertTrue(problem["request_id"])
        return problem

    def test_put_makes_an_image(self):
        data = image("small.jpg")
        answer = self.server.request("PUT", "/images/My%20Photo.jpg", body=data)
        self.assertEqual(answer.status, 202, answer)
        self.assertRegex(answer["Location"], r"^/jobs/[0-9a-f]{32}$")
        self.assertIn(f'<{answer["Location"]}>; rel="status"', answer["Link"])
        self.assertEqual(len(answer.json()["jobs"]), 1)
        job = self.server.wait_job(answer["Location"])
        self.assertEqual(job["state"], "succeeded", job)
        self.assertNotIn("error", job)
        made = job["response"]["image"]
        self.assertEqual(made["sha256"], hashlib.sha256(data).hexdigest())
        self.assertEqual(made["size"], len(data))
        self.assertEqual(made["type"], "image/jpeg")
        self.assertEqual(made["filename"], "My Photo.jpg")
        self.assertEqual(self.server.get(f'/images/{made["id"]}').json(), made)

    def test_post_raw_body(self):
        for name, kind in (("small.png", "image/png"), ("small.webp", "image/webp"),
                           ("small.gif", "image/gif")):
            answer = self.server.request("POST", "/images", body=image(name))
            self.assertEqual(answer.status, 202, answer)
            job = self.server.wait_job(answer["Location"])
            self.assertEqual(job["state"], "succeeded", job)
            self.assertEqual(job["response"]["image"]["type"], kind)

    def test_chunked_body(self):
        data = image("small.jpg")
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.request("PUT", "/images/chunked.jpg", encode_chunked=True,
                           body=(data[i:i + 777] for i in range(0, len(data), 777)),
                           headers={"Transfer-Encoding": "chunked"})
        answer = connection.getresponse()
        self.assertEqual(answer.status, 202, answer.read())
        job = self.server.wait_job(answer.getheader("Location"))
        self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(data).hexdigest())
        connection.close()

    def test_curl_upload_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "from curl.jpg")
            with open(path, "wb") as file:
                file.write(image("small.jpg"))
            done = subprocess.run(["curl", "-sS", "-f", "-T", path, f"{self.server.url}/images/"],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)
            done = subprocess.run(["curl", "-sS", "-f", "--data-binary", f"@{path}",
                                   f"{self.server.url}/images"],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr + done.stdout)

    def test_body_is_not_the_file(self):
        for method, path in (("PUT", "/images/x.jpg"), ("POST", "/images")):
            part = self.server.request(method, path, body=image("small.jpg"),
                                       headers={"Content-Range": "bytes 0-9/100"})
            self.assertEqual((part.status, part.json()["code"]), (400, "invalid_header"))
            self.assertIn("/uploads", part.json()["detail"])
            coded = self.server.request(method, path, body=image("small.jpg"),
                                        headers={"Content-Encoding": "gzip"})
            self.assertEqual((coded.status, coded.json()["code"]), (415, "unsupported_encoding"))
            self.assertEqual(coded["Accept-Encoding"], "identity")
            plain = self.server.request(method, path, body=image("small.jpg"),
                                        headers={"Content-Encoding": "identity"})
            self.assertEqual(plain.status, 202)

    def test_empty_is_refused(self):
        self.check_problem(self.server.request("PUT", "/images/a.jpg", body=b""), 400, "empty_body")
        self.check_problem(self.server.request("POST", "/images", body=b""), 400, "empty_body")

    def test_no_body_at_all(self):
        for line in (b"PUT /images/a.jpg", b"POST /images"):
            answer = raw(self.server.port, line + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer[:200])
            self.assertIn(b'"empty_body"', answer)

    def test_type_is_refused_after_64_kib(self):
        """A large file of the wrong type is refused before it has all come."""
        size = 150_000_000
        head = f"PUT /images/x.jpg HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
        answer = raw(self.server.port, head + b"plain text, no photo\n" * 20000)
        self.assertTrue(answer.startswith(b"HTTP/1.1 415 "), answer[:200])
        self.assertIn(b"unsupported_type", answer)
        self.assertIn(b"image/webp", answer)  # says what would be right

    def test_small_wrong_type(self):
        problem = self.check_problem(
            self.server.request("PUT", "/images/x.jpg", body=b"hello, I am text\n"),
            415, "unsupported_type")
        self.assertIn("text/plain", problem["detail"])

    def test_broken_connection_leaves_nothing(self):
        before = set(os.listdir(self.server.data / "staging"))
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(b"PUT /images/x.jpg HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n")
            connection.sendall(image("small.jpg")[:2000])
        self.assertEqual(set(os.listdir(self.server.data / "staging")), before)

    def test_two_images_of_one_blob(self):
        data = image("small.png")
        first, second = self.server.upload(data, "one.png"), self.server.upload(data, "two.png")
        self.assertNotEqual(first["id"], second["id"])
        self.assertEqual(first["sha256"], second["sha256"])
        digest = first["sha256"]
        path = self.server.data / "objects" / digest[:2] / digest[2:]
        self.assertEqual(path.read_bytes(), data)
        self.assertEqual(path.stat().st_mode & 0o777, 0o444)

    def test_same_bytes_at_once(self):
        data = image("small.jpg") + os.urandom(16)  # trailing bytes do no harm to a JPEG
        answers = []

        def put():
            answers.append(self.server.request("PUT", "/images/same.jpg", body=data))
        threads = [threading.Thread(target=put) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([a.status for a in answers], [202] * 8)
        digests = {self.server.wait_job(a["Location"])["response"]["image"]["sha256"]
                   for a in answers}
        self.assertEqual(digests, {hashlib.sha256(data).hexdigest()})

    def test_unknown_address_and_method(self):
        self.check_problem(self.server.get("/nothing"), 404, "not_found")
        answer = self.server.request("PATCH", "/images")
        self.check_problem(answer, 405, "method_not_allowed")
        self.assertIn("POST", answer["Allow"])

    def test_filename_is_hostile(self):
        for name in ("%2e%2e%2f%2e%2e%2fetc%2fpasswd", "a%0d%0aX-Evil:%201.jpg", "%3Cscript%3E.jpg"):
            answer = self.server.request("PUT", f"/images/{name}", body=image("small.jpg"))
            self.assertIn(answer.status, (202, 400), answer)
            self.assertIsNone(answer["X-Evil"])
            if answer.status == 202:
                made = self.server.wait_job(answer["Location"])["response"]["image"]
                self.assertNotIn("/", made["filename"])
                self.assertNotIn("\n", made["filename"])


class Limits(unittest.TestCase):
    def test_declared_and_chunked_size(self):
        with Server("--max-file", "64K") as server:
            answer = server.request("PUT", "/images/x.jpg", body=image("small.jpg") + bytes(70000))
            self.assertEqual(answer.status, 413, answer)
            problem = answer.json()
            self.assertEqual(problem["code"], "too_large")
            self.assertIn("65536", answer.body.decode())
            chunked = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in
                               [image("small.jpg")] + [bytes(9000)] * 10) + b"0\r\n\r\n"
            answer = raw(server.port, b"PUT /images/x.jpg HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                      b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
            self.assertTrue(answer.startswith(b"HTTP/1.1 413 "), answer[:200])
            self.assertEqual(os.listdir(server.data / "staging"), [])

    def test_space(self):
        size = shutil.disk_usage(tempfile.gettempdir()).total  # what is free changes meanwhile
        with Server("--reserve", str(size)) as server:
            answer = server.request("PUT", "/images/x.jpg", body=image("small.jpg"))
            self.assertEqual(answer.status, 507, answer)
            self.assertEqual(answer.json()["code"], "insufficient_space")
            self.assertEqual(answer.json()["value"], len(image("small.jpg")))
            self.assertLess(answer.json()["limit"], len(image("small.jpg")))
            answer = server.request("POST", "/uploads", headers={
                "Tus-Resumable": "1.0.0", "Upload-Length": "1000"})
            self.assertEqual(answer.status, 507, answer)
            self.assertEqual(answer.json()["value"], 1000)

    def test_any_file(self):
        text = b"<html><script>alert(1)</script>" * 20
        with Server("--accept", "*/*") as server:
            made = server.upload(text, "page.html")
            self.assertEqual(made["type"], "text/html")
            self.assertEqual(made["prints"], [])
            blob = server.get(f'/blobs/{made["sha256"]}')
            self.assertEqual(blob.status, 200)
            self.assertEqual(blob.body, text)
            self.assertTrue(blob["Content-Disposition"].startswith("attachment"), blob)
            self.assertEqual(blob["X-Content-Type-Options"], "nosniff")
            self.assertIn("sandbox", blob["Content-Security-Policy"])
            self.assertEqual(server.get(f'/i/{made["id"]}').status, 404)


if __name__ == "__main__":
    harness.main()
