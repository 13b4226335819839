"""The extensions of tus 1.0.0 beyond creation, termination and expiry, over raw requests."""

import base64
import hashlib
import socket
import threading
import time
import unittest

import harness
from harness import Server, image
from test_access import make_key, wait_until_closed
from test_tus import CHUNK, TUS, broken_patch, create, job_of, offset_of, patch

MAX = 200 << 20


def large():
    """Some requests' worth of bytes that are quick to decode: what follows its end is no part of a JPEG."""
    return image("small.jpg") + hashlib.shake_128(b"rest").digest(1_600_000)


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
        data = large()
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
        data = large()
        with Server("--max-file", str(len(data))) as server:
            location = server.request("POST", "/uploads", headers={**TUS, "Upload-Defer-Length": "1"})["Location"]
            self.assertEqual(patch(server, location, 0, data).status, 204)
            answer = patch(server, location, len(data), b"x")
            self.assertEqual((answer.status, answer.json()["limit"], answer.json()["value"]),
                             (413, len(data), len(data) + 1), answer)
            self.assertEqual(offset_of(server, location), len(data))


def checksum(name, data):
    return f"{name} {base64.b64encode(hashlib.new(name, data).digest()).decode()}"


class Checksum(Extensions):
    def patch(self, path, offset, data, value):
        return self.server.request("PATCH", path, body=data, headers={
            **CHUNK, "Upload-Offset": str(offset), "Upload-Checksum": value})

    def chunked(self, path, offset, data, trailer, announce="Upload-Checksum", head=()):
        """A chunked PATCH with a trailer section, on a raw socket; status, head and body."""
        lines = [f"PATCH {path} HTTP/1.1", "Host: localhost", "Connection: close", "Tus-Resumable: 1.0.0",
                 "Content-Type: application/offset+octet-stream", f"Upload-Offset: {offset}",
                 "Transfer-Encoding: chunked", *head, *([f"Trailer: {announce}"] if announce else [])]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (data[:999], data[999:]) if piece)
        end = "".join(f"{line}\r\n" for line in trailer)
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=30 * harness.SLOW) as connection:
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body + b"0\r\n" + end.encode() + b"\r\n")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body

    def test_both_algorithms(self):
        data = image("small.jpg")
        for name in ("sha1", "sha256"):
            path = create(self.server, len(data))["Location"]
            answer = self.patch(path, 0, data[:1000], checksum(name, data[:1000]))
            self.assertEqual((answer.status, answer["Upload-Offset"]), (204, "1000"), answer)
            self.check_job(self.patch(path, 1000, data[1000:], checksum(name, data[1000:])), data)

    def test_mismatch_discards_the_chunk(self):
        data = large()
        for begin, end in ((0, 500), (500, 100_000), (100_000, len(data))):
            path = create(self.server, len(data))["Location"]
            if begin:
                self.assertEqual(patch(self.server, path, 0, data[:begin]).status, 204)
            for name in ("sha1", "sha256"):
                wrong = b"\0" * (end - begin)
                answer = self.patch(path, begin, wrong, checksum(name, data[begin:end]))
                self.assertEqual((answer.status, answer.json()["code"]), (460, "checksum_mismatch"))
                self.assertEqual(offset_of(self.server, path), begin)
            self.assertEqual(self.patch(path, begin, data[begin:end], checksum("sha1", data[begin:end])).status, 204)
            if end < len(data):
                self.assertEqual(patch(self.server, path, end, data[end:]).status, 204)
            self.check_job(self.head(path), data)

    def test_refused_values(self):
        data = image("small.jpg")
        path = create(self.server, len(data))["Location"]
        for value in ("md5 1B2M2Y8AsgTpgAmY7PhCfg==", "sha1", "sha1 !", "sha1 AAAA", "SHA1 " + checksum("sha1", data)[5:],
                      checksum("sha1", data) + " ,", ""):
            answer = self.patch(path, 0, data, value)
            self.assertEqual((answer.status, answer.json()["code"]), (400, "invalid_header"), value)
            self.assertEqual(offset_of(self.server, path), 0)
        self.check_job(self.patch(path, 0, data, checksum("sha256", data)), data)

    def test_empty_chunk(self):
        path = create(self.server, 100)["Location"]
        self.assertEqual(self.patch(path, 0, b"", checksum("sha1", b"")).status, 204)
        self.assertEqual(self.patch(path, 0, b"", checksum("sha1", b"x")).status, 460)

    def test_broken_connection_keeps_nothing(self):
        """It cannot be verified, so it is as if it had not come; without a checksum it stays."""
        data = large()
        path = create(self.server, len(data))["Location"]
        self.assertEqual(patch(self.server, path, 0, data[:1000]).status, 204)
        for field, kept in ((f"Upload-Checksum: {checksum('sha1', data[1000:])}\r\n", 1000), ("", 401_000)):
            with socket.create_connection(("127.0.0.1", self.server.port)) as connection:
                connection.sendall((f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n{field}"
                                    "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 1000\r\n"
                                    f"Content-Length: {len(data) - 1000}\r\n\r\n").encode() + data[1000:401_000])
                time.sleep(0.2)
            self.assertEqual(offset_of(self.server, path), kept)
        self.check_job(self.patch(path, 401_000, data[401_000:], checksum("sha1", data[401_000:])), data)

    def test_taken_over_keeps_nothing(self):
        data = large()
        path = create(self.server, len(data))["Location"]
        with socket.create_connection(("127.0.0.1", self.server.port)) as stalled:
            stalled.sendall((f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                             f"Upload-Checksum: {checksum('sha256', data)}\r\n"
                             "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
                             f"Content-Length: {len(data)}\r\n\r\n").encode() + data[:100_000])
            time.sleep(0.3 * harness.SLOW)
            self.assertEqual((self.server.data / "staging" / path.split("/")[-1]).stat().st_size, 100_000)
            self.assertEqual(offset_of(self.server, path), 0)
        self.check_job(patch(self.server, path, 0, data), data)

    def test_kill_in_a_checked_chunk(self):
        """Neither in memory nor on the disk: what was not verified is not there after a restart."""
        data = large()
        with Server() as server:
            path = create(server, len(data))["Location"]
            self.assertEqual(patch(server, path, 0, data[:1000]).status, 204)
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall((f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                                    f"Upload-Checksum: {checksum('sha1', data)}\r\n"
                                    "Content-Type: application/offset+octet-stream\r\nUpload-Offset: 1000\r\n"
                                    f"Content-Length: {len(data) - 1000}\r\n\r\n").encode() + b"\0" * 500_000)
                time.sleep(0.3 * harness.SLOW)
                server.kill()
            self.assertEqual((server.data / "staging" / path.split("/")[-1]).stat().st_size, 501_000)
            server.start()
            self.assertEqual(offset_of(server, path), 1000)
            answer = patch(server, path, 1000, data[1000:])
            job = server.wait_job(job_of(answer))
            self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(data).hexdigest())

    def test_with_creation(self):
        data = image("small.jpg")
        create_checked = lambda body, value: self.server.request("POST", "/uploads", body=body, headers={
            **CHUNK, "Upload-Length": str(len(data)), "Upload-Checksum": value})
        self.check_job(create_checked(data, checksum("sha256", data)), data)
        answer = create_checked(data, checksum("sha1", b"other"))
        self.assertEqual(answer.status, 460, answer)
        path = answer["Location"]
        self.assertEqual(offset_of(self.server, path), 0)
        self.check_job(patch(self.server, path, 0, data), data)
        self.assertEqual(create_checked(data, "md5 AAAA").status, 400)

    def test_wrong_type_after_its_checksum(self):
        text = b"no photo at all\n" * 10000
        path = create(self.server, len(text))["Location"]
        answer = self.patch(path, 0, text, checksum("sha1", b"other"))
        self.assertEqual(answer.status, 460, "bytes that were damaged on the way refuse nothing")
        answer = self.patch(path, 0, text, checksum("sha1", text))
        self.assertEqual((answer.status, answer.json()["code"]), (415, "unsupported_type"))

    def test_trailer(self):
        data = image("small.jpg")
        for name in ("sha1", "sha256"):
            path = create(self.server, len(data))["Location"]
            status, head, _ = self.chunked(path, 0, data[:2000], [f"Upload-Checksum: {checksum(name, data[:2000])}"])
            self.assertEqual(status, 204, head)
            status, head, body = self.chunked(path, 2000, data[2000:], [f"Upload-Checksum: {checksum(name, b'x')}"])
            self.assertEqual(status, 460, head)
            self.assertIn(b"checksum_mismatch", body)
            self.assertEqual(offset_of(self.server, path), 2000)
            status, head, _ = self.chunked(path, 2000, data[2000:], [
                "X-Other: 1", f"upload-checksum:  {checksum(name, data[2000:])} "], "X-Other, upload-checksum")
            self.assertEqual(status, 204, head)
            self.check_job(self.head(path), data)

    def test_refused_trailers(self):
        data = image("small.jpg")
        right = f"Upload-Checksum: {checksum('sha1', data)}"
        path = create(self.server, len(data))["Location"]
        for trailer, announce, head in (
                ([], "Upload-Checksum", ()), ([right], None, ()), ([right, right], "Upload-Checksum", ()),
                ([right], "Upload-Checksum", (right,)), ([right], None, (right,)),
                (["Upload-Checksum: md5 AAAA"], "Upload-Checksum", ()), (["Upload-Checksum:"], "Upload-Checksum", ()),
                (["Upload-Checksum: sha1 AAAA"], "Upload-Checksum", ())):
            status, text, _ = self.chunked(path, 0, data, trailer, announce, head)
            self.assertEqual(status, 400, (trailer, announce, head, text))
            self.assertEqual(offset_of(self.server, path), 0)
        self.check_job(self.patch(path, 0, data, checksum("sha1", data)), data)


class Concat(Extensions):
    def partial(self, data, sent=None, server=None):
        """A partial upload of data, of which `sent` bytes are there; its address."""
        server = server or self.server
        answer = server.request("POST", "/uploads", headers={
            **TUS, "Upload-Length": str(len(data)), "Upload-Concat": "partial"})
        self.assertEqual(answer.status, 201, answer)
        if sent != 0:
            answer_of_patch = patch(server, answer["Location"], 0, data[:sent])
            self.assertEqual((answer_of_patch.status, answer_of_patch["Link"]), (204, None))
        return answer["Location"]

    def final(self, *paths, server=None, body=None, **headers):
        return (server or self.server).request("POST", "/uploads", body=body, headers={
            **TUS, "Upload-Concat": "final;" + " ".join(paths), **headers})

    def two(self, data):
        return self.partial(data[:1_000_001]), self.partial(data[1_000_001:])

    def test_one_image_of_two_parts(self):
        data = large()
        paths = self.two(data)
        head = self.head(paths[0])
        self.assertEqual((head["Upload-Concat"], head["Upload-Offset"], head["Upload-Length"], head["Link"]),
                         ("partial", "1000001", "1000001", None))
        images = len(self.server.get("/images?limit=200").json()["items"])
        name = base64.b64encode("ganz.jpg".encode()).decode()
        answer = self.final(*paths, **{"Upload-Metadata": f"filename {name}"})
        self.assertEqual(answer.status, 201, answer)
        job = self.check_job(answer, data)
        self.assertEqual(job["response"]["image"]["filename"], "ganz.jpg")
        self.assertEqual(len(self.server.get("/images?limit=200").json()["items"]), images + 1)
        head = self.head(answer["Location"])
        self.assertEqual((head.status, head["Upload-Concat"], head["Upload-Metadata"]),
                         (200, "final;" + " ".join(paths), f"filename {name}"))
        self.assertEqual((head["Upload-Offset"], head["Upload-Length"]), (str(len(data)), str(len(data))))
        self.assertEqual(job_of(head), f'/jobs/{job["id"]}')
        # Used again, by an absolute address; and what was there before is a duplicate.
        again = self.final(self.server.url + paths[0], "https://elsewhere.example" + paths[1])
        self.check_job(again, data)
        self.assertNotEqual(job_of(again), job_of(answer))

    def test_final_takes_no_bytes(self):
        data = image("small.jpg")
        paths = self.partial(data[:500]), self.partial(data[500:])
        answer = self.final(*paths, body=b"x", **CHUNK)
        self.assertEqual((answer.status, answer.json()["code"]), (403, "final_upload"))
        done = self.final(*paths)["Location"]
        waiting = self.final(paths[0], self.partial(data[500:], 0))["Location"]
        for path in (done, waiting):
            for offset in (0, len(data)):
                answer = patch(self.server, path, offset, b"")
                self.assertEqual((answer.status, answer.json()["code"]), (403, "final_upload"))
        self.assertEqual(self.server.request("DELETE", waiting, headers=TUS).status, 204)
        self.assertEqual(self.head(waiting).status, 410)
        self.assertEqual(patch(self.server, waiting, 0, b"").status, 410)

    def test_unfinished_parts(self):
        data = large()
        first, second = self.partial(data[:800_000]), self.partial(data[800_000:], 100)
        answer = self.final(first, second)
        self.assertEqual((answer.status, answer["Upload-Offset"], answer["Link"]), (201, None, None), answer)
        path = answer["Location"]
        head = self.head(path)
        self.assertEqual((head.status, head["Upload-Offset"], head["Upload-Length"], head["Upload-Concat"]),
                         (200, None, str(len(data)), f"final;{first} {second}"))
        self.assertEqual(patch(self.server, second, 100, data[800_100:]).status, 204)
        head = self.head(path)
        self.assertEqual((head.status, head["Upload-Offset"]), (200, str(len(data))))
        self.check_job(head, data)

    def test_other_protocol(self):
        """What is joined, and how, only tus can tell."""
        data = image("small.jpg")
        part = self.partial(data[:900])
        for path, offset, code in ((part, 900, "partial_upload"), (self.final(self.partial(data))["Location"], len(data),
                                                                   "final_upload")):
            answer = self.server.request("PATCH", path, body=b"", headers={
                "Content-Type": "application/partial-upload", "Upload-Offset": str(offset), "Upload-Complete": "?1"})
            self.assertEqual((answer.status, answer.json()["code"]), (403, code), answer)
        self.assertEqual(offset_of(self.server, part), 900)

    def test_deferred_part(self):
        data = image("small.jpg")
        answer = self.server.request("POST", "/uploads", body=data, headers={
            **CHUNK, "Upload-Defer-Length": "1", "Upload-Concat": "partial"})
        part = answer["Location"]
        final = self.final(part)["Location"]
        head = self.head(final)
        self.assertEqual((head["Upload-Length"], head["Upload-Offset"], head["Upload-Defer-Length"]), (None,) * 3)
        answer = self.server.request("PATCH", part, body=b"", headers={
            **CHUNK, "Upload-Offset": str(len(data)), "Upload-Length": str(len(data))})
        self.assertEqual(answer.status, 204)
        self.check_job(self.head(final), data)

    def test_refusals(self):
        data = image("small.jpg")
        part = self.partial(data)
        plain = create(self.server, 10)["Location"]
        gone = self.partial(data, 0)
        self.server.request("DELETE", gone, headers=TUS)
        for paths, status, code in (
                ([], 400, "invalid_header"), (["/uploads/x"], 400, "invalid_header"), ([plain], 400, "invalid_header"),
                ([part + "," + part], 400, "invalid_header"), ([part] * 65, 400, "invalid_header"),
                (["/uploads/" + "0" * 32], 404, "not_found"), ([part, gone], 410, "gone")):
            answer = self.final(*paths)
            self.assertEqual((answer.status, answer.json()["code"], answer["Location"]), (status, code, None), paths)
        self.assertIn(gone, self.final(part, gone).json()["detail"])
        for headers in ({"Upload-Length": "5"}, {"Upload-Defer-Length": "1"}):
            self.assertEqual(self.final(part, **headers).status, 400)
        for value in ("Partial", "partial;", "final", "other"):
            answer = self.server.request("POST", "/uploads", headers={
                **TUS, "Upload-Length": "5", "Upload-Concat": value})
            self.assertEqual(answer.status, 400, value)
        text = b"no photo at all\n" * 10000
        halves = self.partial(text[:7]), self.partial(text[7:])
        answer = self.final(*halves)
        self.assertEqual((answer.status, answer.json()["code"], answer["Location"]), (415, "unsupported_type", None))

    def test_limit_of_the_whole(self):
        data = image("small.jpg")
        with Server("--max-file", str(len(data))) as server:
            paths = self.partial(data, server=server), self.partial(b"x", server=server)
            answer = self.final(*paths, server=server)
            self.assertEqual((answer.status, answer.json()["limit"], answer.json()["value"]),
                             (413, len(data), len(data) + 1), answer)
            self.assertEqual(self.final(paths[0], server=server).status, 201)

    def test_checksums_and_breaks_of_parts(self):
        data = large()
        first = self.partial(data[:900_000], 0)
        answer = self.server.request("PATCH", first, body=data[:900_000], headers={
            **CHUNK, "Upload-Offset": "0", "Upload-Checksum": checksum("sha1", b"other")})
        self.assertEqual(answer.status, 460)
        broken_patch(self.server, first, 0, data[:900_000], 300_000)
        self.assertEqual(offset_of(self.server, first), 300_000)
        rest = data[300_000:900_000]
        answer = self.server.request("PATCH", first, body=rest, headers={
            **CHUNK, "Upload-Offset": "300000", "Upload-Checksum": checksum("sha256", rest)})
        self.assertEqual(answer.status, 204)
        self.check_job(self.final(first, self.partial(data[900_000:])), data)

    def test_restart_between(self):
        data = large()
        with Server() as server:
            paths = self.partial(data[:10], server=server), self.partial(data[10:], 500, server=server)
            path = self.final(*paths, server=server)["Location"]
            server.kill()
            server.start()
            self.assertEqual(patch(server, paths[1], 500, data[510:]).status, 204)
            server.kill()
            server.start()
            job = server.wait_job(job_of(server.head(path, Tus_Resumable="1.0.0")))
            self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(data).hexdigest())

    def test_another_key(self):
        data = image("small.jpg")
        with Server() as server:
            part = self.partial(data, server=server)
            keys = [make_key(server, "write") for _ in range(2)]
            wait_until_closed(server)
            mine = server.request("POST", "/uploads", body=data, headers={
                **CHUNK, "Upload-Length": str(len(data)), "Upload-Concat": "partial",
                "Authorization": f"Bearer {keys[0]}"})["Location"]
            for key, path, status in ((keys[1], mine, 403), (keys[0], part, 403), (keys[0], mine, 201)):
                answer = self.final(path, server=server, Authorization=f"Bearer {key}")
                self.assertEqual(answer.status, status, answer)

    def test_many_finals_of_the_same_parts_at_once(self):
        data = large()
        paths = self.two(data)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.final(*paths))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual([answer.status for answer in answers], [201] * 8)
        self.assertEqual(len({job_of(answer) for answer in answers}), 8)
        for answer in answers:
            self.check_job(answer, data)


class Core(Extensions):
    def test_options_lists_what_is_there(self):
        answer = self.server.request("OPTIONS", "/uploads")
        self.assertEqual(sorted(answer["Tus-Extension"].split(",")), sorted(EXTENSIONS))
        self.assertEqual(answer["Tus-Checksum-Algorithm"], "sha1,sha256")

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
        for target in ("/uploads", path):
            answer = self.override(target, "OPTIONS")
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


EXTENSIONS = ["creation", "creation-with-upload", "creation-defer-length", "termination", "expiration",
              "checksum", "checksum-trailer", "concatenation", "concatenation-unfinished"]

if __name__ == "__main__":
    harness.main()
