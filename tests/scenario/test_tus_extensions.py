"""The extensions of tus 1.0.0 beyond creation, termination and expiry, over raw requests."""

import hashlib
import unittest

import harness
from harness import Server, image
from test_tus import CHUNK, TUS, create, job_of, offset_of, patch

MAX = 200 << 20


class Extensions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()
        cls.addClassCleanup(cls.server.__exit__)

    def head(self, path):
        return self.server.head(path, Tus_Resumable="1.0.0")

    def check_job(self, answer, data):
        job = self.server.wait_job(job_of(answer))
        self.assertEqual(job["state"], "succeeded", job)
        self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(data).hexdigest())
        return job


class Defer(Extensions):
    def create(self, **more):
        answer = self.server.request("POST", "/uploads", headers={**TUS, "Upload-Defer-Length": "1", **more})
        self.assertEqual(answer.status, 201, answer)
        return answer["Location"]

    def patch(self, path, offset, data, **more):
        headers = {name.replace("_", "-"): str(value) for name, value in more.items()}
        return self.server.request("PATCH", path, body=data, headers={
            **CHUNK, "Upload-Offset": str(offset), **headers})

    def test_length_comes_with_the_last_bytes(self):
        data = image("photo.jpg")
        path = self.create()
        head = self.head(path)
        self.assertEqual((head["Upload-Defer-Length"], head["Upload-Length"], head["Upload-Offset"]),
                         ("1", None, "0"))
        self.assertEqual(self.patch(path, 0, data[:700_000]).status, 204)
        self.assertEqual(self.head(path)["Upload-Defer-Length"], "1")
        answer = self.patch(path, 700_000, data[700_000:], Upload_Length=len(data))
        self.assertEqual((answer.status, answer["Upload-Offset"]), (204, str(len(data))), answer)
        self.check_job(answer, data)
        head = self.head(path)
        self.assertEqual((head["Upload-Defer-Length"], head["Upload-Length"]), (None, str(len(data))))

    def test_length_comes_alone_and_last(self):
        data = image("small.jpg")
        path = self.create()
        self.assertEqual(self.patch(path, 0, data).status, 204)
        answer = self.patch(path, len(data), b"", Upload_Length=len(data))
        self.assertEqual(answer.status, 204, answer)
        self.check_job(answer, data)
        replay = self.patch(path, len(data), b"", Upload_Length=len(data))
        self.assertEqual((replay.status, job_of(replay)), (204, job_of(answer)))
        self.assertEqual(self.patch(path, len(data), b"", Upload_Length=5).status, 400)

    def test_length_comes_alone_and_first(self):
        data = image("small.jpg")
        path = self.create()
        self.assertEqual(self.patch(path, 0, b"", Upload_Length=len(data)).status, 204)
        self.assertEqual(self.head(path)["Upload-Length"], str(len(data)))
        answer = self.patch(path, 0, b"", Upload_Length=len(data) + 1)
        self.assertEqual((answer.status, answer.json()["code"]), (400, "length_mismatch"))
        self.assertEqual((answer.json()["limit"], answer.json()["value"]), (len(data), len(data) + 1))
        self.check_job(self.patch(path, 0, data, Upload_Length=len(data)), data)

    def test_with_upload(self):
        data = image("small.jpg")
        answer = self.server.request("POST", "/uploads", body=data[:500], headers={
            **CHUNK, "Upload-Defer-Length": "1"})
        self.assertEqual((answer.status, answer["Upload-Offset"]), (201, "500"))
        self.check_job(self.patch(answer["Location"], 500, data[500:], Upload_Length=len(data)), data)

    def test_refusals(self):
        for headers in ({"Upload-Defer-Length": "0"}, {"Upload-Defer-Length": "true"},
                        {"Upload-Defer-Length": ""}, {"Upload-Defer-Length": "1", "Upload-Length": "5"}):
            answer = self.server.request("POST", "/uploads", headers={**TUS, **headers})
            self.assertEqual((answer.status, answer.json()["code"]), (400, "invalid_header"), headers)
        data = image("small.jpg")
        path = self.create()
        self.assertEqual(self.patch(path, 0, data[:1000]).status, 204)
        for length, status, limit in ((999, 400, 1000), (MAX + 1, 413, MAX), ("x", 400, None), (-1, 400, None)):
            answer = self.patch(path, 1000, b"", Upload_Length=length)
            self.assertEqual(answer.status, status, answer)
            if limit:
                self.assertEqual((answer.json()["limit"], answer.json()["value"]), (limit, length))
        answer = self.patch(path, 1000, data[1000:], Upload_Length=1500)
        self.assertEqual((answer.status, answer.json()["limit"]), (413, 500), answer)
        self.assertEqual(self.head(path)["Upload-Defer-Length"], "1")
        self.check_job(self.patch(path, 1000, data[1000:], Upload_Length=len(data)), data)

    def test_limit_without_a_length(self):
        data = image("photo.jpg")
        with Server("--max-file", str(len(data))) as server:
            location = server.request("POST", "/uploads", headers={**TUS, "Upload-Defer-Length": "1"})["Location"]
            self.assertEqual(patch(server, location, 0, data).status, 204)
            answer = patch(server, location, len(data), b"x")
            self.assertEqual((answer.status, answer.json()["limit"], answer.json()["value"]),
                             (413, len(data), len(data) + 1), answer)
            self.assertEqual(offset_of(server, location), len(data))


class Core(Extensions):
    def test_options_lists_what_is_there(self):
        answer = self.server.request("OPTIONS", "/uploads")
        self.assertEqual(sorted(answer["Tus-Extension"].split(",")), sorted(EXTENSIONS))

    def test_conflict_tells_the_offset(self):
        data = image("small.jpg")
        path = create(self.server, len(data))["Location"]
        patch(self.server, path, 0, data[:10])
        answer = patch(self.server, path, 7, data[7:])
        self.assertEqual((answer.status, answer["Upload-Offset"]), (409, "10"))
        problem = answer.json()
        self.assertEqual((problem["code"], problem["offset"], problem["limit"], problem["value"]),
                         ("offset_conflict", 10, 10, 7))

    def override(self, path, method, body=None, **headers):
        return self.server.request("POST", path, body=body, headers={
            **headers, "X-HTTP-Method-Override": method})

    def test_method_override(self):
        data = image("small.jpg")
        path = create(self.server, len(data))["Location"]
        answer = self.override(path, "PATCH", data[:100], **CHUNK, **{"Upload-Offset": "0"})
        self.assertEqual((answer.status, answer["Upload-Offset"]), (204, "100"))
        answer = self.override(path, "HEAD", **TUS)
        self.assertEqual((answer.status, answer["Upload-Offset"], answer.body), (200, "100", b""))
        answer = self.override(path, "DELETE", **TUS)
        self.assertEqual(answer.status, 204)
        answer = self.override(path, "HEAD", **TUS)
        self.assertEqual((answer.status, answer["Upload-Offset"]), (410, None))
        for method in ("OPTIONS",):
            for target in ("/uploads", path):
                answer = self.override(target, method)
                self.assertEqual((answer.status, answer["Tus-Version"]), (204, "1.0.0"))
        for method in ("GET", "patch", "POST", ""):
            self.assertEqual(self.override(path, method, **TUS).status, 405, method)
        for method in ("PATCH", "DELETE", "HEAD"):
            self.assertEqual(self.override("/uploads", method, **TUS).status, 405, method)
        answer = self.override("/uploads", "POST", **TUS, **{"Upload-Length": "5"})
        self.assertEqual(answer.status, 201)
        # The version is asked for as if the method had come by itself.
        self.assertEqual(self.override(path, "PATCH", b"x").status, 412)

    def test_media_type(self):
        path = create(self.server, 100)["Location"]
        for kind in ("application/octet-stream", "application/offset", "image/jpeg", ""):
            answer = self.server.request("PATCH", path, body=b"x", headers={
                **TUS, "Upload-Offset": "0", "Content-Type": kind})
            self.assertEqual((answer.status, answer.json()["code"]), (415, "unsupported_type"), kind)
        answer = self.server.request("PATCH", path, body=b"", headers={
            **TUS, "Upload-Offset": "0", "Content-Type": "Application/Offset+Octet-Stream;x=y"})
        self.assertEqual(answer.status, 204)

    def test_errors_tell_no_offset(self):
        path = create(self.server, 100)["Location"]
        self.assertEqual(self.server.request("DELETE", path, headers=TUS).status, 204)
        for target, status in ((path, 410), ("/uploads/" + "0" * 32, 404), ("/uploads/x", 404)):
            answer = self.head(target)
            self.assertEqual((answer.status, answer["Upload-Offset"], answer.body), (status, None, b""))


EXTENSIONS = ["creation", "creation-with-upload", "creation-defer-length", "termination", "expiration"]

if __name__ == "__main__":
    harness.main()
