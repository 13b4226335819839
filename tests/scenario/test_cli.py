"""The client: put, status, get, ls, rm; broken off, killed, resumed; its exit codes."""

import hashlib
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from harness import Server, image


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-cli-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = Server().start()
        self.addCleanup(lambda: self.server.__exit__())
        self.photo = self.folder / "photo.jpg"
        self.photo.write_bytes(image("photo.jpg"))
        self.env = dict(os.environ, CALOTYPE_URL=self.server.url,
                        XDG_STATE_HOME=str(self.folder / "state"))

    def run_client(self, *arguments, code=0, **more):
        done = subprocess.run([str(harness.CLIENT), *map(str, arguments)], capture_output=True,
                              text=True, env=dict(self.env, **more), timeout=120, check=False)
        self.assertEqual(done.returncode, code, (arguments, done.stdout, done.stderr))
        return done

    def state_files(self):
        return [p for p in (self.folder / "state").rglob("*") if p.is_file()]

    def test_put_status_get_ls_rm(self):
        lines = self.run_client("put", self.photo).stdout
        self.assertIn("photo.jpg", lines)
        self.assertNotIn("\x1b", lines)  # no terminal, no escapes
        listed = json.loads(self.run_client("ls", "--json").stdout)
        items = listed if isinstance(listed, list) else listed["items"]
        self.assertEqual(len(items), 1)
        made = items[0]
        self.assertEqual(made["sha256"], hashlib.sha256(image("photo.jpg")).hexdigest())
        job = self.server.get("/jobs").json()["items"][0]["id"]
        self.assertIn("succeeded", self.run_client("status", job).stdout)
        self.assertEqual(json.loads(self.run_client("status", job, "--json").stdout)["id"], job)
        for name in (made["id"], made["sha256"]):
            target = self.folder / f"got-{len(name)}.jpg"
            self.run_client("get", name, "-o", target)
            self.assertEqual(target.read_bytes(), image("photo.jpg"))
        self.run_client("rm", made["id"])
        self.assertEqual(self.server.get(f'/images/{made["id"]}').status, 404)
        self.run_client("rm", made["id"], code=1)
        self.assertEqual(self.state_files(), [])

    def test_json_lines(self):
        (self.folder / "bad.jpg").write_text("not a photo")
        done = self.run_client("put", "--json", self.photo, self.folder / "bad.jpg", code=1)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(lines), 2)
        by_file = {pathlib.Path(line["file"]).name: line for line in lines}
        self.assertEqual(by_file["photo.jpg"]["state"], "ready")
        self.assertEqual(by_file["bad.jpg"]["state"], "refused")
        self.assertEqual(by_file["bad.jpg"]["error"]["code"], "unsupported_type")

    def test_folder(self):
        album = self.folder / "album"
        (album / "deep").mkdir(parents=True)
        for name in ("b.png", "a.jpg", "deep/c.webp"):
            (album / name).write_bytes(image("small." + name.rsplit(".", 1)[1]))
        (album / ".hidden.jpg").write_bytes(image("small.jpg"))
        self.run_client("put", album)
        names = [i["filename"] for i in self.server.get("/images").json()["items"]]
        self.assertEqual(sorted(names), ["a.jpg", "b.png", "c.webp"])

    def start_slow(self, rate):
        return subprocess.Popen([str(harness.CLIENT), "put", "--limit-rate", str(rate), str(self.photo)],
                                env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def check_resumed(self, patches_before=1):
        self.run_client("put", self.photo)
        images = self.server.get("/images").json()["items"]
        self.assertEqual(len(images), 1)
        self.assertEqual(images[0]["sha256"], hashlib.sha256(image("photo.jpg")).hexdigest())
        lines = [l for l in self.server.log_text().splitlines() if "PATCH" in l]
        self.assertGreater(len(lines), patches_before)
        self.assertEqual(len([l for l in self.server.log_text().splitlines() if " POST" in l or "=POST" in l]), 1)
        self.assertEqual(self.state_files(), [])

    def test_continues_after_ctrl_c(self):
        client = self.start_slow(len(image("photo.jpg")) // 3)
        time.sleep(1)
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=20)
        self.assertEqual(client.returncode, 130, (out, err))
        self.assertEqual(len(self.state_files()) >= 1, True)
        self.check_resumed()

    def test_continues_after_kill_9(self):
        client = self.start_slow(len(image("photo.jpg")) // 3)
        time.sleep(1)
        client.kill()
        client.communicate()
        self.check_resumed()

    def test_rides_over_a_restart_of_the_server(self):
        client = self.start_slow(len(image("photo.jpg")) // 3)
        time.sleep(1)
        port = self.server.port
        self.server.kill()
        time.sleep(0.3)
        self.server.start(port)
        out, err = client.communicate(timeout=60 * harness.SLOW)
        self.assertEqual(client.returncode, 0, (out, err))
        self.assertEqual(len(self.server.get("/images").json()["items"]), 1)

    def test_get_resumes(self):
        made = self.server.upload(image("photo.jpg"))
        target = self.folder / "x.jpg"
        part = self.folder / "x.jpg.part"
        part.write_bytes(image("photo.jpg")[:500_000])
        self.run_client("get", made["id"], "-o", target)
        self.assertEqual(target.read_bytes(), image("photo.jpg"))
        self.assertFalse(part.exists())

    def test_exit_codes(self):
        self.run_client(code=2)
        self.run_client("frobnicate", code=2)
        self.run_client("put", code=2)
        self.run_client("get", "0" * 32, "-o", self.folder / "none", code=1)
        self.run_client("status", "0" * 32, code=1)
        self.run_client("put", self.folder / "missing.jpg", code=1)
        done = self.run_client("ls", "--url", "http://127.0.0.1:9", code=3)
        self.assertIn("127.0.0.1 port 9", done.stderr)

    def test_key(self):
        done = subprocess.run([str(harness.SERVER), "key", "add", "--data", str(self.server.data),
                               "--scope", "read,write"], capture_output=True, text=True, check=True)
        key = done.stdout.strip()
        time.sleep(1.5)
        self.run_client("ls", code=4)
        path = self.folder / "key"
        path.write_text(key + "\n")
        self.run_client("put", self.photo, CALOTYPE_API_KEY_FILE=str(path))
        self.assertIn("photo.jpg", self.run_client("ls", CALOTYPE_API_KEY=key).stdout)

    def test_write_only_key_says_that_it_cannot_wait(self):
        done = subprocess.run([str(harness.SERVER), "key", "add", "--data", str(self.server.data),
                               "--scope", "write"], capture_output=True, text=True, check=True)
        time.sleep(1.5)
        key = done.stdout.strip()
        done = self.run_client("put", "--json", self.photo, code=4, CALOTYPE_API_KEY=key)
        self.assertEqual(json.loads(done.stdout)["error"]["code"], "forbidden")
        done = self.run_client("put", "--no-wait", "--json", self.photo, CALOTYPE_API_KEY=key)
        self.assertEqual(json.loads(done.stdout)["state"], "uploaded")

    def test_progress_on_a_terminal(self):
        master, slave = pty.openpty()
        client = subprocess.Popen([str(harness.CLIENT), "put", "--limit-rate",
                                   str(len(image("photo.jpg"))), str(self.photo)],
                                  env=dict(self.env, TERM="xterm"), stdout=slave, stderr=slave)
        os.close(slave)
        seen, end = b"", time.monotonic() + 60
        while client.poll() is None and time.monotonic() < end:
            if select.select([master], [], [], 0.2)[0]:
                try:
                    seen += os.read(master, 65536)
                except OSError:
                    break
        self.assertEqual(client.wait(20), 0, seen)
        os.close(master)
        self.assertIn(b"%", seen)
        self.assertIn(b"\r", seen)


if __name__ == "__main__":
    harness.main()
