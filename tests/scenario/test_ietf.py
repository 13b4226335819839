"""Resumable uploads of the IETF over raw requests: interop versions 3, 5, 6, 8, 9 and none, continued
by tus and the other way round."""

import hashlib
import http.client
import signal
import socket
import time
import unittest

import harness
from harness import Server, image

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
APPEND = {"Content-Type": "application/partial-upload"}
NONE = "/uploads/" + "0" * 32


def flag(version, complete):
    """The field that says whether it is complete, and the version, as that draft has them."""
    headers = {"Upload-Draft-Interop-Version": str(version)} if version else {}
    if version == 3:
        return {**headers, "Upload-Incomplete": "?0" if complete else "?1"}
    return {**headers, "Upload-Complete": "?1" if complete else "?0"}


def is_complete(answer, version=None):
    if version == 3:
        return {"?0": True, "?1": False}[answer["Upload-Incomplete"]]
    return {"?1": True, "?0": False}[answer["Upload-Complete"]]


def job_of(answer):
    return answer["Link"].split(">")[0].lstrip("<")


class Ietf(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-file", str(8 << 20)).start()
        cls.data = image("small.jpg")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def create(self, body=None, path="/uploads", complete=False, version=None, method="POST", **more):
        return self.server.request(method, path, body=body, headers={
            **flag(version, complete), **harness.dashed(more)})

    def append(self, path, offset, body, complete=False, version=None, **more):
        media = APPEND if version in (None, 6, 8, 9) else {}
        return self.server.request("PATCH", path, body=body, headers={
            **media, **flag(version, complete), "Upload-Offset": str(offset), **harness.dashed(more)})

    def succeed(self, answer, data=None):
        job = self.server.wait_job(job_of(answer))
        self.assertEqual(job["state"], "succeeded", job)
        self.assertEqual(job["response"]["image"]["sha256"],
                         hashlib.sha256(data or self.data).hexdigest())
        return job

    def test_each_version(self):
        for version in (None, 3, 5, 6, 8, 9):
            with self.subTest(version=version):
                answer = self.create(self.data[:5000], version=version,
                                     Content_Disposition='inline; filename="a b.jpg"')
                self.assertEqual(answer.status, 201, answer)
                self.assertFalse(is_complete(answer, version))
                self.assertEqual(answer["Upload-Offset"], "5000")
                self.assertIn(f"max-size={8 << 20}", answer["Upload-Limit"])
                path = answer["Location"]
                self.assertRegex(path, r"^/uploads/[0-9a-f]{32}$")
                answer = self.append(path, 5000, self.data[5000:8000], version=version)
                self.assertEqual((answer.status, answer["Upload-Offset"]), (204, "8000"), answer)
                self.assertFalse(is_complete(answer, version))
                head = self.server.request("HEAD", path, headers={
                    "Upload-Draft-Interop-Version": str(version)} if version else {})
                self.assertEqual((head.status, head["Upload-Offset"], head["Cache-Control"],
                                  head["Upload-Length"]), (204, "8000", "no-store", None))
                self.assertIn("max-age=86400", head["Upload-Limit"])
                self.assertFalse(is_complete(head, version))
                answer = self.append(path, 8000, self.data[8000:], True, version)
                self.assertEqual(answer.status, 202, answer)
                self.assertTrue(is_complete(answer, version))
                self.assertEqual(answer["Upload-Offset"], str(len(self.data)))
                self.assertEqual(answer.json()["jobs"][0]["id"], job_of(answer).split("/")[-1])
                self.assertEqual(self.succeed(answer)["response"]["image"]["filename"], "a b.jpg")

    def test_one_request(self):
        for method, path in (("POST", "/images"), ("POST", "/uploads"), ("PUT", "/images/p.jpg")):
            answer = self.create(self.data, path, True, method=method)
            self.assertEqual((answer.status, answer["Upload-Complete"]), (202, "?1"), answer)
            self.assertEqual(answer["Location"], job_of(answer))
            self.succeed(answer)

    def test_plain_requests_stay_plain(self):
        """A wrong type makes the field none: an ordinary POST."""
        for value in ("true", "1", "?2", '"?1"', "?1, ?0"):
            answer = self.server.request("POST", "/images", body=self.data,
                                         headers={"Upload-Complete": value})
            self.assertEqual((answer.status, answer["Upload-Complete"]), (202, None), (value, answer))
        answer = self.server.request("POST", "/images", body=self.data,
                                     headers={"Upload-Draft-Interop-Version": "6"})
        self.assertEqual((answer.status, answer["Upload-Complete"]), (202, None), answer)
        answer = self.server.request("POST", "/uploads", body=self.data,
                                     headers={"Upload-Draft-Interop-Version": "6"})
        self.assertEqual((answer.status, answer["Upload-Complete"]), (400, "?0"), answer)

    def test_careful_creation(self):
        answer = self.create(None, "/images", Upload_Length=str(len(self.data)))
        self.assertEqual((answer.status, answer["Upload-Offset"]), (201, "0"), answer)
        path = answer["Location"]
        self.assertEqual(self.server.head(path)["Upload-Length"], str(len(self.data)))
        self.succeed(self.append(path, 0, self.data, True))

    def test_the_flag_ends_it_not_the_length(self):
        path = self.create(None, Upload_Length=str(len(self.data)))["Location"]
        answer = self.append(path, 0, self.data)
        self.assertEqual((answer.status, answer["Upload-Complete"]), (204, "?0"), answer)
        self.server.kill()
        self.server.start()
        head = self.server.head(path)
        self.assertEqual((head["Upload-Offset"], head["Upload-Complete"], head["Link"]),
                         (str(len(self.data)), "?0", None))
        answer = self.append(path, len(self.data), b"", True)
        self.assertEqual((answer.status, answer["Upload-Complete"]), (202, "?1"), answer)
        self.succeed(answer)
        head = self.server.head(path)
        self.assertEqual((head["Upload-Complete"], job_of(head)), ("?1", job_of(answer)))
        replay = self.append(path, len(self.data), b"", True)
        self.assertEqual((replay.status, replay["Upload-Complete"], job_of(replay)),
                         (204, "?1", job_of(answer)))

    def test_chunked_of_unknown_length(self):
        pieces = [self.data[:4000], self.data[4000:]]
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.request("POST", "/images", body=iter(pieces), encode_chunked=True,
                           headers={"Upload-Complete": "?1", "Transfer-Encoding": "chunked"})
        answer = connection.getresponse()
        answer = harness.Answer(answer.status, answer.getheaders(), answer.read())
        connection.close()
        self.assertEqual((answer.status, answer["Upload-Complete"]), (202, "?1"), answer)
        self.succeed(answer)

    def test_one_of_unknown_length_that_waits_holds_what_it_has(self):
        path = self.create(self.data[:1000])["Location"]
        staged = self.server.data / "staging" / path.split("/")[-1]
        end = time.monotonic() + 5 * harness.SLOW
        while staged.stat().st_blocks * 512 > 1 << 20 and time.monotonic() < end:
            time.sleep(0.05)  # the file is closed after the answer
        self.assertLess(staged.stat().st_blocks * 512, 1 << 20)
        self.succeed(self.append(path, 1000, self.data[1000:], True))

    def test_refusals_of_append(self):
        path = self.create(self.data[:100])["Location"]
        for headers, status in (
                ({"Upload-Offset": "100", "Upload-Complete": "?0"}, 415),
                ({**APPEND, "Upload-Complete": "?0"}, 400), ({**APPEND, "Upload-Offset": "100"}, 400),
                ({**APPEND, "Upload-Offset": "-1", "Upload-Complete": "?0"}, 400),
                ({**APPEND, "Upload-Offset": "100.0", "Upload-Complete": "?0"}, 400),
                ({**APPEND, "Upload-Offset": "1000000000000000", "Upload-Complete": "?0"}, 400),
                ({**APPEND, "Upload-Offset": "100", "Upload-Complete": "yes"}, 400)):
            answer = self.server.request("PATCH", path, body=b"x", headers=headers)
            self.assertEqual((answer.status, answer["Upload-Complete"]), (status, "?0"), (headers, answer))
        answer = self.append(path, 5, b"x")
        self.assertEqual((answer.status, answer["Upload-Offset"], answer["Upload-Complete"]),
                         (409, "100", "?0"), answer)
        self.assertEqual(answer.json()["type"],
                         "https://iana.org/assignments/http-problem-types#mismatching-upload-offset")
        self.assertEqual((answer.json()["expected-offset"], answer.json()["provided-offset"]), (100, 5))
        self.assertEqual(self.append(NONE, 0, b"x").status, 404)
        self.assertEqual(self.server.head(path)["Upload-Offset"], "100")

    def test_lengths(self):
        inconsistent = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length"
        answer = self.create(self.data, complete=True, Upload_Length="5")
        self.assertEqual((answer.status, answer.json()["type"], answer["Upload-Complete"]),
                         (400, inconsistent, "?0"), answer)
        path = self.create(self.data[:100], Upload_Length=str(len(self.data)))["Location"]
        for answer in (self.append(path, 100, b"x", Upload_Length="7"), self.append(path, 100, b"x", True)):
            self.assertEqual((answer.status, answer.json()["type"], answer["Upload-Complete"]),
                             (400, inconsistent, "?0"), answer)
        answer = self.append(path, 100, self.data)
        self.assertEqual((answer.status, answer["Upload-Offset"]), (413, "100"), answer)
        answer = self.create(None, Upload_Length=str((8 << 20) + 1))
        self.assertEqual(answer.status, 413, answer)
        self.assertIn("max-size", answer["Upload-Limit"])
        self.assertEqual(self.create(b"", complete=True).status, 400)
        self.succeed(self.append(path, 100, self.data[100:], True))

    def test_beyond_its_length_it_is_invalid(self):
        path = self.create(self.data[:100], Upload_Length="200")["Location"]
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.request("PATCH", path, body=iter([self.data[100:400]]), encode_chunked=True, headers={
            **APPEND, "Upload-Complete": "?0", "Upload-Offset": "100", "Transfer-Encoding": "chunked"})
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.getheader("Upload-Complete")), (413, "?1"))
        connection.close()
        self.assertEqual(self.append(path, 100, b"x").status, 413)
        self.assertEqual(self.server.head(path).status, 410)

    def test_refused_type(self):
        answer = self.create(b"no photo at all\n" * 9000, "/images", Upload_Length="200000")
        self.assertEqual((answer.status, answer["Upload-Complete"], answer.json()["code"]),
                         (415, "?1", "unsupported_type"), answer)
        path = self.create(b"no photo")["Location"]
        answer = self.append(path, 8, b" at all", True)
        self.assertEqual((answer.status, answer["Upload-Complete"]), (415, "?1"), answer)
        self.assertEqual(self.server.head(path).status, 410)

    def test_head_and_cancel(self):
        path = self.create(self.data[:100])["Location"]
        answer = self.server.head(path, Upload_Offset="1")
        self.assertEqual(answer.status, 400)
        self.assertEqual(self.server.request("DELETE", path).status, 204)
        for answer in (self.server.head(path), self.append(path, 100, b"x")):
            self.assertEqual((answer.status, answer["Upload-Offset"]), (410, None), answer)
        head = self.server.head(NONE)
        self.assertEqual((head.status, head["Upload-Offset"]), (404, None))

    def test_options(self):
        for path in ("/uploads", "/images", NONE):
            answer = self.server.request("OPTIONS", path)
            self.assertEqual(answer.status, 204, answer)
            self.assertEqual(answer["Upload-Limit"], f"max-size={8 << 20}, max-age=86400")
        self.assertIn("application/partial-upload", answer["Accept-Patch"])

    def test_broken_creation_resumes(self):
        """Not one byte more than came is told, and the rest completes it."""
        before = self.create(self.data[:3000])["Location"]
        with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
            connection.sendall((f"PATCH {before} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                "Content-Type: application/partial-upload\r\nUpload-Offset: 3000\r\n"
                                f"Upload-Complete: ?1\r\nContent-Length: {len(self.data) - 3000}\r\n\r\n")
                               .encode() + self.data[3000:7000])
            time.sleep(0.3 * harness.SLOW)
            head = self.server.head(before)  # takes over
        self.assertEqual((head["Upload-Offset"], head["Upload-Complete"]), ("7000", "?0"))
        self.succeed(self.append(before, 7000, self.data[7000:], True))

    def test_a_stop_keeps_what_came(self):
        path = self.create(self.data[:9000])["Location"]
        self.assertEqual(self.server.stop(signal.SIGTERM), 0)
        self.server.start()
        self.assertEqual(self.server.head(path)["Upload-Offset"], "9000")
        self.succeed(self.append(path, 9000, self.data[9000:], True))

    def test_begun_in_tus(self):
        answer = self.server.request("POST", "/uploads", headers={
            **TUS, "Upload-Length": str(len(self.data)), "Upload-Metadata": "filename Yi5qcGc="})
        path = answer["Location"]
        self.assertEqual(self.server.request("PATCH", path, body=self.data[:4000], headers={
            **CHUNK, "Upload-Offset": "0"}).status, 204)
        head = self.server.head(path)
        self.assertEqual((head["Upload-Offset"], head["Upload-Length"], head["Upload-Complete"]),
                         ("4000", str(len(self.data)), "?0"))
        answer = self.append(path, 4000, self.data[4000:], True)
        self.assertEqual(self.succeed(answer)["response"]["image"]["filename"], "b.jpg")
        head = self.server.head(path, Tus_Resumable="1.0.0")
        self.assertEqual((head.status, head["Upload-Offset"]), (200, str(len(self.data))))

    def test_ended_in_tus(self):
        path = self.create(self.data[:4000])["Location"]
        head = self.server.head(path, Tus_Resumable="1.0.0")
        self.assertEqual((head["Upload-Offset"], head["Upload-Defer-Length"]), ("4000", "1"))
        answer = self.server.request("PATCH", path, body=self.data[4000:], headers={
            **CHUNK, "Upload-Offset": "4000", "Upload-Length": str(len(self.data))})
        self.assertEqual((answer.status, answer["Upload-Offset"]), (204, str(len(self.data))), answer)
        self.succeed(answer)

    def test_all_bytes_in_ietf_and_the_end_in_tus(self):
        path = self.create(None, Upload_Length=str(len(self.data)))["Location"]
        self.assertEqual(self.append(path, 0, self.data)["Upload-Complete"], "?0")
        answer = self.server.request("PATCH", path, body=b"", headers={
            **CHUNK, "Upload-Offset": str(len(self.data))})
        self.assertEqual(answer.status, 204, answer)
        self.succeed(answer)
        path = self.create(None, Upload_Length=str(len(self.data)))["Location"]
        self.assertEqual(self.append(path, 0, self.data)["Upload-Complete"], "?0")
        self.succeed(self.server.head(path, Tus_Resumable="1.0.0"))  # its clients ask and are done


class Limits(unittest.TestCase):
    def test_what_was_not_created_has_no_address(self):
        with Server("--max-uploads", "1") as server:
            headers = {"Upload-Complete": "?0", "Upload-Length": "1000"}
            self.assertEqual(server.request("POST", "/images", headers=headers).status, 201)
            answer = server.request("POST", "/images", headers=headers)
            self.assertEqual((answer.status, answer["Upload-Complete"], answer["Location"],
                              answer["Upload-Offset"]), (429, "?0", None, None), answer)
        with Server("--max-file", "100T", "--max-uploads", "9") as server:
            answer = server.request("POST", "/images", headers={
                "Upload-Complete": "?0", "Upload-Length": str(90 << 40)})
            self.assertEqual((answer.status, answer["Upload-Complete"], answer["Location"],
                              answer["Upload-Offset"]), (507, "?0", None, None), answer)


class Expiry(unittest.TestCase):
    def test_complete_but_unended_expires(self):
        with Server("--upload-expiry", "2") as server:
            data = image("small.jpg")
            answer = server.request("POST", "/uploads", body=data, headers={
                "Upload-Complete": "?0", "Upload-Length": str(len(data))})
            path, end = answer["Location"], time.monotonic() + 20 * harness.SLOW
            while (server.data / "staging" / path.split("/")[-1]).exists() and time.monotonic() < end:
                time.sleep(0.2)
            self.assertEqual(server.head(path).status, 410)
            self.assertEqual(server.get("/images?state=pending").json()["items"], [])
            self.assertEqual(server.get("/images").json()["items"], [])


if __name__ == "__main__":
    harness.main()
