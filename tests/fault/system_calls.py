#!/usr/bin/env python3
"""A fault at every system call: of one upload, one job and one delete.

Each operation is first watched with strace, thread group by thread group: which calls are made, and
how often. Then it runs once for each of them, with that call of that group killing the server, or
failing with EIO or ENOSPC. The client goes on as a client would: after a kill the server is started
again, after an error it reads the answer, and it ends what it began. What was acknowledged must be
there, an offset must never lie, an error must be a problem with a code, and in the end it works.

strace counts a call for each thread by itself, so a fault strikes the thread of the group that
first comes to its N-th such call.
"""

import argparse
import collections
import hashlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402

TUS = {"Tus-Resumable": "1.0.0"}
# The groups of threads that take part, by the beginning of their names; the rest only keeps time.
GROUPS = {
    "upload": ("http-acceptor", "MHD-worker", "ct-commit", "database"),
    "job": ("job", "imaging-keeper", "database"),
    "delete": ("MHD-worker", "ct-commit", "database"),
}
# An error makes sense where a disk can give it; on sockets and clocks it means another thing.
FILE_CALLS = {
    "openat", "read", "pread64", "write", "writev", "pwrite64", "fsync", "fdatasync", "link",
    "linkat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "ftruncate", "fallocate",
    "mkdir", "mkdirat", "fstat", "newfstatat", "statfs", "fstatfs", "lseek", "close",
}
BROKEN = (OSError, http.client.HTTPException)


class Fault(Exception):
    """Something that must not happen."""


class Operation:
    """What a client wants and does not give up; `step()` is called until it returns True."""

    def __init__(self, server, seed):
        self.server = server
        self.data = seed + os.urandom(random.randint(3000, 6000))
        self.digest = hashlib.sha256(self.data).hexdigest()
        self.acknowledged = None

    def prepare(self):
        """What must be there before."""

    def call(self, method, path, body=None, headers=None):
        """An answer; None when the connection broke. A refusal must say what it is."""
        try:
            answer = self.server.request(method, path, body=body, headers=headers, timeout=15)
        except BROKEN:
            return None
        if answer.status >= 400 and method != "HEAD":
            try:
                code = answer.json()["code"]
            except (ValueError, KeyError):
                raise Fault(f"{method} {path}: not a problem: {answer}") from None
            if not code:
                raise Fault(f"{method} {path}: a problem without a code: {answer}")
        return answer


class Upload(Operation):
    """tus: creation, half of the bytes, the other half, then the whole must be in the store."""

    def __init__(self, server, seed):
        super().__init__(server, seed)
        self.path, self.offset, self.promised = None, 0, 0

    def create(self):
        answer = self.call("POST", "/uploads", headers={**TUS, "Upload-Length": str(len(self.data))})
        if answer is not None and answer.status == 201:
            self.path = answer["Location"]

    def look(self):
        answer = self.call("HEAD", self.path, headers=TUS)
        if answer is None or answer.status >= 500:
            return False
        if answer.status != 200:
            raise Fault(f"an acknowledged upload is {answer.status}")
        self.offset = int(answer["Upload-Offset"])
        if self.offset < self.promised:
            raise Fault(f"offset {self.offset} after {self.promised} was acknowledged")
        return True

    def step(self):
        if self.path is None:
            self.create()
            return False
        if not self.look():
            return False
        half = len(self.data) // 2
        end = half if self.offset < half else len(self.data)
        if self.offset < len(self.data):
            answer = self.call("PATCH", self.path, body=self.data[self.offset:end], headers={
                **TUS, "Content-Type": "application/offset+octet-stream",
                "Upload-Offset": str(self.offset)})
            if answer is not None and answer.status == 204:
                self.promised = int(answer["Upload-Offset"])
            return False
        answer = self.call("HEAD", self.path, headers=TUS)
        job = re.search(r"</jobs/([0-9a-f]{32})>", answer["Link"] or "") if answer else None
        if not job:
            return False
        self.acknowledged = self.digest
        return True


class Job(Operation):
    """A photo is there; its job must end, once, as succeeded."""

    def __init__(self, server, seed):
        super().__init__(server, seed)
        self.job = None

    def step(self):
        if self.job is None:
            answer = self.call("PUT", "/images/job.jpg", body=self.data)
            if answer is not None and answer.status == 202:
                self.job, self.acknowledged = answer["Location"], self.digest
            return False
        answer = self.call("GET", self.job)
        if answer is None or answer.status >= 500:
            return False
        if answer.status != 200:
            raise Fault(f"an acknowledged job is {answer.status}")
        job = answer.json()
        if job["done"] and job["state"] != "succeeded":
            raise Fault(f"the job ended as {job['state']}: {job.get('error')}")
        if job["done"]:
            url = job["response"]["image"]["url"]
            answer = self.call("GET", url)
            return answer is not None and answer.status == 200
        time.sleep(0.02)
        return False


class Delete(Operation):
    """An image that is ready is deleted; once acknowledged, nothing of it is served again."""

    def __init__(self, server, seed):
        super().__init__(server, seed)
        self.image, self.gone = None, False

    def prepare(self):
        self.image = self.server.upload(self.data)

    def step(self):
        path = f"/images/{self.image['id']}"
        if not self.gone:
            answer = self.call("DELETE", path)
            self.gone = answer is not None and answer.status in (204, 404)
            self.acknowledged = self.acknowledged or (self.gone and "deleted")
            return False
        for url in (path, self.image["url"], f"/blobs/{self.digest}"):
            answer = self.call("GET", url)
            if answer is None or answer.status >= 500:
                return False
            if answer.status != 404:
                raise Fault(f"{url} is {answer.status} after its deletion was acknowledged")
        return True


OPERATIONS = {"upload": Upload, "job": Job, "delete": Delete}


class Bench:
    """One data directory, one server at a time, and what it has acknowledged so far."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-calls-"))
        self.server = harness.Server("--reserve", "1M", data=self.folder / "data")
        self.seed = harness.image("small.jpg")
        self.present, self.acknowledged = [], 0
        self.server.start()

    def close(self):
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder.parent / f"{self.folder.name}.log").unlink(missing_ok=True)

    def is_dead(self):
        return self.server.process.poll() is not None

    def revive(self):
        self.server.stop()
        self.server.start()

    def prepare(self, name):
        """An operation whose fault may come. A kill may strike after the last one had its end."""
        if self.is_dead():
            self.revive()
        operation = OPERATIONS[name](self.server, self.seed)
        try:
            operation.prepare()
        except BROKEN:
            self.revive()
            operation.prepare()
        return operation

    def threads(self, group):
        base = pathlib.Path(f"/proc/{self.server.process.pid}/task")
        return [entry.name for entry in base.iterdir()
                if (entry / "comm").read_text().startswith(group)]

    def trace(self, group, *flags):
        """strace on the threads of a group, attached when this returns; None: there are none."""
        ids = self.threads(group)
        if not ids:
            return None
        tracer = subprocess.Popen(
            ["strace", *flags, *[flag for tid in ids for flag in ("-p", tid)]],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in ids:
            line = tracer.stderr.readline()
            if "attached" not in line:
                tracer.kill()
                raise Fault(f"strace: {line}")
        return tracer

    def run(self, operation, tracer, limit=60):
        """Steps to the end; how often the server had to be started again."""
        starts, end = 0, time.monotonic() + limit
        while True:
            done = operation.step()
            if tracer is not None and self.is_dead():
                tracer.wait()
                tracer = None
            if self.is_dead():
                self.revive()
                starts += 1
                continue
            if done:
                return starts
            if time.monotonic() > end:
                raise Fault("the client cannot end what it began")

    def check(self):
        """All that was acknowledged is there, by its bytes, and fsck finds nothing."""
        lost = [digest for digest in self.present
                if not (path := self.server.data / "objects" / digest[:2] / digest[2:]).exists()
                or hashlib.sha256(path.read_bytes()).hexdigest() != digest]
        self.server.stop()
        fsck = subprocess.run([harness.SERVER, "fsck", "--data", str(self.server.data), "--json"],
                              capture_output=True, text=True, check=False)
        self.server.start()
        if fsck.returncode != 0:
            raise Fault(f"fsck: {fsck.stdout[-2000:]} {fsck.stderr[-500:]}")
        return lost


def end_trace(tracer):
    if tracer is not None and tracer.poll() is None:
        tracer.terminate()
    if tracer is not None and not tracer.stderr.closed:
        tracer.communicate()


def watch(bench, name, group):
    """{system call: most often made by one thread of the group} in a clean run."""
    log = bench.folder / "trace"
    operation = bench.prepare(name)
    tracer = bench.trace(group, "--output-separately", "-o", str(log))
    if tracer is None:
        return {}
    bench.run(operation, None)
    end_trace(tracer)
    most = collections.Counter()
    for path in bench.folder.glob("trace.*"):
        counts = collections.Counter(
            match.group(1) for line in path.read_text(errors="replace").splitlines()
            if (match := re.match(r"(?:<\.\.\. )?([a-z_0-9]+)\(", line)))
        for call, count in counts.items():
            most[call] = max(most[call], count)
        path.unlink()
    return most


def cases(bench, name):
    """Every (group, call, N) of an operation."""
    for group in GROUPS[name]:
        for call, count in sorted(watch(bench, name, group).items()):
            for number in range(1, count + 1):
                yield group, call, number


def strike(bench, name, case, fault):
    """One run with one fault; True if it struck."""
    group, call, number = case
    operation = bench.prepare(name)
    how = "signal=SIGKILL" if fault == "kill" else f"error={fault}"
    log = bench.folder / "struck"
    tracer = bench.trace(group, "-o", str(log), "-e", f"trace={call}",
                         "-e", f"inject={call}:{how}:when={number}")
    starts = 0
    try:
        starts = bench.run(operation, tracer) if fault == "kill" else \
            run_with_error(bench, operation, tracer)
    except Fault as error:
        raise Fault(f"{name}: {fault} at {call} number {number} of {group}: {error}") from None
    finally:
        end_trace(tracer)
    starts += bench.is_dead()
    if operation.acknowledged:
        bench.acknowledged += 1
    if operation.acknowledged == operation.digest:
        bench.present.append(operation.digest)
    struck = starts > 0 or (log.exists() and "(INJECTED)" in log.read_text(errors="replace"))
    log.unlink(missing_ok=True)
    return struck


def run_with_error(bench, operation, tracer):
    """The error may have made the store unhealthy: then a restart must help, and nothing less."""
    try:
        return bench.run(operation, tracer, limit=6)
    except Fault as error:
        if "cannot end" not in str(error):
            raise
    end_trace(tracer)
    if bench.server.get("/readyz").status == 200 and operation.step() is False:
        # Healthy: it must go on by itself now that the fault is over.
        return bench.run(operation, None)
    bench.revive()
    return bench.run(operation, None) + 1


def run(name, fault, limit=None, progress=lambda text: None):
    """All faults of one kind at one operation, or `limit` of them by chance. (struck, acknowledged,
    lost, faults)"""
    bench = Bench()
    struck, faults = 0, []
    try:
        todo = [case for case in cases(bench, name)
                if fault == "kill" or case[1] in FILE_CALLS]
        if limit is not None and len(todo) > limit:
            todo = sorted(random.sample(todo, limit))
        for number, case in enumerate(todo, 1):
            progress(f"{name}, {fault}: {number} of {len(todo)}: {case[1]}")
            try:
                struck += strike(bench, name, case, fault)
            except Fault as error:
                faults.append(str(error))
                bench.revive()
        try:
            lost = bench.check()
        except Fault as error:
            lost = []
            faults.append(str(error))
        return struck, bench.acknowledged, lost, faults
    finally:
        bench.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--operation", choices=OPERATIONS, action="append")
    parser.add_argument("--fault", choices=("kill", "EIO", "ENOSPC"), action="append")
    parser.add_argument("--limit", type=int, help="only so many of each, by chance")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}")
    failed = False
    for name in options.operation or OPERATIONS:
        for fault in options.fault or ("kill", "EIO", "ENOSPC"):
            struck, acknowledged, lost, faults = run(
                name, fault, options.limit,
                lambda text: print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True))
            print(f"\r\033[K{name}, {fault}: struck {struck}, acknowledged {acknowledged}, "
                  f"lost {len(lost)}, faults {len(faults)}", flush=True)
            for text in faults:
                print("   ", text)
            failed = failed or bool(lost) or bool(faults) or not struck
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
