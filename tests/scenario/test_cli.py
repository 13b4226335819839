"""The client: put, status, get, ls, rm; broken off, killed, resumed; its exit codes."""

import hashlib
import json
import os
import pathlib
import pty
import re
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

    def json_of(self, done):
        """The one object that a call has printed."""
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 1, done)
        return json.loads(lines[0])

    def test_json_of_what_fails(self):
        none = "0" * 32
        for arguments, code, name, error in (
                (["status", none], 1, "id", "not_found"),
                (["get", none, "-o", self.folder / "x"], 1, "file", "not_found"),
                (["get", none + none, "-o", self.folder / "x"], 1, "sha256", "not_found"),
                (["get", none, "-o", self.folder], 1, "image", "not_found"),
                (["get", "x", "-o", "y"], 2, "error", "usage"),
                (["put"], 2, "error", "usage"),
                (["frobnicate"], 2, "error", "usage"),
                (["put", self.folder / "none.jpg"], 1, "file", "unreadable")):
            found = self.json_of(self.run_client(*arguments, "--json", code=code))
            self.assertIn(name, found)
            self.assertEqual(found["error"]["code"], error, arguments)
        # the problem is the one that the server sent
        problem = self.json_of(self.run_client("status", none, "--json", code=1))["error"]
        self.assertEqual((problem["status"], problem["type"]), (404, "urn:calotype:problem:not_found"))
        self.assertIn(problem["request_id"], self.server.log_text())
        listed = self.json_of(self.run_client("rm", none, "1" * 32, "--json", code=1))
        self.assertEqual([f["id"] for f in listed["failed"]], [none, "1" * 32])
        path = self.folder / "key"
        found = self.json_of(self.run_client("ls", "-j", code=2, CALOTYPE_API_KEY_FILE=str(path)))
        self.assertIn("CALOTYPE_API_KEY_FILE", found["error"]["detail"])

    def test_json_of_get_that_goes_wrong_here(self):
        made = self.server.upload(image("small.jpg"))
        found = self.json_of(self.run_client("get", made["id"], "--json", "-o", "/dev/null", code=1))
        self.assertEqual((found["image"], found["sha256"]), (made["id"], made["sha256"]))
        self.assertEqual(found["error"]["code"], "local")
        found = self.json_of(self.run_client("get", made["id"], "--json", "-o", self.folder / "x"))
        self.assertEqual((found["size"], found["sha256"]), (made["size"], made["sha256"]))

    def test_json_says_where_an_interrupt_stopped(self):
        (self.folder / "a.jpg").write_bytes(image("small.jpg"))
        (self.folder / "z.jpg").write_bytes(image("small.jpg"))
        size = len(image("photo.jpg"))
        for sig in (signal.SIGTERM, signal.SIGINT):
            client = subprocess.Popen(
                [str(harness.CLIENT), "put", "--json", "--limit-rate", str(size // 3),
                 str(self.photo), str(self.folder / "z.jpg")],
                env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(1)
            client.send_signal(sig)
            out, err = client.communicate(timeout=20)
            self.assertEqual(client.returncode, 130, (out, err))
            first, second = [json.loads(line) for line in out.splitlines()]
            self.assertEqual([first["file"], second["file"]],
                             [str(self.photo), str(self.folder / "z.jpg")])
            for line in (first, second):
                self.assertEqual((line["state"], line["error"]["code"]), ("interrupted",) * 2)
            self.assertEqual(first["size"], size)
            self.assertTrue(0 < first["sent"] < size, first)
            self.assertNotIn("sent", second)
        done = self.run_client("put", "--json", self.photo, self.folder / "z.jpg")
        self.assertEqual([json.loads(l)["state"] for l in done.stdout.splitlines()], ["ready"] * 2)

    def test_json_of_jobs_that_are_still_waited_for(self):
        self.server.stop()
        self.server.flags = ("--workers", "1")
        self.server.start()
        self.env["CALOTYPE_URL"] = self.server.url
        for i in range(4):
            (self.folder / f"{i}.jpg").write_bytes(image("photo.jpg") + bytes([i]))
        client = subprocess.Popen([str(harness.CLIENT), "put", "--json",
                                   *(str(self.folder / f"{i}.jpg") for i in range(4))],
                                  env=self.env, stdout=subprocess.PIPE, text=True)
        end = time.monotonic() + 20 * harness.SLOW
        while len(self.server.get("/jobs").json()["items"]) < 4 and time.monotonic() < end:
            time.sleep(0.02)
        client.send_signal(signal.SIGTERM)
        out, _ = client.communicate(timeout=20)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(sorted(pathlib.Path(l["file"]).name for l in lines),
                         [f"{i}.jpg" for i in range(4)])
        cut = [l for l in lines if l["state"] == "interrupted"]
        self.assertTrue(cut, lines)
        self.assertEqual(client.returncode, 130)
        for line in cut:
            self.assertEqual(self.server.get(f'/jobs/{line["job"]}').status, 200)

    def test_no_wait(self):
        self.server.stop()
        self.server.flags = ("--workers", "1")
        self.server.start()
        self.env["CALOTYPE_URL"] = self.server.url
        small = self.folder / "small.jpg"
        small.write_bytes(image("small.jpg"))
        found = self.json_of(self.run_client("put", "--no-wait", "--json", small))
        asked = [l for l in self.server.log_text().splitlines() if "GET" in l and "/jobs/" in l]
        self.assertEqual(asked, [])
        self.assertEqual(found["state"], "uploaded")
        self.assertNotIn("image", found)
        self.assertEqual(self.server.wait_job(found["job"])["state"], "succeeded")
        self.assertIn("job=", self.run_client("put", "--no-wait", small).stdout)

    def test_chunk_size(self):
        data = image("small.jpg")
        self.photo.write_bytes(data)
        chunk = len(data) // 4 + 1
        self.run_client("put", "--chunk-size", chunk, self.photo)
        made = self.server.get("/images").json()["items"]
        self.assertEqual([i["sha256"] for i in made], [hashlib.sha256(data).hexdigest()])
        patches = [l for l in self.server.log_text().splitlines() if "PATCH" in l]
        self.assertEqual(len(patches), 4, patches)
        self.run_client("put", "--chunk-size", "0", self.photo, code=2)
        self.run_client("put", "--chunk-size", "big", self.photo, code=2)
        self.run_client("ls", "--chunk-size", "1M", code=2)

    def test_help_and_man_page_know_every_option(self):
        page = (harness.ROOT / "tools/calotype.1").read_text().replace("\\-", "-")
        for command in ("put", "status", "get", "ls", "rm"):
            text = self.run_client(command, "--help").stdout
            self.assertTrue(text.startswith(f"usage: calotype {command}"), text)
            self.assertIn(f".Ss {command}\n", page)
            for option in re.findall(r"^  (?:-., )?--([a-z-]+)", text, re.M):
                self.assertIn(f"Fl -{option}", page, option)

    def test_name_of_another_encoding(self):
        path = os.path.join(os.fsencode(self.folder), b"caf\xe9.jpg")
        with open(path, "wb") as file:
            file.write(image("small.jpg"))
        done = subprocess.run([str(harness.CLIENT), "put", path], capture_output=True, env=self.env,
                              timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done)
        made = json.loads(self.run_client("ls", "--json").stdout)
        self.assertEqual((made if isinstance(made, list) else made["items"])[0]["filename"],
                         "caf_.jpg")

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
