"""What keeps the store in order beside the uploads: durability, sweep, scrub."""

import hashlib
import os
import pathlib
import re
import sqlite3
import subprocess
import tempfile
import time
import unittest

import harness
from harness import Server, image
from test_tus import create, job_of, patch


def path_of(server, sha256, folder="objects"):
    return server.data / folder / sha256[:2] / sha256[2:]


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds * harness.SLOW
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xff
    path.chmod(0o600)
    path.write_bytes(data)


class Durability(unittest.TestCase):
    def test_async_says_so(self):
        data = image("small.jpg")
        with Server("--durability", "async") as server:
            answer = server.request("PUT", "/images/x.jpg", body=data)
            self.assertEqual((answer.status, answer["Calotype-Durability"]), (202, "async"))
            self.assertEqual(answer.json()["jobs"][0]["durability"], "async")
            self.assertEqual(server.wait_job(answer["Location"])["state"], "succeeded")
            made = create(server, len(data) + 1)
            self.assertEqual(made["Calotype-Durability"], "async")
            path = made["Location"]
            answer = patch(server, path, 0, data)
            self.assertEqual((answer.status, answer["Calotype-Durability"]), (204, "async"))
            server.kill()  # a crash of the process alone takes nothing
            server.start()
            answer = patch(server, path, len(data), b"1")
            self.assertEqual(answer.status, 204)
            self.assertEqual(server.wait_job(job_of(answer))["state"], "succeeded")
        with Server() as server:
            answer = server.request("PUT", "/images/x.jpg", body=data)
            self.assertIsNone(answer["Calotype-Durability"])
            self.assertNotIn("durability", answer.json()["jobs"][0])

    def test_async_flushes_a_database_elsewhere_too(self):
        """At the end, and each 5 s (the long form): the bytes, then the rows, each where it lies."""
        with tempfile.TemporaryDirectory() as folder:
            rows, trace = pathlib.Path(folder, "rows"), pathlib.Path(folder, "trace")
            rows.mkdir()

            def flushed(text):
                return re.findall(r"syncfs\(\d+<([^>]+)>", text)

            with Server("--durability", "async", "--database", str(rows / "calotype.db")) as server:
                tracer = subprocess.Popen(
                    ["strace", "-f", "-y", "-e", "trace=syncfs", "-o", str(trace),
                     "-p", str(server.process.pid)], stderr=subprocess.PIPE)
                self.assertIn(b"attached", tracer.stderr.readline())
                server.upload(image("small.jpg"))
                # A search for leaks at the end needs to be alone, so then it is not traced.
                is_asan = harness.VARIANT == "asan"
                if harness.LONG or is_asan:
                    wait_for(lambda: str(rows) in flushed(trace.read_text()))
                    create(server, 10)
                if is_asan:
                    tracer.terminate()
                    tracer.communicate()
                server.stop()
                if not is_asan:
                    tracer.communicate()
                seen = flushed(trace.read_text())
                self.assertIn(str(server.data), seen[:seen.index(str(rows))])
                self.assertEqual(seen.count(str(rows)), 2 if harness.LONG and not is_asan else 1)

    def test_async_serves_nothing_that_a_power_cut_has_torn(self):
        """The row is there, the bytes are short or gone, as after a power cut."""
        data = image("small.jpg")
        with Server("--durability", "async") as server:
            short = server.upload(data)
            gone = server.upload(data + b"1")
            zeros = server.upload(data + b"2")
            server.kill()
            path = path_of(server, short["sha256"])
            path.chmod(0o600)
            os.truncate(path, 1000)
            path_of(server, gone["sha256"]).unlink()
            path = path_of(server, zeros["sha256"])
            path.chmod(0o600)
            path.write_bytes(bytes(len(data) + 1))
            server.start()
            for made, code in ((short, "digest_mismatch"), (gone, "content_lost"),
                               (zeros, "digest_mismatch")):
                answer = server.get(f'/blobs/{made["sha256"]}')
                self.assertEqual((answer.status, answer.json()["code"]), (500, code))
            for made, body in ((short, data), (gone, data + b"1"), (zeros, data + b"2")):
                server.upload(body)
                self.assertEqual(server.get(f'/blobs/{made["sha256"]}').body, body)


class Upkeep(unittest.TestCase):
    def test_failed_images_go_with_their_jobs(self):
        with Server("--sweep-grace", "1", "--upload-expiry", "1") as server:
            paths = []
            for name in ("truncated.jpg", "bomb.png"):
                answer = server.request("PUT", f"/images/{name}", body=image(name))
                self.assertEqual(server.wait_job(answer["Location"])["state"], "failed")
                made = server.get("/images?state=failed").json()["items"][0]
                paths.append((f'/images/{made["id"]}', path_of(server, made["sha256"])))
            server.stop()
            database = sqlite3.connect(server.data / "calotype.db")
            with database:
                database.execute("UPDATE image SET created_at = created_at - 8 * 86400000 "
                                 "WHERE id = ?", (paths[0][0].split("/")[2],))
            database.close()
            server.start()
            wait_for(lambda: server.get(paths[0][0]).status == 404)
            wait_for(lambda: not paths[0][1].exists())
            self.assertEqual(server.get(paths[1][0]).status, 200, "a young one stays")
            self.assertTrue(paths[1][1].exists())

    def test_sweep(self):
        data = image("small.jpg")
        with Server("--sweep-grace", "1") as server:
            kept, deleted = server.upload(data), server.upload(data + b"1")
            self.assertEqual(
                server.request("DELETE", f'/images/{deleted["id"]}').status, 204)
            orphan = hashlib.sha256(b"orphan").hexdigest()
            path_of(server, orphan).write_bytes(b"orphan")
            path_of(server, orphan, "prints").write_bytes(b"orphan")
            away = [path_of(server, deleted["sha256"]), path_of(server, orphan),
                    path_of(server, orphan, "prints")]
            wait_for(lambda: not any(path.exists() for path in away))
            self.assertEqual(server.get(f'/blobs/{kept["sha256"]}').body, data)
            for made in kept["prints"]:
                self.assertEqual(server.get(made["url"]).status, 200)
            again = server.upload(data + b"1")
            self.assertEqual(server.get(f'/blobs/{again["sha256"]}').body, data + b"1")
            self.assertIn("sweep.removed", server.log_text())

    @unittest.skipUnless(harness.LONG, "some seconds: --long; the short form is storage race")
    def test_uploads_and_deletes_against_the_sweep(self):
        """The same bytes are uploaded and deleted all the time; what an image has is there."""
        data = image("small.jpg")
        with Server("--sweep-grace", "1") as server:
            for _ in range(6):
                made = server.upload(data)
                self.assertEqual(server.get(f'/i/{made["id"]}/original').body, data)
                server.request("DELETE", f'/images/{made["id"]}')
                time.sleep(0.6)
            made = server.upload(data)
            time.sleep(3)
            self.assertEqual(path_of(server, made["sha256"]).read_bytes(), data)

    def test_scrub(self):
        data = image("small.jpg")
        with Server("--scrub-rate", "100M", "--cache", "1") as server:
            made = server.upload(data)
            flip(path_of(server, made["sha256"]), 500)
            quarantined = server.data / "quarantine" / made["sha256"]
            wait_for(quarantined.exists)
            answer = server.get(f'/blobs/{made["sha256"]}')
            self.assertEqual((answer.status, answer.json()["code"]), (500, "content_lost"))
            self.assertIn("scrub.damaged", server.log_text())
            self.assertIn(b"calotype_scrub_damaged_total 1", server.get("/metrics").body)
            server.upload(data)
            self.assertEqual(server.get(f'/blobs/{made["sha256"]}').body, data)


if __name__ == "__main__":
    harness.main()
