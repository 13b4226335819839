"""Digest fields (RFC 9530) on uploads, and uploads of what is there already."""

import base64
import hashlib
import statistics
import time
import unittest

import harness
from harness import Server, image
from test_access import make_key

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
APPEND = {"Content-Type": "application/partial-upload"}


def field(data, algorithm="sha-256"):
    digest = hashlib.new(algorithm.replace("-", ""), data).digest()
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


def fresh(data, mark):
    """Other bytes of the same picture: what follows the end of a JPEG is ignored."""
    return data + mark.encode()


class Whole(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()
        cls.data = image("small.jpg")

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def put(self, data=None, **headers):
        return self.server.request("PUT", "/images/a.jpg", body=data or self.data,
                                   headers=harness.dashed(headers))

    def test_right(self):
        for name in ("Content_Digest", "Repr_Digest"):
            answer = self.put(**{name: field(self.data)})
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(self.server.wait_job(answer["Location"])["state"], "succeeded")
        answer = self.put(Content_Digest=field(self.data), Repr_Digest=field(self.data))
        self.assertEqual(answer.status, 202, answer)

    def test_wrong(self):
        for name, status, code in (("Content_Digest", 400, "content_digest_mismatch"),
                                   ("Repr_Digest", 422, "repr_digest_mismatch")):
            mine, said = fresh(self.data, "wrong " + name), field(b"other")
            answer = self.put(mine, **{name: said})
            self.assertEqual((answer.status, answer.json()["code"]), (status, code), answer)
            self.assertIn(said, answer.json()["detail"])
            self.assertIn(field(mine), answer.json()["detail"])
            self.assertEqual(self.server.get(f"/blobs/{hashlib.sha256(mine).hexdigest()}").status, 404)
        answer = self.server.request("POST", "/images", body=self.data,
                                     headers={"Content-Digest": field(b"x")})
        self.assertEqual(answer.status, 400, answer)

    def test_other_algorithms_are_ignored(self):
        answer = self.put(Content_Digest=field(b"other", "sha-512") + ", unixsum=:AAA=:",
                          Repr_Digest="md5=:AAAA:")
        self.assertEqual(answer.status, 202, answer)

    def test_malformed(self):
        for value in ("sha-256=abc", "sha-256=:AAAA:", "sha-256", "SHA-256=:AAAA:", "sha-256=:!:",
                      "sha-512=1", field(b"x") + ",", field(b"x")[:-1]):
            for name in ("Content_Digest", "Repr_Digest"):
                answer = self.put(**{name: value})
                self.assertEqual((answer.status, answer.json()["code"]), (400, "invalid_header"),
                                 (name, value))

    def test_the_last_of_an_algorithm_counts(self):
        self.assertEqual(self.put(Content_Digest=field(b"x") + ", " + field(self.data)).status, 202)
        self.assertEqual(self.put(Content_Digest=field(self.data) + ", " + field(b"x")).status, 400)

    def test_given_with_blobs_and_originals(self):
        made = self.server.upload(self.data)
        for path in (f"/blobs/{made['sha256']}", f"/i/{made['id']}/original"):
            for headers in ({}, {"Range": "bytes=0-9"}, {"Want-Repr-Digest": "sha-256=10"}):
                answer = self.server.request("GET", path, headers=headers)
                self.assertEqual(answer["Repr-Digest"], field(self.data), (path, headers))


class Resumable(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def create(self, size, **headers):
        return self.server.request("POST", "/uploads", headers={
            **TUS, "Upload-Length": str(size), **harness.dashed(headers)})

    def patch(self, path, offset, data, **headers):
        return self.server.request("PATCH", path, body=data, headers={
            **CHUNK, "Upload-Offset": str(offset), **harness.dashed(headers)})

    def offset(self, path):
        return int(self.server.head(path, Tus_Resumable="1.0.0")["Upload-Offset"])

    def test_a_wrong_body_is_not_kept(self):
        data = fresh(image("photo.jpg"), "not kept")
        path = self.create(len(data))["Location"]
        self.assertEqual(self.patch(path, 0, data[:100_000], Content_Digest=field(data[:100_000])).status,
                         204)
        answer = self.patch(path, 100_000, data[100_000:], Content_Digest=field(b"other"))
        self.assertEqual((answer.status, answer.json()["code"]), (400, "content_digest_mismatch"))
        self.assertEqual(answer["Upload-Offset"], "100000")
        self.assertEqual(self.offset(path), 100_000)
        answer = self.patch(path, 100_000, b"", Content_Digest=field(b"x"))
        self.assertEqual(answer.status, 400, answer)
        answer = self.patch(path, 100_000, data[100_000:], Content_Digest=field(data[100_000:]))
        self.assertEqual(answer.status, 204, answer)
        self.assertEqual(self.patch(path, 1, b"x", Content_Digest="sha-256=1").status, 400)

    def test_the_same_without_tus(self):
        data = fresh(image("small.jpg"), "ietf")
        answer = self.server.request("POST", "/uploads", body=data[:1000], headers={
            "Upload-Complete": "?0", "Content-Digest": field(b"x")})
        self.assertEqual((answer.status, answer["Upload-Complete"], answer["Upload-Offset"]),
                         (400, "?0", "0"), answer)
        path = answer["Location"]
        answer = self.server.request("PATCH", path, body=data, headers={
            **APPEND, "Upload-Offset": "0", "Upload-Complete": "?1", "Content-Digest": field(data)})
        self.assertEqual((answer.status, answer["Upload-Complete"]), (202, "?1"), answer)
        head = self.server.head(path, Want_Repr_Digest="sha-512=5, sha-256=3")
        self.assertEqual(head["Repr-Digest"], field(data))
        self.assertIsNone(self.server.head(path, Want_Repr_Digest="sha-256=0")["Repr-Digest"])
        self.assertIsNone(self.server.head(path)["Repr-Digest"])
        head = self.server.head(path, Tus_Resumable="1.0.0", Want_Repr_Digest="sha-256=1")
        self.assertEqual(head["Repr-Digest"], field(data))

    def test_the_whole_is_refused_at_its_end(self):
        data = fresh(image("small.jpg"), "refused")
        path = self.create(len(data), Repr_Digest=field(b"other"))["Location"]
        self.assertEqual(self.patch(path, 0, data[:5000]).status, 204)
        self.server.kill()
        self.server.start()
        for _ in range(2):  # and told again
            answer = self.patch(path, 5000, data[5000:])
            self.assertEqual((answer.status, answer.json()["code"]), (422, "repr_digest_mismatch"))
            self.assertIn(field(b"other"), answer.json()["detail"])
            self.assertIn(field(data), answer.json()["detail"])
        self.assertEqual(self.server.head(path).status, 410)
        path = self.create(len(data), Repr_Digest=field(data))["Location"]
        self.assertEqual(self.patch(path, 0, data).status, 204)

    def test_what_is_there_needs_no_byte(self):
        data = fresh(image("small.jpg"), "there")
        first = self.server.upload(data)
        answer = self.create(len(data), Repr_Digest=field(data))
        self.assertEqual((answer.status, answer["Upload-Offset"]), (201, str(len(data))), answer)
        job = self.server.wait_job(answer["Link"].split(">")[0].lstrip("<"))
        self.assertEqual(job["response"]["image"]["sha256"], first["sha256"])
        self.assertNotEqual(job["response"]["image"]["id"], first["id"])
        head = self.server.head(answer["Location"], Tus_Resumable="1.0.0", Want_Repr_Digest="sha-256=1")
        self.assertEqual((head["Upload-Offset"], head["Repr-Digest"]), (str(len(data)), field(data)))
        # Without tus: careful creation, of known and unknown length.
        for length in ({}, {"Upload-Length": str(len(data))}):
            answer = self.server.request("POST", "/images", headers={
                "Upload-Complete": "?0", "Repr-Digest": field(data), **length})
            self.assertEqual((answer.status, answer["Upload-Complete"]), (202, "?1"), answer)
            self.assertTrue(answer["Location"].startswith("/jobs/"))
        answer = self.create(len(data) + 1, Repr_Digest=field(data))
        self.assertEqual((answer.status, answer["Upload-Offset"]), (201, "0"), answer)
        self.assertEqual(self.server.request("DELETE", f"/images/{first['id']}").status, 204)


class Probe(unittest.TestCase):
    """Without the read scope nothing tells whether a blob is there."""

    def test_nothing_differs(self):
        with Server() as server:
            writer = make_key(server, "write")
            both = make_key(server, "read,write")
            data = image("small.jpg")
            server.key = both
            server.upload(data)

            def probe(key, digest):
                began = time.perf_counter()
                answer = server.request("POST", "/uploads", headers={
                    **TUS, "Authorization": f"Bearer {key}", "Upload-Length": str(len(data)),
                    "Repr-Digest": digest})
                took = time.perf_counter() - began
                hidden = ("date", "x-request-id", "location", "upload-expires")
                return took, (answer.status, answer.body,
                              [(k, v) for k, v in answer.headers if k.lower() not in hidden],
                              [k for k, _ in answer.headers])

            known, unknown = field(data), field(b"never seen")
            self.assertEqual(probe(both, known)[1][0], 201)
            self.assertNotEqual(probe(both, known)[1], probe(both, unknown)[1])
            times = {known: [], unknown: []}
            for _ in range(15):
                for digest in times:
                    took, seen = probe(writer, digest)
                    times[digest].append(took)
                    self.assertEqual(seen, probe(writer, unknown)[1])
            ratio = statistics.median(times[known]) / statistics.median(times[unknown])
            self.assertTrue(0.4 < ratio < 2.5, ratio)


if __name__ == "__main__":
    harness.main()
