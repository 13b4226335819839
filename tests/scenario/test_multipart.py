"""Forms of files over real sockets: curl, a browser's FormData (Node's), and raw bytes."""

import hashlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import Server, image

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(data, name="a.jpg", head=None):
    head = head or f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
    return f"--{BOUNDARY}\r\n{head}\r\n".encode() + data + b"\r\n"


def form(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post_head(length):
    return (f"POST /images HTTP/1.1\r\nHost: localhost\r\nContent-Type: {TYPE}\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()


class Base(unittest.TestCase):
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.flags).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def post(self, body, **headers):
        return self.server.request("POST", "/images", body=body,
                                   headers={"Content-Type": TYPE, **headers})

    def check_image(self, job, data, name):
        """The entry's job ends with an image of these bytes and this name."""
        self.assertEqual(job["filename"], name)
        made = self.server.wait_job(job["id"])["response"]["image"]
        self.assertEqual(made["sha256"], hashlib.sha256(data).hexdigest())
        self.assertEqual(made["filename"], name)
        self.assertEqual(made["size"], len(data))

    def check_refused(self, entry, status, code):
        self.assertNotIn("id", entry)
        self.assertEqual(entry["error"]["status"], status, entry)
        self.assertEqual(entry["error"]["code"], code, entry)
        self.assertEqual(entry["error"]["type"], f"urn:calotype:problem:{code}")
        return entry["error"]

    def check_problem(self, answer, status, code):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer["Content-Type"], "application/problem+json")
        self.assertEqual(answer.json()["code"], code, answer)


class Clients(Base):
    def run_curl(self, *arguments):
        done = subprocess.run(["curl", "-sS", "-i", *arguments, f"{self.server.url}/images"],
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        head, _, body = done.stdout.rpartition(b"\r\n\r\n")
        return head.split(b"\r\n\r\n")[-1].decode(), json.loads(body)

    def test_curl_two_files(self):
        with tempfile.TemporaryDirectory() as folder:
            names = ("small.jpg", "small.png")
            for name in names:
                pathlib.Path(folder, name).write_bytes(image(name))
            head, answer = self.run_curl(*(f"-Ffile=@{folder}/{name}" for name in names))
            self.assertIn(" 202 ", head)
            self.assertNotIn("Location:", head)
            self.assertEqual(len(answer["jobs"]), 2)
            for job, name in zip(answer["jobs"], names):
                self.check_image(job, image(name), name)

    def test_curl_one_file_and_fields(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, 'say "ä".png')
            path.write_bytes(image("small.png"))
            head, answer = self.run_curl("-F", "note=hello", "-F", f"file=@{path}", "-F", "x=y")
            self.assertIn(" 202 ", head)
            self.assertEqual(len(answer["jobs"]), 1)
            self.assertIn(f'Location: /jobs/{answer["jobs"][0]["id"]}', head)
            self.assertIn('rel="status"', head)
            self.check_image(answer["jobs"][0], image("small.png"), 'say "ä".png')

    def test_form_data_of_a_browser(self):
        """Node's fetch and FormData are undici, after the same standard as browsers."""
        script = """
            const form = new FormData();
            const bytes = require('fs').readFileSync(process.argv[1]);
            form.append('note', 'two\\nlines');
            form.append('file', new Blob([bytes], {type: 'image/jpeg'}), 'q"u\\r\\nö\\\\t.jpg');
            form.append('none', new Blob([]), '');
            form.append('file', new Blob([bytes]));
            fetch(process.argv[2] + '/images', {method: 'POST', body: form})
                .then(async r => console.log(JSON.stringify([r.status, await r.json()])));"""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "x.jpg")
            path.write_bytes(image("small.jpg"))
            done = subprocess.run(["node", "-e", script, str(path), self.server.url],
                                  capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        status, answer = json.loads(done.stdout)
        self.assertEqual(status, 202, answer)
        self.assertEqual(len(answer["jobs"]), 2, answer)
        self.check_image(answer["jobs"][0], image("small.jpg"), "t.jpg")
        self.check_image(answer["jobs"][1], image("small.jpg"), "blob")


class Bytes(Base):
    flags = ("--accept", "*/*")

    def texts(self, count, length=20):
        return [f"{os.getpid()} {self.id()} {i}\n".encode() * length for i in range(count)]

    def test_many_in_one_piece(self):
        """More files than are finished at once stand in one piece of the body."""
        texts = self.texts(40)
        body = form(*(part(text, f"{i}.txt") for i, text in enumerate(texts)))
        answer = self.post(body)
        self.assertEqual(answer.status, 202, answer)
        jobs = answer.json()["jobs"]
        self.assertEqual(len(jobs), 40)
        self.assertIsNone(answer["Location"])
        for i in (0, 1, 20, 39):
            self.check_image(jobs[i], texts[i], f"{i}.txt")

    def test_pieces_of_any_size(self):
        texts = self.texts(3, 30)
        body = form(*(part(text, f"{i}.txt") for i, text in enumerate(texts)))
        for size in (1, 13, 4096):
            chunks = (body[i:i + size] for i in range(0, len(body), size))
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port,
                                                    timeout=60 * harness.SLOW)
            connection.request("POST", "/images", body=chunks, encode_chunked=True,
                               headers={"Content-Type": TYPE, "Transfer-Encoding": "chunked"})
            answer = connection.getresponse()
            jobs = json.loads(answer.read())["jobs"]
            connection.close()
            self.assertEqual(answer.status, 202)
            for i, text in enumerate(texts):
                self.check_image(jobs[i], text, f"{i}.txt")

    def test_connection_lives_on(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        for i in range(3):
            body = form(*(part(text) for text in self.texts(6)))
            connection.request("POST", "/images", body=body, headers={"Content-Type": TYPE})
            answer = connection.getresponse()
            self.assertEqual(len(json.loads(answer.read())["jobs"]), 6)
            self.assertEqual(answer.status, 202)
        connection.close()

    def test_type_in_any_case_and_parameters_behind(self):
        text, = self.texts(1)
        answer = self.server.request("POST", "/images", body=form(part(text, "a.txt")), headers={
            "Content-Type": f'Multipart/FORM-DATA; Boundary="{BOUNDARY}"; charset=utf-8'})
        self.assertEqual(answer.status, 202, answer)
        self.check_image(answer.json()["jobs"][0], text, "a.txt")

    def test_other_types_are_raw_bodies(self):
        body = form(part(b"x"))
        for kind in ("multipart/mixed; boundary=x", "application/x-www-form-urlencoded", "x/y"):
            answer = self.server.request("POST", "/images", body=body,
                                         headers={"Content-Type": kind})
            self.assertEqual(answer.status, 202, answer)
            made = self.server.wait_job(answer["Location"])["response"]["image"]
            self.assertEqual(made["size"], len(body))

    def test_one_file_is_large(self):
        """Nothing of a large part is kept in memory."""
        def peak():
            status = pathlib.Path(f"/proc/{self.server.process.pid}/status").read_text()
            return int(status.split("VmHWM:")[1].split()[0])
        data = os.urandom(1 << 20) * (64 if harness.SLOW == 1 else 8)
        before = peak()
        answer = self.post(form(part(data, "large.bin"), part(b"small", "small.txt")))
        self.assertEqual(answer.status, 202, answer)
        self.check_image(answer.json()["jobs"][0], data, "large.bin")
        if harness.SLOW == 1:
            self.assertLess(peak() - before, 8192)

    def test_broken_connection(self):
        """What had come whole, with its boundary, stays; the one in progress leaves nothing."""
        first, second = self.texts(2, 3000)
        body = form(part(first, "stays.txt"), part(second, "goes.txt"))
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(post_head(len(body)) + body[:len(body) - 200])
            end = time.monotonic() + 20 * harness.SLOW
            while not self.find("stays.txt"):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
        made = self.find("stays.txt")[0]
        self.assertEqual(made["sha256"], hashlib.sha256(first).hexdigest())
        time.sleep(0.2)
        self.assertFalse(self.find("goes.txt"))
        self.assertEqual(os.listdir(self.server.data / "staging"), [])

    def find(self, name):
        listed = self.server.get("/images?limit=200").json()["items"]
        return [item for item in listed if item["filename"] == name]

    def test_broken_while_files_are_finished(self):
        """The client resets at once: no crash, whatever has been finished by then."""
        body = form(*(part(text, "race.txt") for text in self.texts(30)))
        for length in range(1000, len(body), 1500):
            connection = socket.create_connection(("127.0.0.1", self.server.port))
            connection.sendall(post_head(len(body)) + body[:length])
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        self.assertEqual(self.post(form(part(b"still there"))).status, 202)

    def test_no_file(self):
        field = part(b"v", head='Content-Disposition: form-data; name="n"\r\n')
        empty = part(b"", name="")
        for body in (form(), form(field), form(empty), form(field, empty)):
            self.check_problem(self.post(body), 400, "empty_body")
        self.check_problem(self.post(b""), 400, "empty_body")

    def test_malformed(self):
        text, = self.texts(1)
        good = part(text, "good.txt")
        self.check_problem(self.post(b"no boundary at all\r\n"), 400, "malformed_form")
        self.check_problem(self.server.request("POST", "/images", body=form(good), headers={
            "Content-Type": "multipart/form-data"}), 400, "malformed_form")
        answer = self.post(good[:-10])  # cut off: the only file
        self.assertEqual(answer.status, 400, answer)
        self.check_refused(answer.json()["jobs"][0], 400, "malformed_form")
        self.assertEqual(answer.json()["jobs"][0]["filename"], "good.txt")
        answer = self.post(good + good)  # complete but for the last boundary
        self.assertEqual(answer.status, 202, answer)
        jobs = answer.json()["jobs"]
        self.assertEqual(len(jobs), 2)
        self.check_image(jobs[0], text, "good.txt")
        self.check_refused(jobs[1], 400, "malformed_form")
        answer = self.post(good + part(bytes(1 << 20), head="no colon\r\n") + form(good))
        jobs = answer.json()["jobs"]
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual(len(jobs), 2)
        self.check_refused(jobs[1], 400, "malformed_form")

    def test_refused_parts_do_not_end_the_form(self):
        text, = self.texts(1)
        answer = self.post(form(
            part(b"", "empty.txt"),
            part(b"x", head="Content-Disposition: attachment; filename=a\r\n"),
            part(b"x", head="X-Nothing: 1\r\n"),
            part(b"eA==", head='Content-Disposition: form-data; name="a"; filename="b"\r\n'
                               "Content-Transfer-Encoding: base64\r\n"),
            part(b"v" * 70000, head='Content-Disposition: form-data; name="n"\r\n'),
            part(text, "good.txt")))
        self.assertEqual(answer.status, 202, answer)
        jobs = answer.json()["jobs"]
        self.assertEqual(len(jobs), 6)
        self.check_refused(jobs[0], 400, "empty_body")
        for entry in jobs[1:4]:
            self.check_refused(entry, 400, "invalid_header")
        self.assertEqual(self.check_refused(jobs[4], 413, "too_large")["limit"], 65536)
        self.check_image(jobs[5], text, "good.txt")
        self.assertEqual(answer["Location"], f'/jobs/{jobs[5]["id"]}')

    def test_number_of_files(self):
        texts = self.texts(101, 1)
        answer = self.post(form(*map(part, texts[:100])))
        self.assertEqual(answer.status, 202, answer)
        self.assertTrue(all("id" in job for job in answer.json()["jobs"]))
        answer = self.post(form(*map(part, texts)))
        jobs = answer.json()["jobs"]
        self.assertEqual(len(jobs), 101)
        self.assertTrue(all("id" in job for job in jobs[:100]))
        self.check_refused(jobs[100], 413, "too_many_parts")

    def test_put_takes_no_form(self):
        answer = self.server.request("PUT", "/images/a.jpg", body=form(part(b"x")),
                                     headers={"Content-Type": TYPE})
        self.check_problem(answer, 415, "unsupported_type")


class Refusals(Base):
    flags = ("--max-file", "2M")

    def test_type(self):
        """415 after 64 KiB and for a small file; the others are taken."""
        text = b"plain text, no photo\n"
        answer = self.post(form(part(text * 50000, "t.txt"), part(image("small.jpg"), "b.jpg"),
                                part(text, "u.txt")))
        self.assertEqual(answer.status, 202, answer)
        jobs = answer.json()["jobs"]
        self.assertIn("text/plain", self.check_refused(jobs[0], 415, "unsupported_type")["detail"])
        self.assertEqual(jobs[0]["filename"], "t.txt")
        self.check_image(jobs[1], image("small.jpg"), "b.jpg")
        self.check_refused(jobs[2], 415, "unsupported_type")
        answer = self.post(form(part(text), part(b"")))
        self.assertEqual(answer.status, 415, answer)
        self.assertEqual(answer["Content-Type"], "application/json")

    def test_size(self):
        photo = image("small.jpg")
        large = photo + bytes(3 << 20)
        answer = self.post(form(part(large, "large.jpg"), part(photo, "b.jpg")))
        self.assertEqual(answer.status, 202, answer)
        jobs = answer.json()["jobs"]
        self.assertEqual(self.check_refused(jobs[0], 413, "too_large")["limit"], 2 << 20)
        self.check_image(jobs[1], photo, "b.jpg")
        self.assertEqual(self.post(form(part(large))).status, 413)

    def test_whole_form(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(post_head(201 << 20))
            connection.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                connection.recv(100)
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall(post_head((201 << 20) + 1))
            self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 413 "))

    def test_space(self):
        size = shutil.disk_usage(tempfile.gettempdir()).total  # what is free changes meanwhile
        with Server("--reserve", str(size)) as server:
            answer = server.request("POST", "/images", headers={"Content-Type": TYPE},
                                    body=form(part(image("small.jpg")), part(image("small.png"))))
            self.assertEqual(answer.status, 507, answer)
            for entry in answer.json()["jobs"]:
                self.check_refused(entry, 507, "insufficient_space")

    def test_stop_in_the_middle(self):
        """A half-sent form doesn't hold up the stop; what it had finished is there."""
        with Server("--accept", "*/*") as server:
            body = form(part(b"done" * 100, "done.txt"), part(b"half" * 100, "half.txt"))
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(post_head(len(body)) + body[:-100])
            end = time.monotonic() + 20 * harness.SLOW
            while not server.get("/images").json()["items"]:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.05)
            self.assertEqual(server.stop(), 0)
            connection.close()
            server.start()
            names = [item["filename"] for item in server.get("/images").json()["items"]]
            self.assertEqual(names, ["done.txt"])


class SmallDisk(unittest.TestCase):
    """A part of unknown length reserves no more than can come of it."""

    def test_small_files_fit_on_a_small_disk(self):
        """Where mounting is not allowed the disk is not small, and this is an upload like others."""
        with tempfile.TemporaryDirectory() as folder:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder],
                                     stderr=subprocess.DEVNULL, check=False).returncode == 0
            try:
                os.mkdir(f"{folder}/data")
                flags = ("--reserve", "1K", "--accept", "*/*")
                with Server(*flags, data=f"{folder}/data") as server:
                    self.check_form(server)
                with Server(*flags, "--max-file", "1M", data=f"{folder}/data") as server:
                    body = iter([b"a file of unknown length, sent in chunks"])
                    answer = server.request("PUT", "/images/x.txt", body=body)
                    self.assertEqual(answer.status, 202, answer)
            finally:
                if mounted:
                    subprocess.run(["umount", "-l", folder], check=True)

    def check_form(self, server):
        body = form(*[part(bytes([i]) * 100_000, f"{i}.bin") for i in range(8)])
        answer = server.request("POST", "/images", body=body, headers={"Content-Type": TYPE})
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual([job.get("error") for job in answer.json()["jobs"]], [None] * 8)


if __name__ == "__main__":
    harness.main()
