"""What operators ask: /livez, /readyz, /metrics."""

import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import Server, image

SAMPLE = re.compile(r'([a-z_][a-z0-9_]*)(?:\{((?:[a-z]+="[^"\\\n]*",?)+)\})? (-?[0-9.e+-]+)')


def figures(server):
    """{(name, labels as sorted tuple): value} of /metrics; every line must be well formed."""
    answer = server.get("/metrics")
    assert answer.status == 200, answer
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4"), answer["Content-Type"]
    found, types = {}, {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in types, f"two families {family}"
            types[family] = kind
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name = match.group(1)
        family = re.sub("_(bucket|sum|count)$", "", name) if name not in types else name
        assert types[family], line
        labels = tuple(sorted(re.findall(r'([a-z]+)="([^"]*)"', match.group(2) or "")))
        assert (name, labels) not in found, f"twice: {line}"
        found[name, labels] = float(match.group(3))
    return found


def figure(server, name, **labels):
    return figures(server)[(name, tuple(sorted(labels.items())))]


def failed_checks(answer):
    return {check["name"]: check["detail"] for check in answer.json()["checks"] if not check["ok"]}


class Operations(unittest.TestCase):
    def test_a_healthy_server_is_alive_and_ready(self):
        with Server() as server:
            self.assertEqual(server.get("/livez").json(), {"status": "alive"})
            answer = server.get("/readyz")
            self.assertEqual((answer.status, answer.json()["status"]), (200, "ready"))
            self.assertEqual(answer["Cache-Control"], "no-store")
            self.assertEqual(failed_checks(answer), {})
            self.assertEqual(server.head("/readyz").status, 200)

    def test_a_full_disk_is_not_ready_and_still_alive(self):
        with Server("--reserve", "1048576G") as server:
            answer = server.get("/readyz")
            self.assertEqual(answer.status, 503)
            self.assertIn("disk is full", failed_checks(answer)["space"])
            self.assertIsNotNone(answer["Retry-After"])
            self.assertEqual(server.get("/livez").status, 200)
            self.assertEqual(figure(server, "calotype_store_available_bytes"), 0)

    def test_a_locked_database_is_not_ready_until_it_is_free(self):
        with Server() as server:
            lock = sqlite3.connect(server.data / "calotype.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            thread = threading.Thread(target=lambda: server.request(
                "PUT", "/images/a.jpg", body=image("small.jpg"), timeout=60))
            thread.start()
            end = time.monotonic() + 30
            while server.get("/readyz").status == 200:
                self.assertLess(time.monotonic(), end, "a stuck commit is not seen")
                time.sleep(0.2)
            self.assertIn("commit", failed_checks(server.get("/readyz"))["database"])
            lock.execute("ROLLBACK")
            lock.close()
            thread.join()
            end = time.monotonic() + 30
            while server.get("/readyz").status != 200:
                self.assertLess(time.monotonic(), end, "it does not become ready again")
                time.sleep(0.2)

    def test_a_failed_fsync_is_not_ready_until_the_server_is_started_again(self):
        with Server() as server:
            tracer = subprocess.Popen(
                ["strace", "-f", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
                 "-e", "inject=fsync,fdatasync:error=EIO", "-p", str(server.process.pid)],
                stderr=subprocess.PIPE)
            self.assertIn(b"attached", tracer.stderr.readline())
            answer = server.request("PUT", "/images/a.jpg", body=image("small.jpg"), timeout=60)
            self.assertGreaterEqual(answer.status, 500)
            tracer.terminate()
            tracer.communicate()
            answer = server.get("/readyz")
            self.assertEqual(answer.status, 503)
            self.assertIn("fsync", failed_checks(answer)["store"])
            self.assertEqual(figure(server, "calotype_store_healthy"), 0)
            answer = server.request("PUT", "/images/a.jpg", body=image("small.jpg"))
            self.assertEqual((answer.status, answer["Retry-After"] is None), (503, False))
            self.assertEqual(server.get("/livez").status, 200)
            server.stop()
            server.start()
            self.assertEqual(server.get("/readyz").status, 200)
            server.upload(image("small.jpg"))

    def test_a_server_that_drains_goes_on_and_is_not_ready(self):
        with Server("--drain-delay", "60") as server:
            server.process.send_signal(signal.SIGTERM)
            end = time.monotonic() + 5 * harness.SLOW
            while server.get("/readyz").status == 200:
                self.assertLess(time.monotonic(), end, "it is still ready")
                time.sleep(0.02)
            answer = server.get("/readyz")
            self.assertEqual((answer.status, failed_checks(answer)), (503, {"stop": "the server is stopping"}))
            self.assertEqual(server.get("/livez").status, 200)
            made = server.upload(image("small.jpg"))  # a new connection, a new job, to its end
            self.assertEqual(server.get(made["url"]).status, 200)
            time.sleep(0.5)
            self.assertIsNone(server.process.poll())
            began = time.monotonic()
            self.assertEqual(server.stop(), 0)  # the second SIGTERM
            self.assertLess(time.monotonic() - began, 20 * harness.SLOW)
            self.assertIn("stop.delay_cut", server.log_text())

    def test_the_delay_of_a_drain_ends_by_itself(self):
        with Server("--drain-delay", "1") as server:
            began = time.monotonic()
            self.assertEqual(server.stop(), 0)
            self.assertGreaterEqual(time.monotonic() - began, 1)
            self.assertNotIn("stop.delay_cut", server.log_text())
            server.start()
            self.assertEqual(server.get("/readyz").status, 200)
        with Server() as server:
            began = time.monotonic()
            self.assertEqual(server.stop(), 0)
            self.assertLess(time.monotonic() - began, 1 * harness.SLOW)

    def test_the_figures_follow_what_happens(self):
        with Server() as server:
            before = figures(server)
            data = image("small.jpg")
            made = server.upload(data)
            server.upload(data, "again.jpg")
            self.assertEqual(server.get(made["url"]).status, 200)
            self.assertEqual(server.get(made["url"]).status, 200)
            self.assertEqual(server.get("/nothing").status, 404)
            tus = {"Tus-Resumable": "1.0.0"}
            path = server.request("POST", "/uploads", headers={**tus, "Upload-Length": "9"})["Location"]
            self.assertEqual(server.request("DELETE", path, headers=tus).status, 204)
            time.sleep(0.1)  # an access is counted when its connection has gone on
            after = figures(server)

            def grown(name, **labels):
                key = (name, tuple(sorted(labels.items())))
                return after[key] - before[key]
            self.assertEqual(grown("calotype_http_responses_total", code="4xx"), 1)
            self.assertGreaterEqual(grown("calotype_http_responses_total", code="2xx"), 6)
            self.assertEqual(grown("calotype_http_received_bytes_total"), 2 * len(data))
            self.assertEqual(
                grown("calotype_http_request_duration_seconds_count", method="POST|PUT|PATCH"), 3)
            self.assertEqual(grown("calotype_cache_requests_total", result="miss"), 1)
            self.assertEqual(grown("calotype_cache_requests_total", result="hit"), 1)
            self.assertEqual(grown("calotype_uploads_total", outcome="done"), 2)
            self.assertEqual(grown("calotype_uploads_total", outcome="canceled"), 1)
            self.assertEqual(grown("calotype_uploads_duplicate_total"), 1)
            self.assertEqual(grown("calotype_upload_commit_duration_seconds_count"), 2)
            self.assertGreaterEqual(grown("calotype_workers_started_total"), 1)
            self.assertGreater(grown("calotype_database_commits_total"), 0)
            self.assertEqual(after[("calotype_database_failed_commits_total", ())], 0)
            self.assertEqual(after[("calotype_store_healthy", ())], 1)
            self.assertGreater(after[("process_resident_memory_bytes", ())], 1 << 20)

    def test_the_health_check_of_the_image(self):
        def check(port):
            return subprocess.run(["sh", str(harness.ROOT / "docker/health.sh")], check=False,
                                  env={**os.environ, "CALOTYPE_LISTEN": f"0.0.0.0:{port}"},
                                  capture_output=True, text=True)
        with Server(env={"CALOTYPE_API_KEY": "calo_" + "a" * 8 + "_" + "b" * 43}) as server:
            done = check(server.port)
            self.assertEqual((done.returncode, done.stdout), (0, ""), done)
            port = server.port
        done = check(port)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("instead of 200", done.stdout)

    def test_a_folder_that_was_taken_away(self):
        """A fault of the server's and no client's: 503, /readyz tells, the log has the cause."""
        for folder in ("staging", "objects"):
            with self.subTest(folder=folder), Server() as server:
                shutil.rmtree(server.data / folder)
                put = server.request("PUT", "/images/x.jpg", body=image("small.jpg"))
                self.assertEqual((put.status, put.json()["code"]), (503, "store_unhealthy"), put)
                ready = server.get("/readyz")
                self.assertEqual(ready.status, 503)
                self.assertIn("removed", ready.body.decode())
                self.assertRegex(server.log_text(),
                                 f"upload.failed request={put['X-Request-Id']} .*store_unhealthy")
                made = server.request("POST", "/uploads", body=image("small.jpg"), headers={
                    "Tus-Resumable": "1.0.0", "Upload-Length": str(len(image("small.jpg"))),
                    "Content-Type": "application/offset+octet-stream"})
                self.assertEqual(made.status, 503, made)

    def test_the_first_start_in_the_image(self):
        """docker/entrypoint.sh: what makes a key, and what must not."""
        with tempfile.TemporaryDirectory(prefix="calotype-entry-") as folder:
            def enter(*arguments, **more):
                path = f"{harness.SERVER.parent}:{os.environ['PATH']}"
                env = {**os.environ, "PATH": path, "CALOTYPE_DATA": folder,
                       "CALOTYPE_LISTEN": "127.0.0.1:0", **more}
                process = subprocess.Popen(
                    ["sh", str(harness.ROOT / "docker/entrypoint.sh"), *arguments], env=env,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                if not arguments:
                    self.assertIn("listening on", process.stdout.readline())
                    process.terminate()
                return process.communicate(timeout=20 * harness.SLOW)[1], process.returncode
            self.assertEqual(enter("--check-sandbox")[1], 0)
            self.assertEqual(os.listdir(folder), [], "it only looks")
            told, code = enter(CALOTYPE_INSECURE="no")
            self.assertEqual(code, 0, told)
            self.assertEqual(len(re.findall(r"calo_\w{8}_[\w-]{43}", told)), 1, told)
            self.assertNotIn("calo_", enter()[0], "it is shown once")
            self.assertEqual(enter("fsck")[1], 0)
            for name in ("calotype.db", "calotype.db-wal", "calotype.db-shm"):
                pathlib.Path(folder, name).unlink(missing_ok=True)
            self.assertEqual(enter("reindex")[1], 0)

    def test_once_keys_exist_the_figures_need_one_and_health_does_not(self):
        key = "calo_" + "a" * 8 + "_" + "b" * 43
        with Server(env={"CALOTYPE_API_KEY": key}) as server:
            self.assertEqual(server.get("/livez").status, 200)
            self.assertEqual(server.get("/readyz").status, 200)
            self.assertEqual(server.get("/metrics").status, 401)
            server.key = key
            self.assertEqual(server.get("/metrics").status, 200)


if __name__ == "__main__":
    harness.main()
