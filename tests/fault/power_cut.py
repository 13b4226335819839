#!/usr/bin/env python3
"""A power cut, for real: the data directory on a loop-mounted file system that is shut down in the
middle of parallel uploads without writing its log (FS_IOC_SHUTDOWN, NOLOGFLUSH). What the page cache
and the journal had not written is lost, as at a power cut. Then it is mounted again, the server is
started, and every answer that a client had is checked.

Lost are: an acknowledged image that is missing or has other bytes, an acknowledged offset that the
upload has not reached. kill -9 proves nothing of this: the page cache survives it.
"""

import argparse
import fcntl
import hashlib
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402

FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2
IMAGE_MIB = 600
TUS = {"Tus-Resumable": "1.0.0"}


class Mount:
    """A file system of its own in a file."""

    def __init__(self, kind, folder, name):
        self.file, self.path = folder / f"{name}.img", folder / name
        self.path.mkdir()
        with open(self.file, "wb") as file:
            file.truncate(IMAGE_MIB << 20)
        make = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}[kind]
        subprocess.run([*make, str(self.file)], check=True, stdout=subprocess.DEVNULL)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", str(self.file), str(self.path)], check=True,
                       stderr=subprocess.PIPE)

    def cut(self):
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def unmount(self):
        for _ in range(100):
            if subprocess.run(["umount", str(self.path)], stderr=subprocess.DEVNULL,
                              check=False).returncode == 0:
                return
            time.sleep(0.05)
        subprocess.run(["umount", "-l", str(self.path)], check=False)


class Load:
    """Parallel clients; remembers what was acknowledged."""

    def __init__(self, server):
        self.server, self.stop = server, False
        self.images, self.offsets, self.sources = [], {}, {}
        self.lock = threading.Lock()
        self.seed = harness.image("small.jpg")

    def photo(self, size):
        """A JPEG with bytes of its own behind its end: new content each time."""
        return self.seed + os.urandom(size)

    def whole(self):
        while not self.stop:
            data = self.photo(random.randint(1, 200_000))
            answer = self.server.request("PUT", "/images/x.jpg", body=data)
            if answer.status == 202:
                with self.lock:
                    self.images.append((hashlib.sha256(data).hexdigest(), len(data),
                                        answer["Location"]))

    def resumable(self):
        while not self.stop:
            data = self.photo(400_000)
            answer = self.server.request(
                "POST", "/uploads", headers={**TUS, "Upload-Length": str(len(data))})
            if answer.status != 201:
                continue
            path, offset = answer["Location"], 0
            with self.lock:
                self.offsets[path], self.sources[path] = 0, data
            while offset < len(data) and not self.stop:
                piece = data[offset:offset + 50_000]
                answer = self.server.request("PATCH", path, body=piece, headers={
                    **TUS, "Upload-Offset": str(offset),
                    "Content-Type": "application/offset+octet-stream"})
                if answer.status != 204:
                    break
                offset = int(answer["Upload-Offset"])
                with self.lock:
                    self.offsets[path] = offset

    def run(self, seconds, cut):
        def guarded(work):
            try:
                work()
            except OSError:  # the cut
                pass
            except Exception as error:  # pylint: disable=broad-except
                if not self.stop:
                    print("client:", repr(error), file=sys.stderr)
        threads = [threading.Thread(target=guarded, args=(work,), daemon=True)
                   for work in [self.whole] * 4 + [self.resumable] * 3]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        # Two file systems cannot be cut in one instant, and an fsync that is under way in the cut
        # may even succeed; at a power cut no program goes on to act on that. So it is stopped first.
        os.kill(self.server.process.pid, signal.SIGSTOP)
        cut()
        self.stop = True
        with self.lock:
            images, offsets = list(self.images), dict(self.offsets)
        self.server.kill()
        for thread in threads:
            thread.join(30)
        return images, offsets


def check(server, load, images, offsets):
    """The list of what was lost."""
    lost = []
    for digest, size, job in images:
        path = server.data / "objects" / digest[:2] / digest[2:]
        if not path.exists() or path.stat().st_size != size or \
                hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            lost.append(f"blob {digest}")
        elif server.get(job).status != 200:
            lost.append(f"job {job}")
    for path, offset in offsets.items():
        answer = server.head(path, **{"Tus_Resumable": "1.0.0"})
        if answer.status != 200 or int(answer["Upload-Offset"]) < offset:
            lost.append(f"offset {offset} of {path}: {answer.status} {answer['Upload-Offset']}")
            continue
        data, at = load.sources[path], int(answer["Upload-Offset"])
        staged = server.data / "staging" / path.rsplit("/", 1)[-1]
        found = f"{staged.stat().st_size} bytes, {staged.stat().st_nlink} names" \
            if staged.exists() else "no file"
        done = server.request("PATCH", path, body=data[at:], headers={
            **TUS, "Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"})
        digest = hashlib.sha256(data).hexdigest()
        if done.status != 204 or not (server.data / "objects" / digest[:2] / digest[2:]).exists():
            lost.append(f"rest of {path}: acknowledged {offset}, at {at} of {len(data)}, "
                        f"staged {found}: {done.status} {done.body.decode()[:200]}")
    return lost


def one_round(kind, apart, seconds):
    """One cut; (acknowledged, lost)."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-power-"))
    mounts = []
    try:
        mounts.append(Mount(kind, folder, "blobs"))
        flags = []
        if apart:
            mounts.append(Mount(kind, folder, "database"))
            flags = ["--database", str(mounts[1].path / "calotype.db")]
        # The free space of a small image: the reserve would take half of it.
        server = harness.Server("--reserve", "1M", "--workers", "1", *flags,
                                data=mounts[0].path / "data")
        server.start()
        load = Load(server)

        def cut():
            for mount in mounts:
                mount.cut()
        images, offsets = load.run(seconds, cut)
        for mount in mounts:
            mount.unmount()
            mount.mount()
        server.start()
        lost = check(server, load, images, offsets)
        server.stop()
        return len(images) + len(offsets), lost
    finally:
        for mount in reversed(mounts):
            mount.unmount()
        shutil.rmtree(folder, ignore_errors=True)


def can_mount():
    """Why not, or None."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-power-"))
    try:
        Mount("ext4", folder, "try").unmount()
        return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no loop mounts here: {error}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="load before the cut")
    parser.add_argument("--kind", choices=("ext4", "xfs"), default="ext4")
    parser.add_argument("--database-apart", action="store_true",
                        help="the database on another file system than the blobs")
    options = parser.parse_args()
    total, all_lost = 0, []
    for number in range(options.rounds):
        acknowledged, lost = one_round(options.kind, options.database_apart,
                                       options.seconds * random.uniform(0.5, 1.5))
        total, all_lost = total + acknowledged, all_lost + lost
        print(f"{options.kind} round {number + 1}: acknowledged {acknowledged}, "
              f"present {acknowledged - len(lost)}, lost {len(lost)}", flush=True)
        for text in lost[:10]:
            print("   ", text)
    print(f"{options.kind}{' database apart' if options.database_apart else ''}: "
          f"acknowledged {total}, present {total - len(all_lost)}, lost {len(all_lost)}")
    return 1 if all_lost or not total else 0


if __name__ == "__main__":
    sys.exit(main())
