"""The server as a program: start, stop, keys, what is public, options, memory."""

import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest

import harness
from harness import Server, image


def run(*arguments, env=None):
    return subprocess.run([str(harness.SERVER), *arguments], capture_output=True, text=True,
                          env=dict(os.environ, **(env or {})), timeout=60, check=False)


def make_key(data, scopes="read,write,admin", *more):
    done = run("key", "add", "--data", str(data), "--scope", scopes, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def resident_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


class Program(unittest.TestCase):
    def test_help_and_version(self):
        done = run("--help")
        self.assertEqual(done.returncode, 0)
        for option in ("--listen", "--data", "--accept", "--max-file", "CALOTYPE_API_KEY_FILE"):
            self.assertIn(option, done.stdout)
        self.assertTrue(run("--version").stdout.startswith("calotyped "))

    def test_bad_options_say_what_is_right(self):
        """One line each, before anything was touched: option, value, what would be right."""
        for arguments, words in ((["--max-file", "big"], ["--max-file", "300M"]),
                                 (["--originals", "x"], ["scoped|public"]),
                                 (["--no-such"], ["--no-such", "--help"]),
                                 (["--data"], ["--data", "DIR"]),
                                 (["--data", ""], ["--data", "./data"]),
                                 (["--api-key", "x"], ["CALOTYPE_API_KEY_FILE"]),
                                 (["--listen", "8080"], ["has no port", "127.0.0.1:8080"]),
                                 (["--listen", "localhost:99999"], ["65535"]),
                                 (["--listen", "unix:x"], ["unix:/"]),
                                 (["--public-url", "photos.example.org"], ["https://"]),
                                 (["--workers", "1000"], ["'1000'", "1 to 64"]),
                                 (["--worker-memory", "1M"], ["256M to 1T"]),
                                 (["--worker-deadline", "0"], ["1 to 3600"]),
                                 (["--max-pixels", "-5"], ["'-5'", "whole number"]),
                                 (["--max-connections", "1000000"], ["1 to 32768"]),
                                 (["--max-per-address", "x"], ["1 to 32768"]),
                                 (["--max-uploads", "1e9"], ["1 to 1000000"]),
                                 (["--upload-expiry", "1d"], ["seconds"]),
                                 (["--reserve", "1.5G"], ["2G"]),
                                 (["--cache", "2T"], ["1 to 1T"]),
                                 (["--shutdown-timeout", "9999"], ["1 to 3600"]),
                                 (["--access-log=perhaps"], ["yes nor no"]),
                                 (["--log-level", "loud"], ["debug|info|warning|error"]),
                                 (["--plain-keys", "all"], ["loopback|any"])):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ""), arguments)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            for word in words:
                self.assertIn(word, done.stderr)

    def test_what_only_shows_at_the_start_is_told_in_one_line(self):
        with tempfile.TemporaryDirectory() as folder:
            data = f"{folder}/data"
            pathlib.Path(folder, "file").write_text("")
            pathlib.Path(folder, "c.ini").write_text("\naccept = fun\n")
            here = ["--listen", "127.0.0.1:0", "--data", data]
            for arguments, env, words in (
                    (["--data", f"{folder}/file"], {}, ["--data", "Not a directory"]),
                    (here + ["--database", f"{folder}/none/x.db"], {}, ["--database", "No such"]),
                    (here + ["--listen", "nowhere.invalid:0", "--insecure"], {},
                     ["--listen", "nowhere.invalid", "no such address"]),
                    (here + ["--listen", f"unix:{folder}/none/x"], {}, ["--listen", "No such"]),
                    (here + ["--listen", "systemd", "--insecure"], {}, ["systemd has passed no"]),
                    (here + ["--listen", "127.example.invalid:0"], {}, ["without an API key"]),
                    (here + ["--accept", "image"], {}, ["--accept", "image/*"]),
                    (here + ["--config", f"{folder}/c.ini"], {}, ["accept in ", "line 2", "fun"]),
                    (here, {"CALOTYPE_WORKER_PATH": "/nonexistent"}, ["CALOTYPE_WORKER_PATH"]),
                    (here + ["--worker-path", folder], {}, ["--worker-path", "not a file"]),
                    (here + ["--worker-path", f"{folder}/file"], {}, ["Permission denied"]),
                    (here, {"CALOTYPE_API_KEY": "hush"}, ["CALOTYPE_API_KEY", "calo_<8"])):
                done = run(*arguments, env=env)
                self.assertEqual((done.returncode, done.stdout), (1, ""), (arguments, done))
                told = [l for l in done.stderr.splitlines() if " info " not in l]
                self.assertEqual(len(told), 1, done.stderr)
                self.assertNotIn("hush", done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)

    def test_least_and_most_of_the_workers_work(self):
        with Server("--worker-memory", "256M", "--workers", "64") as server:
            for name in ("photo.jpg", "small.gif", "small.png", "small.webp"):
                self.assertEqual(server.upload(image(name), name)["state"], "ready")

    def test_sources_in_order(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "c.ini")
            path.write_text("max_file = 1K\nlog_level = warning\n")
            for env, flags, limit in (({}, [], 1024), ({"CALOTYPE_MAX_FILE": "2K"}, [], 2048),
                                      ({"CALOTYPE_MAX_FILE": "2K"}, ["--max-file=3K"], 3072)):
                with Server("--config", str(path), *flags, env=env) as server:
                    answer = server.request("OPTIONS", "/uploads")
                    self.assertEqual(answer["Tus-Max-Size"], str(limit))
            for text, words in (("max_fil = 1K\n", "line 1: there is no option max_fil"),
                                ("\n# x\nworkers = 99\n", "line 3: '99' is too large"),
                                ("\nworkers\n", "line 2: right would be `name = value`"),
                                ("[a]\nworkers = 1\n", "no sections"),
                                ("accept = " + "a" * 300, "line 1: the line is too long")):
                path.write_text(text)
                done = run("--config", str(path))
                self.assertEqual(done.returncode, 2)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertIn(words, done.stderr)
                self.assertIn("c.ini", done.stderr)

    def test_sigterm_ends_with_0(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            server = Server().start()
            server.upload(image("small.jpg"))
            idle = socket.create_connection(("127.0.0.1", server.port))
            self.assertEqual(server.stop(sig), 0)
            idle.close()
            server.__exit__()

    def test_second_server_on_the_data_is_refused(self):
        with Server() as server:
            done = run("--data", str(server.data), "--listen", "127.0.0.1:0")
            self.assertEqual(done.returncode, 1)
            self.assertIn("another calotyped holds this data directory", done.stderr)

    def test_port_in_use(self):
        with Server() as server, tempfile.TemporaryDirectory() as folder:
            done = run("--data", folder, "--listen", f"127.0.0.1:{server.port}")
            self.assertEqual(done.returncode, 1)
            self.assertIn("EADDRINUSE", done.stderr)

    def test_head_of_every_answer(self):
        with Server() as server:
            answer = server.get("/images", X_Request_Id="mine-1")
            self.assertEqual(answer["X-Request-Id"], "mine-1")
            self.assertTrue(server.get("/images")["X-Request-Id"])
            self.assertIn("mine-1", server.log_text())


class KeyCommand(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.data = folder.name

    def key(self, *arguments, code=0):
        done = run("key", *arguments, env={"CALOTYPE_DATA": self.data})
        self.assertEqual(done.returncode, code, (arguments, done))
        return done

    def test_help_everywhere(self):
        for arguments in (["--help"], ["-h"], ["add", "--help"], ["list", "-h"],
                          ["revoke", "--help"], ["revoke", "x", "--help"]):
            done = self.key(*arguments)
            self.assertTrue(done.stdout.startswith("Usage: calotyped key add"), done)
        self.assertIn("Usage", self.key(code=2).stderr)

    def test_both_forms_of_options_and_json(self):
        made = json.loads(self.key("add", "--scope=read,write", "--name=phone", "--json").stdout)
        self.assertEqual((made["name"], made["scopes"], made["revoked_at"]),
                         ("phone", ["read", "write"], None))
        self.assertEqual(made["key"][5:13], made["id"])
        plain = self.key("add", "--scope", "admin").stdout.strip()
        self.assertEqual(json.loads(self.key("add", "--if-none", "--scope=read", "--json").stdout), {})
        self.assertEqual(self.key("add", "--if-none", "--scope=read").stdout, "")
        items = json.loads(self.key("list", "--json").stdout)["items"]
        self.assertEqual([i["scopes"] for i in items], [["read", "write"], ["admin"]])
        self.assertNotIn("key", items[0])
        revoked = json.loads(self.key("revoke", made["id"], "--json").stdout)
        self.assertTrue(revoked["revoked_at"])
        self.assertEqual(self.key("revoke", plain).stdout, "")  # the whole key is taken, too
        self.assertEqual(self.key("list").stdout.count("(revoked)"), 2)
        again = json.loads(self.key("revoke", made["id"], "--json").stdout)
        self.assertEqual(again["revoked_at"], revoked["revoked_at"])

    def test_wrong_use_says_what_is_right(self):
        self.key("add", "--scope", "read")
        for arguments, code, words in (
                (["revoke", "abcdefgh"], 1, ["no key 'abcdefgh'", self.data, "key list"]),
                (["revoke", "x"], 1, ["no key 'x'", "8 letters"]),
                (["revoke"], 2, ["id of a key is missing"]),
                (["revoke", "a", "b"], 2, ["'b'"]),
                (["list", "x"], 2, ["'x'"]),
                (["list", "--scope", "read"], 2, ["no option --scope"]),
                (["add"], 2, ["--scope is missing"]),
                (["add", "--scope"], 2, ["--scope needs a value"]),
                (["add", "--scope=all"], 2, ["'all'", "read, write, admin"]),
                (["add", "--scope=read", "--json=1"], 2, ["--json takes no value"]),
                (["add", "--scope=read", "--frob"], 2, ["--frob"]),
                (["add", "--scope=read", "--name", "x" * 64], 2, ["63"]),
                (["add", "--scope=read", "--name", "a\nb"], 2, ["control"]),
                (["frob"], 2, ["'frob'", "add, list or revoke"]),
                (["list", "--data", "/nonexistent"], 1, ["/nonexistent/calotype.db"])):
            done = self.key(*arguments, code=code)
            self.assertEqual((done.stdout, len(done.stderr.splitlines())), ("", 1), done)
            for word in words:
                self.assertIn(word, done.stderr)


class Access(unittest.TestCase):
    def test_open_server_stays_at_home(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run("--data", folder, "--listen", "0.0.0.0:0")
            self.assertEqual(done.returncode, 1)
            self.assertIn("--insecure", done.stderr)
        with Server() as server:
            for header in ("Forwarded", "X-Forwarded-For", "Via", "X-Forwarded-Proto"):
                answer = server.request("GET", "/images", headers={header: "for=1.2.3.4"})
                self.assertEqual((answer.status, answer.json()["code"]),
                                 (403, "proxied_open_server"), header)
        with Server("--insecure") as server:
            self.assertEqual(server.request("GET", "/images", headers={"Via": "x"}).status, 200)

    def test_scopes(self):
        with Server() as server:
            made = server.upload(image("small.jpg"))
            keys = {scope: make_key(server.data, scope) for scope in ("read", "write", "admin")}
            for key in keys.values():
                self.assertRegex(key, r"^calo_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}$")
            end = time.monotonic() + 5
            while server.get("/images").status == 200 and time.monotonic() < end:
                time.sleep(0.1)
            self.assertEqual(server.get("/images").status, 401)  # loopback needs it too
            self.assertIn("Bearer", server.get("/images")["WWW-Authenticate"])
            # what is public stays so; originals and blobs are not
            self.assertEqual(server.get(made["url"]).status, 200)
            self.assertEqual(server.get(made["original"]).status, 401)
            self.assertEqual(server.get(f'/blobs/{made["sha256"]}').status, 401)
            server.key = keys["read"]
            self.assertEqual(server.get("/images").status, 200)
            self.assertEqual(server.get(made["original"]).status, 200)
            self.assertEqual(server.get(f'/blobs/{made["sha256"]}').status, 200)
            answer = server.request("PUT", "/images/x.jpg", body=image("small.jpg"))
            self.assertEqual((answer.status, answer.json()["code"]), (403, "forbidden"))
            self.assertEqual(server.request("DELETE", f'/images/{made["id"]}').status, 403)
            server.key = keys["write"]
            answer = server.request("PUT", "/images/x.jpg", body=image("small.jpg"))
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(server.get("/images").status, 403)
            server.key = keys["read"][:-1] + ("A" if keys["read"][-1] != "A" else "B")
            self.assertEqual(server.get("/images").status, 401)
            done = run("key", "list", "--data", str(server.data))
            self.assertEqual(len(done.stdout.splitlines()), 3)
            self.assertNotIn(keys["read"], done.stdout)
            self.assertNotIn(keys["read"], server.log_text())
            server.key = keys["read"]
            self.assertEqual(run("key", "revoke", "--data", str(server.data), keys["read"][5:13]).returncode, 0)
            end = time.monotonic() + 5
            while server.get("/images").status == 200 and time.monotonic() < end:
                time.sleep(0.1)
            self.assertEqual(server.get("/images").status, 401)

    def test_revoking_the_last_key_does_not_open_the_server(self):
        with Server() as server:
            key = make_key(server.data)
            self.assertEqual(run("key", "revoke", "--data", str(server.data), key[5:13]).returncode, 0)
            time.sleep(1.5)
            self.assertEqual(server.get("/images").status, 401)
            server.stop()
            done = subprocess.run(
                [str(harness.SERVER), "--data", str(server.data), "--listen", "127.0.0.1:0"],
                env=dict(os.environ, CALOTYPE_API_KEY=key), capture_output=True, text=True,
                timeout=30, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("revoked", done.stderr)

    def test_configured_key(self):
        with tempfile.TemporaryDirectory() as folder:
            key = make_key(folder)
            path = pathlib.Path(folder, "key")
            path.write_text(key + "\n")
            with Server(env={"CALOTYPE_API_KEY_FILE": str(path)}) as server:
                self.assertEqual(server.get("/images").status, 401)
                server.key = key
                self.assertEqual(server.get("/images").status, 200)
                server.stop()
                server.start()  # known by now
                self.assertEqual(server.get("/images").status, 200)


class Figures(unittest.TestCase):
    def test_memory_after_start(self):
        with Server() as server:
            self.assertEqual(server.get("/images").status, 200)
            used = resident_mib(server.process.pid)
            print(f"resident after start: {used:.1f} MiB")
            self.assertLess(used, 30)

    def test_first_answer_with_a_million_images(self):
        """Rows are made by SQL: what counts is that the start does no work that grows with them."""
        count = 1_000_000 if harness.LONG else 100_000
        with Server() as server:
            made = server.upload(image("small.jpg"))
            server.stop()
            database = sqlite3.connect(server.data / "calotype.db")
            names = [r[1] for r in database.execute("PRAGMA table_info(image)")]
            others = [n for n in names if n not in ("id", "created_at")]
            columns = ", ".join(others)
            database.execute(
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                f"INSERT INTO image (id, created_at, {columns}) "
                f"SELECT printf('%032x', i), i, {columns} FROM n, image WHERE id = ?",
                (count, made["id"]))
            database.commit()
            database.close()
            begun = time.monotonic()
            server.start()
            page = server.get("/images?limit=200")
            took = time.monotonic() - begun
            print(f"first answer with {count} images: {took:.3f} s")
            self.assertEqual(len(page.json()["items"]), 200)
            self.assertLess(took, 1)


class FileTypes(unittest.TestCase):
    """libmagic's database is read at the start, and by nobody later."""

    def test_a_start_without_it_is_refused(self):
        with tempfile.TemporaryDirectory() as data:
            done = subprocess.run([str(harness.SERVER), "--listen", "127.0.0.1:0", "--data", data],
                                  env=dict(os.environ, MAGIC=f"{data}/none"), capture_output=True,
                                  text=True, timeout=20 * harness.SLOW, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("start.no_file_types", done.stderr)
            self.assertIn("libmagic's database", done.stderr)

    def test_no_request_opens_it(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder, "magic.mgc")
            copy.write_bytes(pathlib.Path("/usr/lib/file/magic.mgc").read_bytes())
            with Server(env={"MAGIC": str(copy)}) as server:
                copy.unlink()
                self.assertEqual(server.upload(harness.image("small.jpg"))["state"], "ready")


if __name__ == "__main__":
    harness.main()
