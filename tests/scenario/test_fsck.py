"""calotyped fsck, calotyped reindex, and a backup of a running server that is restored."""

import hashlib
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import unittest

import harness
from harness import SERVER, Server, image
from test_tus import create, patch
from test_upkeep import flip, path_of


def run(command, data, *flags):
    return subprocess.run([str(SERVER), command, "--data", str(data), *flags],
                          capture_output=True, text=True, check=False)


def found(data, *flags):
    """The exit status and how many findings of each kind there are."""
    done = run("fsck", data, "--json", *flags)
    counts = json.loads(done.stdout)["counts"]
    return done.returncode, {kind: count for kind, count in counts.items() if count}


def old(path, data=None):
    """Older than the grace period."""
    if data is not None:
        path.write_bytes(data)
    os.utime(path, (1, 1))


class Fsck(unittest.TestCase):
    def test_findings_and_repair(self):
        data = image("small.jpg")
        with Server("--scrub-rate", "0") as server:
            made = [server.upload(data + bytes([i])) for i in range(5)]
            open_upload = create(server, 100000)["Location"]
            self.assertEqual(patch(server, open_upload, 0, data[:1000]).status, 204)
            server.stop()
            self.assertEqual(found(server.data, "--deep"), (0, {}))
            self.assertIn("all is well", run("fsck", server.data).stdout)

            path_of(server, made[0]["sha256"]).unlink()
            path = path_of(server, made[1]["sha256"])
            path.chmod(0o600)
            os.truncate(path, 100)
            flip(path_of(server, made[2]["sha256"]), 500)
            stray = hashlib.sha256(b"stray").hexdigest()
            old(path_of(server, stray), b"stray")
            old(path_of(server, stray, "prints"), b"stray")
            old(server.data / "staging" / ("0" * 32), b"")
            shallow = {"missing_blob": 1, "wrong_size": 1, "orphan_blob": 1, "orphan_print": 1,
                       "orphan_staging": 1}
            self.assertEqual(found(server.data), (1, shallow))
            deep = {**shallow, "bad_hash": 1}
            self.assertEqual(found(server.data, "--deep"), (1, deep))
            self.assertIn(made[0]["sha256"], run("fsck", server.data).stdout)

            self.assertEqual(found(server.data, "--deep", "--repair"), (1, deep))
            self.assertEqual(found(server.data, "--deep"), (1, {"missing_blob": 3}))
            self.assertEqual(len(os.listdir(server.data / "quarantine")), 2)
            server.start()
            self.assertEqual(patch(server, open_upload, 1000, data[1000:2000]).status, 204)
            for i in range(3):
                answer = server.get(f'/blobs/{made[i]["sha256"]}')
                self.assertEqual(answer.json()["code"], "content_lost")
                server.upload(data + bytes([i]))  # heals it
            server.stop()
            self.assertEqual(found(server.data, "--deep"), (0, {}))

    def test_what_is_young_is_no_finding(self):
        with Server() as server:
            server.stop()
            path_of(server, hashlib.sha256(b"young").hexdigest()).write_bytes(b"young")
            done = json.loads(run("fsck", server.data, "--json", "--repair").stdout)
            self.assertEqual((done["clean"], done["checked"]["young"]), (True, 1))

    def test_beside_a_running_server(self):
        with Server() as server:
            for command in ("fsck", "reindex"):
                done = run(command, server.data)
                self.assertEqual(done.returncode, 3)
                self.assertIn("a server runs", done.stderr)

    def test_usage(self):
        with tempfile.TemporaryDirectory() as folder:
            for command in ("fsck", "reindex"):
                self.assertEqual(run(command, folder).returncode, 3)
                self.assertEqual(os.listdir(folder), [], "a wrong folder is left alone")
                self.assertEqual(run(command, folder, "--nonsense").returncode, 2)
                self.assertIn("Exit status", run(command, folder, "--help").stdout)


class Reindex(unittest.TestCase):
    def test_database_made_anew(self):
        bodies = [image("small.jpg") + bytes([i]) for i in range(3)]
        with Server() as server:
            for body in bodies:
                server.upload(body)
            server.stop()
            self.assertEqual(run("reindex", server.data).returncode, 3, "there is a database")
            for path in server.data.glob("calotype.db*"):
                path.unlink()
            self.assertEqual(run("fsck", server.data).returncode, 3)
            done = run("reindex", server.data)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("3 images", done.stdout)
            self.assertIn("file names", done.stdout)
            self.assertEqual(found(server.data, "--deep"), (0, {}))
            server.start()
            for job in server.get("/jobs").json()["items"]:
                self.assertEqual(server.wait_job(job["id"])["state"], "succeeded")
            items = server.get("/images").json()["items"]
            self.assertEqual(sorted(item["sha256"] for item in items),
                             sorted(hashlib.sha256(body).hexdigest() for body in bodies))
            for item in items:
                self.assertEqual((item["type"], item["state"]), ("image/jpeg", "ready"))
                self.assertEqual(server.get(item["prints"][0]["url"]).status, 200)


class Backup(unittest.TestCase):
    def test_backup_of_a_running_server(self):
        """The database first, then the originals, while uploads and deletes go on."""
        data = image("small.jpg")
        with tempfile.TemporaryDirectory() as folder, Server() as server:
            before = [server.upload(data + b"before %d" % i) for i in range(4)]
            ends = threading.Event()

            def work():
                count = 0
                while not ends.is_set():
                    count += 1
                    made = server.upload(data + b"during %d" % count)
                    if count % 2:
                        server.request("DELETE", f'/images/{made["id"]}')

            thread = threading.Thread(target=work)
            thread.start()
            copy = pathlib.Path(folder, "copy")
            copy.mkdir()
            source = sqlite3.connect(server.data / "calotype.db")
            with sqlite3.connect(copy / "calotype.db") as target:
                source.backup(target)
            target.close()
            source.close()
            # Deleted after the database was copied: its bytes must still be there to be copied.
            gone = before.pop()
            self.assertEqual(server.request("DELETE", f'/images/{gone["id"]}').status, 204)
            subprocess.run(["cp", "-a", server.data / "format", server.data / "objects", copy],
                           check=True)
            ends.set()
            thread.join()

            self.assertEqual(found(copy, "--deep")[0], 0)
            with Server(data=copy) as restored:
                for made in [*before, gone]:
                    answer = restored.get(f'/i/{made["id"]}/original')
                    self.assertEqual(hashlib.sha256(answer.body).hexdigest(), made["sha256"])
                    self.assertEqual(restored.get(made["prints"][0]["url"]).status, 200)
                for item in restored.get("/images?limit=200").json()["items"]:
                    self.assertEqual(restored.get(item["original"]).status, 200)
                restored.upload(data + b"after")
            shutil.rmtree(copy)


if __name__ == "__main__":
    harness.main()
