"""What comes down: prints, blobs, originals; conditions, ranges, cache, delete."""

import base64
import hashlib
import http.client
import os
import socket
import subprocess
import threading
import unittest

import harness
from harness import Server, image


class Delivery(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()
        cls.data = image("photo.jpg")
        cls.made = cls.server.upload(cls.data, "holiday ü.jpg")
        cls.blob = f'/blobs/{cls.made["sha256"]}'

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def test_image_is_upright_and_private(self):
        made = self.made
        self.assertEqual((made["width"], made["height"]), (3000, 4000))
        self.assertEqual(made["orientation"], 6)
        self.assertEqual(made["state"], "ready")
        self.assertRegex(made["blurhash"], r"^[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,}$")
        self.assertEqual([p["w"] for p in made["prints"]], [320, 640, 1280])
        self.assertNotIn("gps", str(made["exif"]).lower())
        for wanted in made["prints"]:
            answer = self.server.get(wanted["url"])
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer["Content-Type"], "image/webp")
            self.assertEqual(len(answer.body), wanted["size"])
            self.assertEqual(answer.body[8:12], b"WEBP")
            for chunk in (b"EXIF", b"XMP ", b"GPS"):
                self.assertNotIn(chunk, answer.body[:4096])
        self.assertIn("max-age=3600", answer["Cache-Control"])
        self.assertIn("public", answer["Cache-Control"])

    def test_widths(self):
        path = f'/i/{self.made["id"]}'
        self.assertEqual(self.server.get(f"{path}?w=640").body, self.server.get(f"{path}?w=640&x=1").body)
        self.assertEqual(self.server.get(path).body, self.server.get(f"{path}?w=1280").body)
        for width in (500, 1281, 2999):  # the image is 3000 wide
            answer = self.server.get(f"{path}?w={width}")
            self.assertEqual((answer.status, answer.json()["code"]), (400, "invalid_parameter"))
        for width in (3000, 3001, 10_000_000):
            beyond = self.server.get(f"{path}?w={width}")
            self.assertEqual((beyond.status, beyond.body), (200, self.server.get(path).body))
        self.assertIn("640", answer.json()["detail"])

    def test_small_image_keeps_its_width(self):
        made = self.server.upload(image("tiny.jpg"), "tiny.jpg")
        self.assertEqual(len(made["prints"]), 1)
        answer = self.server.get(f'/i/{made["id"]}?w=1280')
        self.assertEqual(answer.status, 200)
        self.assertEqual(made["prints"][0]["w"], made["width"])
        self.assertEqual(self.server.get(f'/i/{made["id"]}?w=101').body, answer.body)

    def test_blob_and_original(self):
        answer = self.server.get(self.blob)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body, self.data)
        self.assertIn("immutable", answer["Cache-Control"])
        self.assertEqual(answer["ETag"], f'"{self.made["sha256"]}"')
        self.assertEqual(answer["X-Content-Type-Options"], "nosniff")
        self.assertIn("sandbox", answer["Content-Security-Policy"])
        self.assertEqual(answer["Accept-Ranges"], "bytes")
        digest = base64.b64encode(hashlib.sha256(self.data).digest()).decode()
        self.assertEqual(answer["Repr-Digest"], f"sha-256=:{digest}:")
        answer = self.server.get(self.made["original"])
        self.assertEqual(answer.body, self.data)
        self.assertIn("filename*=UTF-8''holiday%20%C3%BC.jpg", answer["Content-Disposition"])

    def test_head(self):
        answer = self.server.head(self.blob)
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer["Content-Length"], str(len(self.data)))
        self.assertEqual(answer.body, b"")

    def test_cache_status(self):
        path = f'/i/{self.made["id"]}?w=320'
        self.server.get(path)
        self.assertEqual(self.server.get(path)["Cache-Status"], "calotype; hit")
        other = self.server.upload(image("small.gif"), "x.gif")
        self.assertEqual(self.server.get(other["url"])["Cache-Status"], "calotype; fwd=miss; stored")
        self.assertEqual(self.server.get(other["url"])["Cache-Status"], "calotype; hit")

    def test_conditions(self):
        etag = self.server.get(self.blob)["ETag"]
        for value in (etag, f'"other", {etag}', f"W/{etag}", "*"):
            answer = self.server.get(self.blob, If_None_Match=value)
            self.assertEqual((answer.status, answer.body, answer["ETag"]), (304, b"", etag), value)
        self.assertEqual(self.server.get(self.blob, If_None_Match='"other"').status, 200)
        self.assertEqual(self.server.head(self.blob, If_None_Match=etag).status, 304)

    def test_ranges(self):
        size = len(self.data)
        for field, first, last in (("bytes=0-9", 0, 9), ("bytes=100-", 100, size - 1),
                                   ("bytes=-7", size - 7, size - 1), ("bytes=0-99999999999", 0, size - 1),
                                   (f"bytes=-{size + 5}", 0, size - 1)):
            answer = self.server.get(self.blob, Range=field)
            self.assertEqual(answer.status, 206, (field, answer))
            self.assertEqual(answer["Content-Range"], f"bytes {first}-{last}/{size}")
            self.assertEqual(answer.body, self.data[first:last + 1])
        for field in ("bytes=5-2", "bytes=0-1,3-4", "lines=0-1", "bytes=x-", "bytes"):
            answer = self.server.get(self.blob, Range=field)
            self.assertEqual((answer.status, len(answer.body)), (200, size), field)
        for field in (f"bytes={size}-", "bytes=-0"):
            answer = self.server.get(self.blob, Range=field)
            self.assertEqual((answer.status, answer["Content-Range"]), (416, f"bytes */{size}"), field)
        self.assertEqual(self.server.head(self.blob, Range="bytes=0-9").status, 200)

    def test_if_range(self):
        etag = self.server.get(self.blob)["ETag"]
        self.assertEqual(self.server.get(self.blob, Range="bytes=0-9", If_Range=etag).status, 206)
        for value in ('"other"', f"W/{etag}", "Tue, 24 Nov 2026 06:54:19 GMT"):
            self.assertEqual(
                self.server.get(self.blob, Range="bytes=0-9", If_Range=value).status, 200, value)

    def test_many_at_once(self):
        made = self.server.upload(image("animated.gif"), "x.gif")
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(self.server.get(made["url"])))
                   for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({a.status for a in answers}, {200})
        self.assertEqual(len({a.body for a in answers}), 1)
        kinds = [a["Cache-Status"] for a in answers]
        self.assertEqual(kinds.count("calotype; fwd=miss; stored"), 1, kinds)

    def test_unknown(self):
        for path in (f'/i/{"0" * 32}', "/i/x", f'/blobs/{"0" * 64}', "/blobs/../../etc/passwd",
                     f'/images/{"0" * 32}', f'/i/{"0" * 32}/original', f'/jobs/{"0" * 32}'):
            self.assertEqual(self.server.get(path).status, 404, path)


class Delete(unittest.TestCase):
    """Each test leaves the server without images."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def delete(self, made):
        return self.server.request("DELETE", f'/images/{made["id"]}').status

    def test_gone_at_once_and_shared_blob_stays(self):
        server, data = self.server, image("small.jpg")
        one, two = server.upload(data, "one.jpg"), server.upload(data, "two.jpg")
        paths = [one["url"], one["original"], f'/images/{one["id"]}']
        paths += [p["url"] for p in one["prints"]]
        for path in paths:
            self.assertEqual(server.get(path).status, 200)
            self.assertEqual(server.get(path).status, 200)  # from the cache
        self.assertEqual(self.delete(one), 204)
        for path in paths:
            self.assertEqual(server.get(path).status, 404, path)
        self.assertEqual(self.delete(one), 404)
        self.assertEqual(server.get(f'/blobs/{one["sha256"]}').status, 200)
        self.assertEqual(server.get(two["url"]).status, 200)
        self.assertEqual(self.delete(two), 204)
        self.assertEqual(server.get(f'/blobs/{one["sha256"]}').status, 404)
        self.assertEqual(list((server.data / "prints").glob("*/*")), [])
        again = server.upload(data, "three.jpg")
        self.assertEqual(server.get(again["url"]).status, 200)
        self.assertEqual(self.delete(again), 204)

    def test_lists(self):
        server = self.server
        jobs = len(server.get("/jobs").json()["items"])
        made = [server.upload(image("tiny.png"), f"{i}.png") for i in range(5)]
        ids = [m["id"] for m in made]
        page = server.get("/images?limit=2")
        self.assertEqual([i["id"] for i in page.json()["items"]], ids[:2:-1])
        found = [i["id"] for i in page.json()["items"]]
        while page.json()["next"]:
            self.assertIn('rel="next"', page["Link"])
            page = server.get(f'/images?limit=2&cursor={page.json()["next"]}')
            found += [i["id"] for i in page.json()["items"]]
        self.assertEqual(found, ids[::-1])
        self.assertEqual(server.get("/images?limit=0").status, 400)
        self.assertEqual(server.get("/images?cursor=nonsense").status, 400)
        self.assertEqual(server.get("/images?state=failed").json()["items"], [])
        self.assertEqual(len(server.get("/jobs").json()["items"]), jobs + 5)
        self.assertEqual([self.delete(m) for m in made], [204] * 5)


class Damage(unittest.TestCase):
    """What has changed on the disk while the server was down."""

    @staticmethod
    def flip(path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)

    def test_originals_are_refused_and_prints_made_again(self):
        with Server() as server:
            flipped = server.upload(image("small.png"), "x.png")
            made = server.upload(image("small.jpg"), "x.jpg")
            before = [server.get(p["url"]).body for p in made["prints"]]
            server.kill()
            digest = flipped["sha256"]
            self.flip(server.data / "objects" / digest[:2] / digest[2:])
            names = [hashlib.sha256(body).hexdigest() for body in before]
            files = [server.data / "prints" / name[:2] / name[2:] for name in names]
            self.assertEqual(len(files), 3)
            files[0].unlink()
            self.flip(files[1])
            server.start()
            answer = server.get(f"/blobs/{digest}")
            self.assertEqual((answer.status, answer.json()["code"]), (500, "digest_mismatch"))
            after = [server.get(p["url"]).body for p in made["prints"]]
            self.assertEqual(after, before)


class Public(unittest.TestCase):
    """Who may read what, without keys and with them; addresses under a public URL."""

    def add_key(self, server, scopes):
        done = subprocess.run([str(harness.SERVER), "key", "add", "--data", str(server.data),
                               "--scope", scopes], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def expect_statuses(self, server, made, blob, original):
        self.assertEqual(server.get(f'/blobs/{made["sha256"]}').status, blob)
        self.assertEqual(server.get(f'/i/{made["id"]}/original').status, original)
        for wanted in made["prints"]:
            path = f'/i/{made["id"]}?w={wanted["w"]}'
            self.assertEqual(server.get(path).status, 200)  # always public

    def expect_addresses(self, server, base):
        """The image, by way of an upload whole and one in parts."""
        data = image("small.jpg")
        answer = server.request("PUT", "/images/x.jpg", body=data)
        self.assertTrue(answer["Location"].startswith(base + "/jobs/"), answer["Location"])
        made = server.wait_job(answer["Location"][len(base):])["response"]["image"]
        listed = server.get("/images").json()["items"][0]
        single = server.get(f'/images/{made["id"]}').json()
        for view in (made, listed, single):
            self.assertEqual(view["url"], f'{base}/i/{made["id"]}')
            self.assertEqual(view["original"], f'{base}/i/{made["id"]}/original')
            for wanted in view["prints"]:
                self.assertEqual(wanted["url"], f'{base}/i/{made["id"]}?w={wanted["w"]}')
        answer = server.request("PUT", "/images/y.png", body=image("tiny.png"))
        self.assertTrue(server.wait_job(answer["Location"][len(base):])["done"])
        for path in ("/images", "/jobs"):
            link = server.get(f"{path}?limit=1")["Link"]
            self.assertTrue(link.startswith(f"<{base}{path}?"), link)
        created = server.request("POST", "/uploads", body=data, headers={
            "Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)),
            "Content-Type": "application/offset+octet-stream"})
        self.assertEqual(created.status, 201, created)
        self.assertTrue(created["Location"].startswith(base + "/uploads/"))
        self.assertIn(f"<{base}/jobs/", created["Link"])
        return made

    def expect_guard(self, server, made, blob, original):
        """The statuses for whom has no key, once there is one."""
        self.expect_statuses(server, made, 200, 200)  # no key at all: open on loopback
        for path, status in ((f'/blobs/{made["sha256"]}', blob),
                             (f'/i/{made["id"]}/original', original)):
            word = "public," if status == 200 else "private,"
            self.assertTrue(server.get(path)["Cache-Control"].startswith(word), path)
        server.stop()
        reader, writer = self.add_key(server, "read"), self.add_key(server, "write")
        server.start()
        self.expect_statuses(server, made, blob, original)
        server.key = writer
        self.expect_statuses(server, made, 403 if blob == 401 else 200,
                             403 if original == 401 else 200)
        server.key = reader
        self.expect_statuses(server, made, 200, 200)
        server.key = None  # now it is in the cache
        self.expect_statuses(server, made, blob, original)

    def test_public_blobs(self):
        with Server("--blobs", "public", "--public-url", "https://photos.example.org") as server:
            made = self.expect_addresses(server, "https://photos.example.org")
            self.expect_guard(server, made, 200, 401)

    def test_public_originals(self):
        with Server("--originals", "public", "--public-url", "https://example.org/photos/") as server:
            made = self.expect_addresses(server, "https://example.org/photos")
            self.expect_guard(server, made, 401, 200)


class Large(unittest.TestCase):
    """Above 16 MiB: sent from the file, and no block of it without a look at its digest."""

    SIZE = 20_000_000
    LAST = SIZE // 131072 * 131072  # where the last block begins

    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def make(self):
        start = image("small.jpg")
        data = start + os.urandom(self.SIZE - len(start))
        made = self.server.upload(data, "large.jpg")
        digest = made["sha256"]
        path = self.server.data / "objects" / digest[:2] / digest[2:]
        path.chmod(0o644)
        return data, f"/blobs/{digest}", path

    @staticmethod
    def flip(path, at):
        with open(path, "r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1]))

    def expect_cut(self, path, at, data, **headers):
        """The answer breaks off before the damaged block; what came is right."""
        with self.assertRaises(http.client.IncompleteRead) as broken:
            self.server.get(path, **headers)
        came = broken.exception.partial
        self.assertLessEqual(len(came), at)
        self.assertEqual(came, data[:len(came)])
        self.assertRegex(self.server.log_text(), f"cache.body_cut.*b/{path[7:]}.*digest_mismatch")

    def expect_never_whole(self, path):
        """The first answer begins before the file is known to be wrong; its last block stays back."""
        with self.assertRaises(http.client.IncompleteRead) as broken:
            self.server.get(path)
        self.assertLessEqual(len(broken.exception.partial), self.LAST)
        self.assertRegex(self.server.log_text(),
                         f"cache.body_cut.*b/{path[7:]} offset={self.LAST}.*digest_mismatch")

    def begin(self, path):
        """A client that has read the head and no more."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(20 * harness.SLOW)
        client.connect(("127.0.0.1", self.server.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        response = http.client.HTTPResponse(client)
        response.begin()
        self.assertEqual(response.status, 200)
        return client, response

    def expect_refused(self, path, **headers):
        answer = self.server.get(path, **headers)
        self.assertEqual((answer.status, answer.json()["code"]), (500, "digest_mismatch"))

    def test_whole_parts_conditions(self):
        data, path, _ = self.make()
        etag = f'"{path[7:]}"'
        for way in ("fwd=miss; stored", "hit"):
            answer = self.server.get(path)
            self.assertEqual((answer.status, answer["Cache-Status"]), (200, f"calotype; {way}"))
            self.assertEqual((answer["ETag"], answer["Content-Length"]), (etag, str(self.SIZE)))
            self.assertEqual(answer.body, data)
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            self.assertEqual(answer["Repr-Digest"], f"sha-256=:{digest}:")
        for first, last in ((0, 0), (5, 131071), (131071, 131072), (262144, 393216),
                            (1_000_001, 1_999_999), (self.SIZE - 1, self.SIZE - 1)):
            answer = self.server.get(path, Range=f"bytes={first}-{last}")
            self.assertEqual(answer.status, 206)
            self.assertEqual(answer["Content-Range"], f"bytes {first}-{last}/{self.SIZE}")
            self.assertEqual(answer.body, data[first:last + 1])
        answer = self.server.head(path)
        self.assertEqual((answer.status, answer["Content-Length"]), (200, str(self.SIZE)))
        self.assertEqual(self.server.get(path, If_None_Match=etag).status, 304)
        self.assertEqual(self.server.get(path, Range=f"bytes={self.SIZE}-").status, 416)

    def test_flipped_before_the_first_request(self):
        data, path, file = self.make()
        for at in (0, self.SIZE // 2, self.SIZE - 1):
            self.flip(file, at)
            self.expect_never_whole(path)
            self.expect_never_whole(path)  # it was not kept
            self.expect_refused(path, Range="bytes=0-9")
            self.assertEqual(self.server.head(path).status, 500)
            self.flip(file, at)
        answer = self.server.get(path)
        self.assertEqual((answer.body, answer["Cache-Status"]), (data, "calotype; fwd=miss; stored"))

    def test_deleted_in_mid_stream(self):
        data, path, _ = self.make()
        image_id = self.server.get("/images?limit=1").json()["items"][0]["id"]
        client, response = self.begin(path)
        self.assertEqual(self.server.request("DELETE", f"/images/{image_id}").status, 204)
        self.assertEqual(self.server.get(path).status, 404)
        self.assertEqual(response.read(), data)  # what was begun ends
        client.close()
        self.assertEqual(self.server.get(path).status, 404)  # and was not kept
        self.server.upload(data, "again.jpg")
        self.assertEqual(self.server.get(path)["Cache-Status"], "calotype; fwd=miss; stored")

    def test_slow_client(self):
        data, path, _ = self.make()
        client, response = self.begin(path)
        for headers, expected in (({}, data), ({"Range": "bytes=7-9"}, data[7:10])):
            self.assertEqual(self.server.get(path, **headers).body, expected)
        self.assertEqual(self.server.get(path)["Cache-Status"], "calotype; hit")
        self.assertEqual(response.read(), data)
        client.close()

    def test_flipped_while_it_is_cached(self):
        data, path, file = self.make()
        self.assertEqual(self.server.get(path).body, data)
        at = self.SIZE // 2
        self.flip(file, at)
        answer = self.server.get(path, Range="bytes=0-99")  # the damage is elsewhere
        self.assertEqual((answer.status, answer.body), (206, data[:100]))
        self.expect_cut(path, at, data)
        self.expect_never_whole(path)
        self.expect_refused(path, Range="bytes=0-99")
        self.flip(file, at)
        self.assertEqual(self.server.get(path).body, data)

    def test_flipped_in_the_last_byte(self):
        data, path, file = self.make()
        self.assertEqual(self.server.head(path).status, 200)
        self.flip(file, self.SIZE - 1)
        self.expect_cut(path, self.SIZE - 1, data)

    def test_flipped_within_a_range(self):
        data, path, file = self.make()
        self.assertEqual(self.server.get(path, Range="bytes=0-9").body, data[:10])
        self.flip(file, 1_000_000)
        self.expect_cut(path, 500_000, data[500_000:], Range="bytes=500000-1500000")
        self.expect_refused(path, Range="bytes=500000-1500000")

    def test_cut_file(self):
        data, path, file = self.make()
        self.assertEqual(self.server.get(path).body, data)
        os.truncate(file, self.SIZE - 1)
        with self.assertRaises(http.client.IncompleteRead):
            self.server.get(path)

    def test_many_at_once_and_some_break_off(self):
        data, path, _ = self.make()
        bodies = []

        def break_off():
            with socket.create_connection(("127.0.0.1", self.server.port)) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                client.recv(100_000)

        threads = [threading.Thread(target=lambda: bodies.append(self.server.get(path).body))
                   for _ in range(6)]
        threads += [threading.Thread(target=break_off) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(bodies), 6)
        self.assertTrue(all(body == data for body in bodies))
        self.assertEqual(self.server.get(path).status, 200)


if __name__ == "__main__":
    harness.main()
