"""What comes down: prints, blobs, originals; conditions, ranges, cache, delete."""

import base64
import hashlib
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
        answer = self.server.get(f"{path}?w=500")
        self.assertEqual((answer.status, answer.json()["code"]), (400, "invalid_parameter"))
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
    def test_gone_at_once_and_shared_blob_stays(self):
        with Server() as server:
            data = image("small.jpg")
            one, two = server.upload(data, "one.jpg"), server.upload(data, "two.jpg")
            paths = [one["url"], one["original"], f'/images/{one["id"]}']
            paths += [p["url"] for p in one["prints"]]
            for path in paths:
                self.assertEqual(server.get(path).status, 200)
                self.assertEqual(server.get(path).status, 200)  # from the cache
            self.assertEqual(server.request("DELETE", f'/images/{one["id"]}').status, 204)
            for path in paths:
                self.assertEqual(server.get(path).status, 404, path)
            self.assertEqual(server.request("DELETE", f'/images/{one["id"]}').status, 404)
            self.assertEqual(server.get(f'/blobs/{one["sha256"]}').status, 200)
            self.assertEqual(server.get(two["url"]).status, 200)
            self.assertEqual(server.request("DELETE", f'/images/{two["id"]}').status, 204)
            self.assertEqual(server.get(f'/blobs/{one["sha256"]}').status, 404)
            self.assertEqual(list((server.data / "prints").glob("*/*")), [])
            again = server.upload(data, "three.jpg")
            self.assertEqual(server.get(again["url"]).status, 200)

    def test_lists(self):
        with Server() as server:
            made = [server.upload(image("small.png"), f"{i}.png")["id"] for i in range(5)]
            page = server.get("/images?limit=2")
            self.assertEqual([i["id"] for i in page.json()["items"]], made[:2:-1])
            found = [i["id"] for i in page.json()["items"]]
            while page.json()["next"]:
                self.assertIn('rel="next"', page["Link"])
                page = server.get(f'/images?limit=2&cursor={page.json()["next"]}')
                found += [i["id"] for i in page.json()["items"]]
            self.assertEqual(found, made[::-1])
            self.assertEqual(server.get("/images?limit=0").status, 400)
            self.assertEqual(server.get("/images?cursor=nonsense").status, 400)
            self.assertEqual(server.get("/images?state=failed").json()["items"], [])
            self.assertEqual(len(server.get("/jobs").json()["items"]), 5)


class Damage(unittest.TestCase):
    def test_flipped_bit_is_never_served(self):
        with Server() as server:
            made = server.upload(image("small.jpg"), "x.jpg")
            server.kill()
            digest = made["sha256"]
            path = server.data / "objects" / digest[:2] / digest[2:]
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.chmod(0o644)
            path.write_bytes(data)
            server.start()
            answer = server.get(f"/blobs/{digest}")
            self.assertEqual((answer.status, answer.json()["code"]), (500, "digest_mismatch"))

    def test_lost_and_damaged_prints_are_made_again(self):
        with Server() as server:
            made = server.upload(image("photo.jpg"), "x.jpg")
            before = [server.get(p["url"]).body for p in made["prints"]]
            server.kill()
            files = sorted((server.data / "prints").glob("*/*"))
            self.assertEqual(len(files), 3)
            files[0].unlink()
            files[1].chmod(0o644)
            files[1].write_bytes(b"x" * files[1].stat().st_size)
            server.start()
            after = [server.get(p["url"]).body for p in made["prints"]]
            self.assertEqual([len(b) for b in after], [len(b) for b in before])
            self.assertEqual(after, before)


if __name__ == "__main__":
    harness.main()
