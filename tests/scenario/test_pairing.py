"""A data directory and a database that do not belong together: nothing starts, nothing is lost."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import harness
from harness import SERVER, Server, image


def originals(server):
    return sum(len(files) for _, _, files in os.walk(server.data / "objects"))


def call(*arguments):
    return subprocess.run([str(SERVER), *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=20 * harness.SLOW)


class Pairing(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-pairing-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.database = self.folder / "a.db"
        self.server = Server("--database", str(self.database), data=self.folder / "a")
        (self.folder / "a").mkdir()
        self.server.start()
        self.image = self.server.upload(image("small.jpg"))
        self.server.stop()

    def refuse(self, *flags, data="a"):
        """It does not start, and says why; the originals are where they were."""
        before = originals(self.server)
        done = call("--listen", "127.0.0.1:0", "--data", self.folder / data, *flags)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("start.cannot_use_database", done.stderr)
        self.assertEqual(originals(self.server), before)
        return done.stderr

    def works(self):
        """It starts, and has the image; after a reindex, as soon as it is developed anew."""
        end = time.monotonic() + 10 * harness.SLOW
        with self.server:
            while True:
                answer = self.server.get(f'/blobs/{self.image["sha256"]}')
                if answer.status == 200 or time.monotonic() > end:
                    break
                time.sleep(0.05)
            self.assertEqual((answer.status, answer.body), (200, image("small.jpg")))

    def test_database_is_forgotten(self):
        told = self.refuse()
        self.assertIn("--database", told)
        self.assertIn("reindex", told)
        self.assertFalse((self.folder / "a" / "calotype.db").exists(), "none was made")
        self.works()

    def test_database_is_lost(self):
        self.database.rename(self.folder / "away.db")
        for suffix in ("-wal", "-shm"):
            self.database.with_name(f"a.db{suffix}").unlink(missing_ok=True)
        self.refuse("--database", self.database)
        key = call("key", "add", "--scope", "read", "--data", self.folder / "a", "--database", self.database)
        self.assertEqual((key.returncode, key.stdout), (1, ""))
        self.assertIn("reindex", key.stderr)
        made = call("reindex", "--data", self.folder / "a", "--database", self.database)
        self.assertEqual(made.returncode, 0, made)
        self.works()

    def test_database_is_empty(self):
        empty = self.folder / "empty.db"
        call("key", "add", "--scope", "read", "--data", self.folder / "b", "--database", empty)
        self.assertTrue(empty.exists())
        self.assertIn("knows none", self.refuse("--database", empty))
        fsck = call("fsck", "--repair", "--data", self.folder / "a", "--database", empty)
        self.assertEqual(fsck.returncode, 3, fsck)
        self.assertIn("knows none", fsck.stderr)
        self.assertEqual(originals(self.server), 1)
        self.works()

    def test_database_of_another(self):
        other = self.folder / "b.db"
        (self.folder / "b").mkdir()
        with Server("--database", str(other), data=self.folder / "b") as server:
            server.upload(image("small.png"))
        self.assertIn("another data directory", self.refuse("--database", other))
        fsck = call("fsck", "--repair", "--data", self.folder / "a", "--database", other)
        self.assertEqual(fsck.returncode, 3, fsck)
        self.works()

    def test_directory_is_not_mounted(self):
        (self.folder / "b").mkdir()
        self.assertIn("mounted", self.refuse("--database", self.database, data="b"))
        self.works()

    def test_backup_has_no_pair(self):
        """As README's backup copies it; it is a pair again from its first start on."""
        (self.folder / "a" / "pair").unlink()
        self.works()
        pair = (self.folder / "a" / "pair").read_text()
        self.assertRegex(pair, r"^[0-9a-f]{32}$")
        self.works()
        self.assertEqual((self.folder / "a" / "pair").read_text(), pair)


if __name__ == "__main__":
    harness.main()
