"""tus 1.0.0 over raw requests: creation, appends, breaks, restarts, expiry, termination."""

import base64
import hashlib
import http.client
import os
import random
import signal
import socket
import threading
import time
import unittest

import harness
from harness import Server, image

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}


def create(server, size, name="photo.jpg", **more):
    metadata = "filename " + base64.b64encode(name.encode()).decode()
    return server.request("POST", "/uploads", headers={
        **TUS, "Upload-Length": str(size), "Upload-Metadata": metadata, **more})


def patch(server, path, offset, data):
    return server.request("PATCH", path, body=data,
                          headers={**CHUNK, "Upload-Offset": str(offset)})


def offset_of(server, path):
    answer = server.head(path, Tus_Resumable="1.0.0")
    assert answer.status == 200, answer
    return int(answer["Upload-Offset"])


def broken_patch(server, path, offset, data, sent):
    """Declares all of data, sends `sent` bytes of it, cuts the connection."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall((f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                            "Content-Type: application/offset+octet-stream\r\n"
                            f"Upload-Offset: {offset}\r\nContent-Length: {len(data)}\r\n\r\n").encode())
        connection.sendall(data[:sent])
        time.sleep(0.2)


def job_of(answer):
    return answer["Link"].split(">")[0].lstrip("<")


class Tus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def finish(self, path, data, offset):
        answer = patch(self.server, path, offset, data[offset:])
        self.assertEqual(answer.status, 204, answer)
        self.assertEqual(answer["Upload-Offset"], str(len(data)))
        job = self.server.wait_job(job_of(answer))
        self.assertEqual(job["state"], "succeeded", job)
        self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(data).hexdigest())
        return job

    def test_options(self):
        for path in ("/uploads", "/uploads/" + "0" * 32):
            answer = self.server.request("OPTIONS", path)
            self.assertIn(answer.status, (200, 204))
            self.assertEqual(answer["Tus-Version"], "1.0.0")
            self.assertEqual(answer["Tus-Resumable"], "1.0.0")
            self.assertEqual(answer["Tus-Max-Size"], str(200 << 20))
            for extension in ("creation", "creation-with-upload", "termination", "expiration"):
                self.assertIn(extension, answer["Tus-Extension"].split(","))

    def test_version(self):
        for headers in ({}, {"Tus-Resumable": "0.2.2"}):
            for method, path in (("POST", "/uploads"), ("HEAD", "/uploads/" + "0" * 32),
                                 ("PATCH", "/uploads/" + "0" * 32), ("DELETE", "/uploads/" + "0" * 32)):
                answer = self.server.request(method, path, headers={"Upload-Length": "5", **headers})
                if not headers and method in ("HEAD", "DELETE"):  # the other protocol has them so
                    self.assertEqual(answer.status, 404, (method, answer))
                    continue
                self.assertEqual(answer.status, 412, (method, answer))
                self.assertEqual(answer["Tus-Version"], "1.0.0")

    def test_head_tells_no_offset(self):
        for headers in ({"Upload-Complete": "?1"}, {"Upload-Offset": "0"},
                        {"Upload-Complete": "?1", "Tus-Resumable": "1.0.0"}):
            answer = self.server.request("HEAD", "/uploads/" + "0" * 32, headers=headers)
            self.assertEqual(answer.status, 400, (headers, answer))

    def test_chunk_is_encoded(self):
        path = create(self.server, 5000, "x.jpg")["Location"]
        answer = self.server.request("PATCH", path, body=bytes(10), headers={
            "Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Encoding": "gzip",
            "Content-Type": "application/offset+octet-stream"})
        self.assertEqual((answer.status, answer.json()["code"]), (415, "unsupported_encoding"))
        data = image("small.jpg")
        for field, status in (("Content-Encoding", 415), ("Content-Range", 400)):
            answer = self.server.request("POST", "/uploads", body=data, headers={
                "Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), field: "bytes 0-1/2",
                "Content-Type": "application/offset+octet-stream"})
            self.assertEqual(answer.status, status, answer)

    def test_name_is_not_utf8(self):
        answer = self.server.request("POST", "/uploads", headers={
            "Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": "filename Y2Fm6Q=="})
        self.assertEqual(answer.status, 400)
        self.assertIn("not UTF-8", answer.json()["detail"])

    def test_whole_life(self):
        data = image("photo.jpg")
        answer = create(self.server, len(data), "Größe.jpg")
        self.assertEqual(answer.status, 201, answer)
        path = answer["Location"]
        self.assertRegex(path, r"^/uploads/[0-9a-f]{32}$")
        self.assertIn("GMT", answer["Upload-Expires"])
        head = self.server.head(path, Tus_Resumable="1.0.0")
        self.assertEqual((head["Upload-Offset"], head["Upload-Length"]), ("0", str(len(data))))
        self.assertEqual(head["Cache-Control"], "no-store")
        self.assertTrue(head["Upload-Metadata"].startswith("filename "))
        offset = 0
        for size in (1, 65535, 1, 100_000, 1_000_000):
            answer = patch(self.server, path, offset, data[offset:offset + size])
            self.assertEqual(answer.status, 204, answer)
            offset += size
            self.assertEqual(answer["Upload-Offset"], str(offset))
            self.assertIn("GMT", answer["Upload-Expires"])
        job = self.finish(path, data, offset)
        self.assertEqual(job["response"]["image"]["filename"], "Größe.jpg")
        head = self.server.head(path, Tus_Resumable="1.0.0")
        self.assertEqual(head["Upload-Offset"], str(len(data)))
        self.assertEqual(job_of(head), f'/jobs/{job["id"]}')
        replay = patch(self.server, path, len(data), b"")
        self.assertEqual((replay.status, job_of(replay)), (204, f'/jobs/{job["id"]}'))

    def test_creation_with_upload(self):
        data = image("small.jpg")
        answer = self.server.request("POST", "/uploads", body=data, headers={
            **CHUNK, "Upload-Length": str(len(data))})
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual(answer["Upload-Offset"], str(len(data)))
        self.assertEqual(self.server.wait_job(job_of(answer))["state"], "succeeded")
        answer = self.server.request("POST", "/uploads", body=data[:500], headers={
            **CHUNK, "Upload-Length": str(len(data))})
        self.assertEqual((answer.status, answer["Upload-Offset"]), (201, "500"))
        self.finish(answer["Location"], data, 500)

    def test_refusals_of_creation(self):
        for headers, status in (
                ({"Upload-Length": "-1"}, 400), ({"Upload-Length": "x"}, 400), ({}, 400),
                ({"Upload-Length": "0"}, 400), ({"Upload-Length": str((200 << 20) + 1)}, 413),
                ({"Upload-Length": "99999999999999999999"}, 400),
                ({"Upload-Length": "5", "Upload-Metadata": "filename !!!"}, 400),
                ({"Upload-Length": "5", "Upload-Metadata": "a YQ==,a YQ=="}, 400)):
            answer = self.server.request("POST", "/uploads", headers={**TUS, **headers})
            self.assertEqual(answer.status, status, (headers, answer))
            self.assertEqual(answer["Tus-Resumable"], "1.0.0")
            self.assertEqual(answer["Content-Type"], "application/problem+json")

    def test_refusals_of_patch(self):
        data = image("small.jpg")
        path = create(self.server, len(data))["Location"]
        answer = self.server.request("PATCH", path, body=data, headers={**TUS, "Upload-Offset": "0"})
        self.assertEqual(answer.status, 415, answer)
        answer = self.server.request("PATCH", path, body=data, headers=CHUNK)
        self.assertEqual(answer.status, 400, answer)
        answer = patch(self.server, path, 10, data[10:])
        self.assertEqual((answer.status, answer["Upload-Offset"]), (409, "0"))
        answer = patch(self.server, path, 0, data + b"more")
        self.assertEqual(answer.status, 413, answer)
        self.assertEqual(offset_of(self.server, path), 0)
        self.assertEqual(patch(self.server, "/uploads/" + "0" * 32, 0, b"x").status, 404)
        self.finish(path, data, 0)

    def test_wrong_type_ends_the_upload(self):
        path = create(self.server, 100_000)["Location"]
        answer = patch(self.server, path, 0, b"no photo at all\n" * 5000)
        self.assertEqual((answer.status, answer.json()["code"]), (415, "unsupported_type"))
        self.assertIn(patch(self.server, path, 0, b"x").status, (410, 415))
        self.assertIn(self.server.head(path, Tus_Resumable="1.0.0").status, (404, 410))

    def test_wrong_type_in_small_pieces(self):
        """The look at the first 64 KiB does not need them in one request, or one process."""
        text = b"no photo at all\n" * 20000
        path, offset = create(self.server, len(text))["Location"], 0
        while offset < 60_000:
            answer = patch(self.server, path, offset, text[offset:offset + 20_000])
            self.assertEqual(answer.status, 204, answer)
            offset += 20_000
        answer = patch(self.server, path, offset, text[offset:offset + 20_000])
        self.assertEqual((answer.status, answer.json()["code"]), (415, "unsupported_type"))

    def test_broken_connection_resumes(self):
        data = image("photo.jpg")
        path = create(self.server, len(data))["Location"]
        broken_patch(self.server, path, 0, data, 300_000)
        offset = offset_of(self.server, path)
        self.assertEqual(offset, 300_000)
        self.finish(path, data, offset)

    def test_kill_and_restart_resume(self):
        data = image("photo.jpg")
        with Server() as server:
            path = create(server, len(data))["Location"]
            self.assertEqual(patch(server, path, 0, data[:700_001]).status, 204)
            broken_patch(server, path, 700_001, data[700_001:], 50_000)
            server.kill()
            # What was not acknowledged may be lost or cut; what was is there.
            server.start()
            offset = offset_of(server, path)
            self.assertGreaterEqual(offset, 700_001)
            answer = patch(server, path, offset, data[offset:])
            self.assertEqual(answer.status, 204, answer)
            job = server.wait_job(job_of(answer))
            self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(data).hexdigest())

    def test_sigterm_saves_the_offset(self):
        data = image("photo.jpg")
        with Server() as server:
            path = create(server, len(data))["Location"]
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall((f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                                "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
                                f"Content-Length: {len(data)}\r\n\r\n").encode() + data[:400_000])
            time.sleep(0.5 * harness.SLOW)
            begun = time.monotonic()
            self.assertEqual(server.stop(signal.SIGTERM), 0)
            self.assertLess(time.monotonic() - begun, 15)
            connection.close()
            server.start()
            self.assertEqual(offset_of(server, path), 400_000)

    def test_two_at_one_offset(self):
        """The later one ends the earlier; bytes are taken once, and never two say 204."""
        data = image("photo.jpg")
        path = create(self.server, len(data))["Location"]
        answers = []

        def append():
            try:
                answers.append(patch(self.server, path, 0, data[:200_000]).status)
            except (OSError, http.client.HTTPException):
                answers.append(0)  # taken over
        threads = [threading.Thread(target=append) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertLess(answers.count(204), 2, answers)
        self.assertTrue(set(answers) <= {204, 409, 0}, answers)
        offset = offset_of(self.server, path)
        self.assertTrue(offset == 200_000 or 204 not in answers, (answers, offset))
        self.finish(path, data, offset)

    def test_newcomer_takes_over(self):
        data = image("photo.jpg")
        path = create(self.server, len(data))["Location"]
        with socket.create_connection(("127.0.0.1", self.server.port)) as stalled:
            stalled.sendall((f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                             "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
                             f"Content-Length: {len(data)}\r\n\r\n").encode() + data[:100_000])
            time.sleep(0.3 * harness.SLOW)
            begun = time.monotonic()
            offset = offset_of(self.server, path)
            self.assertLess(time.monotonic() - begun, 3 * harness.SLOW)
            self.assertEqual(offset, 100_000)
            self.finish(path, data, offset)

    def test_termination(self):
        data = image("small.jpg")
        path = create(self.server, len(data))["Location"]
        self.assertEqual(patch(self.server, path, 0, data[:100]).status, 204)
        answer = self.server.request("DELETE", path, headers=TUS)
        self.assertEqual(answer.status, 204, answer)
        self.assertIn(self.server.head(path, Tus_Resumable="1.0.0").status, (404, 410))
        self.assertFalse((self.server.data / "staging" / path.split("/")[-1]).exists())
        path = create(self.server, len(data))["Location"]
        job = self.finish(path, data, 0)
        self.assertEqual(self.server.request("DELETE", path, headers=TUS).status, 204)
        self.assertEqual(self.server.get(f'/images/{job["response"]["image"]["id"]}').status, 200)

    def test_random_chunks_and_breaks(self):
        data = image("photo.jpg")
        seed = random.randrange(1 << 32)
        dice = random.Random(seed)
        path = create(self.server, len(data))["Location"]
        offset = 0
        while offset < len(data):
            size = dice.randint(1, 800_000)
            if dice.random() < 0.3:
                broken_patch(self.server, path, offset, data[offset:], min(size, len(data) - offset - 1))
            else:
                answer = patch(self.server, path, offset, data[offset:offset + size])
                self.assertEqual(answer.status, 204, (seed, answer))
            offset = offset_of(self.server, path)
        head = self.server.head(path, Tus_Resumable="1.0.0")
        job = self.server.wait_job(job_of(head))
        self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(data).hexdigest(), seed)


class Expiry(unittest.TestCase):
    def test_broken_upload_expires(self):
        with Server("--upload-expiry", "2") as server:
            path = create(server, 100_000)["Location"]
            self.assertEqual(patch(server, path, 0, image("small.jpg")[:1000]).status, 204)
            staged = server.data / "staging" / path.split("/")[-1]
            self.assertTrue(staged.exists())
            end = time.monotonic() + 20 * harness.SLOW
            while staged.exists() and time.monotonic() < end:
                time.sleep(0.2)
            self.assertFalse(staged.exists())
            answer = server.head(path, Tus_Resumable="1.0.0")
            self.assertEqual((answer.status, answer["Upload-Offset"]), (410, None))
            self.assertEqual(patch(server, path, 1000, b"x").status, 410)

    def test_limit_of_open_uploads(self):
        with Server("--max-uploads", "3") as server:
            for _ in range(3):
                self.assertEqual(create(server, 1000).status, 201)
            answer = create(server, 1000)
            self.assertEqual((answer.status, answer.json()["code"]), (429, "too_many_uploads"))
            self.assertIn("3", answer.body.decode())


if __name__ == "__main__":
    harness.main()
