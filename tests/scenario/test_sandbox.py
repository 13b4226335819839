#!/usr/bin/env python3
"""The worker's sandbox as an operator meets it, and the image types that came with it."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import harness

WORKER = harness.BUILD / "src" / "imaging" / "calotype-worker"
REQUIRED = ("no_new_privileges", "no_capabilities", "descriptors", "memory", "file_size", "cpu_time",
            "seccomp")

# Speaks the protocol of a worker none of whose layers hold.
WEAK = """#!/usr/bin/env python3
import socket, struct
peer = socket.socket(fileno=3)
version, _ = struct.unpack("=II", peer.recv(8))
peer.send(struct.pack("=IiI", version, 0, 0).ljust({size}, b"\\0"))
peer.recv(1)
"""


def check(*flags):
    return subprocess.run([str(harness.SERVER), "--check-sandbox", *flags], text=True,
                          capture_output=True, check=False, timeout=60)


def protocol_version():
    header = (harness.ROOT / "src/imaging/protocol.h").read_text(encoding="utf-8")
    return int(re.search(r"CT_WORKER_PROTOCOL_VERSION (\d+)u", header)[1])


def reply_size():
    """Of struct ct_worker_reply, seen from outside: what the real worker sends."""
    import socket
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        peer = theirs.fileno()
        process = subprocess.Popen([str(WORKER)], close_fds=False,
                                   preexec_fn=lambda: os.dup2(peer, 3))
        ours.settimeout(20)
        ours.send(protocol_version().to_bytes(4, "little") + (1).to_bytes(4, "little"))
        size = len(ours.recv(65536))
        process.kill()
        process.wait()
    return size


class Sandbox(unittest.TestCase):
    def weak_worker(self):
        folder = tempfile.TemporaryDirectory(prefix="calotype-weak-")
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / "worker"
        path.write_text(WEAK.format(size=reply_size()))
        path.chmod(0o755)
        return str(path)

    def test_check_says_which_layers_hold(self):
        result = check()
        self.assertEqual(result.returncode, 0, result)
        states = {line.split()[0]: line.split()[1] for line in result.stdout.splitlines()}
        for layer in REQUIRED:
            self.assertEqual(states[layer], "holds")
        self.assertIn(states["landlock"], ("holds", "absent"))

    def test_check_fails_where_they_do_not(self):
        result = check("--worker-path", self.weak_worker())
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("seccomp            LACKS", result.stdout)
        self.assertIn("landlock           absent", result.stdout)
        result = check("--worker-path", "/bin/true")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("did not start", result.stderr)

    def test_server_logs_what_holds(self):
        with harness.Server() as server:
            self.assertIn("info start.sandbox held=no_new_privileges,", server.log_text())

    def test_server_refuses_a_weak_sandbox_unless_told(self):
        weak = self.weak_worker()
        server = harness.Server("--worker-path", weak)
        with self.assertRaisesRegex(AssertionError, "start.weak_sandbox.*--sandbox=available"):
            server.start()
        with harness.Server("--worker-path", weak, "--sandbox", "available") as server:
            self.assertIn("warning start.sandbox held=none", server.log_text())

    def test_only_the_worker_links_codecs_and_seccomp(self):
        libraries = subprocess.run(["ldd", str(harness.SERVER)], text=True, capture_output=True,
                                   check=True).stdout
        for name in ("seccomp", "vips", "glib", "heif", "webp", "jpeg"):
            self.assertNotIn(f"lib{name}", libraries)


class Types(unittest.TestCase):
    def test_heic_and_avif_are_taken(self):
        with harness.Server() as server:
            for name, kind in (("small.heic", "image/heic"), ("small.avif", "image/avif")):
                image = server.upload(harness.image(name), name)
                self.assertEqual(image["type"], kind)
                self.assertEqual([p["w"] for p in image["prints"]], [320, 640, 800])
                answer = server.get(f"/i/{image['id']}?w=320")
                self.assertEqual(answer["Content-Type"], "image/webp")
                original = server.get(f"/i/{image['id']}/original")
                self.assertEqual(original["Content-Type"], kind)
                self.assertEqual(original.body, harness.image(name))
                self.assertTrue(original["Content-Disposition"].startswith("inline"))

    def test_tiff_only_by_option(self):
        data = harness.image("small.tif")
        with harness.Server() as server:
            answer = server.request("PUT", "/images/a.tif", body=data)
            self.assertEqual(answer.status, 415, answer)
            self.assertEqual(answer.json()["code"], "unsupported_type")
        with harness.Server("--accept", "image/jpeg,image/tiff") as server:
            image = server.upload(data, "a.tif")
            self.assertEqual(len(image["prints"]), 3)
            original = server.get(f"/i/{image['id']}/original")
            self.assertTrue(original["Content-Disposition"].startswith("attachment"))

    def test_limits_are_problems_that_name_themselves(self):
        cases = (("many.gif", "too_many_frames", ("20 frames", "2400000", "2000000")),
                 ("bomb.png", "too_many_pixels", ("2500000000", "50000000")))
        with harness.Server("--max-all-pixels", "2000000") as server:
            for name, code, words in cases:
                answer = server.request("PUT", f"/images/{name}", body=harness.image(name))
                self.assertEqual(answer.status, 202, answer)
                job = server.wait_job(answer["Location"])
                self.assertEqual(job["error"]["code"], code)
                for word in words:
                    self.assertIn(word, job["error"]["detail"])


if __name__ == "__main__":
    harness.main()
