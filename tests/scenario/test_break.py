"""What broke once, or could: ends under a lock, full disks, few descriptors, kills under load."""

import hashlib
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import Server, image
from test_tus import CHUNK, create, job_of, offset_of, patch


def status_of(call):
    """The status, or None when the connection ended without one."""
    try:
        return call().status
    except OSError:
        return None


def in_parallel(count, run):
    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    return threads


def open_sockets(server):
    """Descriptors of files come and go: each reader of the database has three, 16 at most."""
    folder, count = f"/proc/{server.process.pid}/fd", 0
    for name in os.listdir(folder):
        try:
            count += os.readlink(f"{folder}/{name}").startswith("socket:")
        except OSError:
            continue
    return count


class Break(unittest.TestCase):
    def test_sigterm_with_a_locked_database_ends_in_time(self):
        """Another process holds the write lock: the end waits no longer than it may."""
        with Server("--shutdown-timeout", "2") as server:
            path = create(server, 5000)["Location"]
            self.assertEqual(patch(server, path, 0, image("small.jpg")[:1000]).status, 204)
            lock = sqlite3.connect(server.data / "calotype.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            threads = in_parallel(8, lambda i: status_of(
                lambda: patch(server, path, 1000, image("small.jpg")[1000:1000 + i])
                if i % 2 else server.request("PUT", "/images/x.jpg", body=image("small.jpg"))))
            time.sleep(0.5 * harness.SLOW)
            begun = time.monotonic()
            self.assertEqual(server.stop(signal.SIGTERM), 0)
            self.assertLess(time.monotonic() - begun, 9 * harness.SLOW)
            lock.execute("ROLLBACK")
            lock.close()
            for thread in threads:
                thread.join()
            server.start()
            self.assertGreaterEqual(offset_of(server, path), 1000)

    @unittest.skipUnless(harness.LONG, "the server waits 10 s for the lock: --long")
    def test_a_locked_database_is_a_503(self):
        """Longer than the server waits for it: retryable, and the upload goes on afterwards."""
        data = image("small.jpg")
        with Server() as server:
            path = create(server, len(data))["Location"]
            self.assertEqual(patch(server, path, 0, data[:1000]).status, 204)
            lock = sqlite3.connect(server.data / "calotype.db", isolation_level=None)
            lock.execute("BEGIN IMMEDIATE")
            answers = [None, None]

            def ask(number):
                answers[number] = (
                    server.request("PUT", "/images/x.jpg", body=data) if number
                    else patch(server, path, 1000, data[1000:2000]))

            for thread in in_parallel(2, ask):
                thread.join()
            for answer in answers:
                self.assertEqual((answer.status, answer["Retry-After"]), (503, "1"), answer)
                self.assertEqual(answer.json()["code"], "database_busy")
            lock.execute("ROLLBACK")
            lock.close()
            self.assertEqual(offset_of(server, path), 1000)
            self.assertEqual(patch(server, path, 1000, data[1000:]).status, 204)
            server.upload(data + b"1")

    def test_a_disk_that_fills_up_keeps_what_came(self):
        """ext2 reserves no blocks, so the disk can fill up in the middle of a body. The database
        lies elsewhere: without reserved blocks its log could not grow either."""
        data = image("small.jpg") + bytes(8 << 20)
        with tempfile.TemporaryDirectory() as folder:
            disk, where = pathlib.Path(folder, "disk"), pathlib.Path(folder, "mount")
            with open(disk, "wb") as file:
                file.truncate(48 << 20)
            where.mkdir()
            made = subprocess.run(["mkfs.ext2", "-q", "-F", "-m", "0", str(disk)], check=False).returncode
            if made or subprocess.run(["mount", "-o", "loop", str(disk), str(where)],
                                      stderr=subprocess.DEVNULL, check=False).returncode:
                self.skipTest("mounting is not allowed here")
            try:
                with Server("--reserve", "1K", "--database", f"{folder}/calotype.db",
                            data=where / "data") as server:
                    self.fill_in_mid_body(server, data, where / "jam")
            finally:
                subprocess.run(["umount", str(where)], check=True)

    def fill_in_mid_body(self, server, data, jam):
        path = create(server, len(data))["Location"]

        def body():
            yield data[:6 << 20]
            time.sleep(0.5 * harness.SLOW)  # until it is written
            free = os.statvfs(jam.parent)
            with open(jam, "wb", buffering=0) as file:
                file.write(bytes(free.f_bavail * free.f_bsize - (1 << 20)))
            yield data[6 << 20:]

        answer = server.request("PATCH", path, body=body(), headers={
            **CHUNK, "Upload-Offset": "0", "Content-Length": str(len(data))})
        self.assertEqual((answer.status, answer.json()["code"]), (507, "insufficient_space"))
        kept = offset_of(server, path)
        self.assertGreater(kept, 4 << 20)
        server.kill()
        server.start()
        self.assertEqual(offset_of(server, path), kept, "it was durable")
        jam.unlink()
        answer = patch(server, path, kept, data[kept:])
        self.assertEqual(answer.status, 204)
        self.assertEqual(server.wait_job(job_of(answer))["state"], "succeeded")

    def test_nothing_is_acknowledged_into_a_deleted_database(self):
        with Server() as server:
            kept = server.upload(image("small.jpg"))
            database = server.data / "calotype.db"
            os.rename(database, server.data / "away")
            for data in (b"1", b"2"):
                answer = server.request("PUT", "/images/x.jpg", body=image("small.jpg") + data)
                self.assertEqual((answer.status, answer.json()["code"]), (500, "database"))
            self.assertEqual(create(server, 1000).status, 500)
            os.rename(server.data / "away", database)
            self.assertEqual(server.get(f'/images/{kept["id"]}').status, 200)
            server.upload(image("small.jpg") + b"3")

    def test_log_has_its_space_beforehand(self):
        with Server() as server:
            server.upload(image("small.jpg"))
            log = os.stat(server.data / "calotype.db-wal")
            self.assertGreaterEqual(log.st_blocks * 512, 4 << 20)

    def test_deletes_on_a_full_disk(self):
        """On a small file system of its own where mounting is allowed, else not at all full."""
        with tempfile.TemporaryDirectory() as folder:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder],
                                     stderr=subprocess.DEVNULL).returncode == 0
            try:
                os.mkdir(f"{folder}/data")
                with Server("--reserve", "1K", data=f"{folder}/data") as server:
                    self.fill_and_delete(server, pathlib.Path(folder, "jam") if mounted else None)
            finally:
                if mounted:
                    subprocess.run(["umount", "-l", folder], check=True)

    def fill_and_delete(self, server, jam):
        data = image("small.jpg")
        made = server.upload(data)
        path = create(server, len(data))["Location"]
        self.assertEqual(patch(server, path, 0, data[:5000]).status, 204)
        if jam:
            with open(jam, "wb", buffering=0) as file, self.assertRaises(OSError):
                while True:
                    file.write(bytes(4096))
            answer = server.request("PUT", "/images/x.jpg", body=data + b"1")
            self.assertEqual((answer.status, answer.json()["code"]), (507, "insufficient_space"))
            self.assertEqual(create(server, len(data)).status, 507)
        self.assertEqual(server.request("DELETE", f'/images/{made["id"]}').status, 204)
        self.assertEqual(server.get(f'/blobs/{made["sha256"]}').status, 404)
        if jam:
            jam.unlink()
        self.assertEqual(patch(server, path, 5000, data[5000:]).status, 204)
        server.upload(data + b"2")

    def test_descriptors_are_raised_to_what_is_allowed(self):
        with Server(wrap=["prlimit", "--nofile=256:4096"]) as server:
            with open(f"/proc/{server.process.pid}/limits", encoding="utf-8") as file:
                soft = re.search(r"Max open files\s+(\d+)", file.read()).group(1)
            self.assertEqual(soft, "4096")

    def test_descriptors_that_ran_out_are_a_503(self):
        with Server("--max-per-address", "200", wrap=["prlimit", "--nofile=60:60"]) as server:
            statuses = []
            for _ in range(8):  # how many meet at once is up to the machine
                for thread in in_parallel(40, lambda i: statuses.append(status_of(
                        lambda: server.request("PUT", "/images/x.jpg",
                                               body=image("small.jpg") + bytes([i]))))):
                    thread.join()
                if 503 in statuses:
                    break
            self.assertLessEqual(set(statuses), {202, 503, None}, statuses)
            self.assertIn(503, statuses)
            end = time.monotonic() + 10 * harness.SLOW
            while status_of(lambda: server.get("/images")) != 200 and time.monotonic() < end:
                time.sleep(0.1)
            self.assertEqual(status_of(lambda: server.get("/images")), 200)

    def test_kill_9_under_load(self):
        """Parallel uploads, whole and tus, over three kills: what was acknowledged is there."""
        data = image("small.jpg")
        with Server() as server:
            port, acknowledged, offsets, ends = server.port, [], {}, threading.Event()

            def whole(number):
                count = 0
                while not ends.is_set():
                    count += 1
                    body = data + b"whole %d %d" % (number, count)
                    try:
                        answer = server.request("PUT", "/images/x.jpg", body=body)
                    except OSError:
                        time.sleep(0.01)
                        continue
                    if answer.status == 202:
                        acknowledged.append((answer["Location"], body))

            def resumable(number):
                count = 0
                while not ends.is_set():
                    count += 1
                    body = data + b"tus %d %d" % (number, count)
                    try:
                        path = create(server, len(body))["Location"]
                        offset = offsets[path] = 0
                        while offset < len(body):
                            answer = patch(server, path, offset, body[offset:offset + 5000])
                            if answer.status != 204:
                                break
                            offset = offsets[path] = int(answer["Upload-Offset"])
                        else:
                            acknowledged.append((job_of(answer), body))
                    except OSError:
                        time.sleep(0.01)

            threads = in_parallel(3, whole) + in_parallel(3, resumable)
            for _ in range(3):
                time.sleep(0.6)
                server.kill()
                server.start(port)
            ends.set()
            for thread in threads:
                thread.join()
            self.assertTrue(acknowledged)
            for path, offset in offsets.items():
                self.assertGreaterEqual(offset_of(server, path), offset)
            for path, body in acknowledged:
                self.assertEqual(server.get(path).status, 200)
                name = hashlib.sha256(body).hexdigest()
                self.assertEqual((server.data / "objects" / name[:2] / name[2:]).read_bytes(), body)

    def test_clients_that_vanish_leave_nothing_open(self):
        data = image("small.jpg")
        with Server() as server:
            server.upload(data)
            before = open_sockets(server)
            put = b"PUT /images/x.jpg HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(data)
            for cut in (10, len(put), len(put) + 1000, len(put) + len(data)):
                for reset in (b"\0" * 8, b"\1" + b"\0" * 7):
                    for _ in range(5):
                        with socket.create_connection(("127.0.0.1", server.port)) as client:
                            client.sendall((put + data)[:cut])
                            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            end = time.monotonic() + 20 * harness.SLOW
            while open_sockets(server) > before + 2 and time.monotonic() < end:
                time.sleep(0.1)
            self.assertLessEqual(open_sockets(server), before + 2)  # one a worker


if __name__ == "__main__":
    harness.main()
