#!/usr/bin/env python3
"""kill -9 in a loop, under load: parallel clients upload whole and in chunks, a third of it files that
others upload too, abandon some, delete others, while uploads expire after seconds and the sweep, the
scrub and the workers run as often as options allow. Others upload again what the sweep is just about to
take. At random instants the server is killed and started again, and the clients go on. In the end all
that was acknowledged must hold, and nothing may be left over: no job without an end or with two, no
staging file, blob or print that no row knows.

A seed decides what each file is, what becomes of it, and when the kills come; which of the threads is
where at a kill is up to the machine.
"""

import argparse
import collections
import hashlib
import http.client
import json
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402

TUS = {"Tus-Resumable": "1.0.0"}
BROKEN = (OSError, http.client.HTTPException)
CLIENTS = 8
RACERS = 8
LEAST_KILLS = 3
SHARED = 4  # contents that a third of the files have
GRACE_S = 1
# Of the housekeeper: its rounds begin so long after the start and after each other, about.
ROUND_S, ROUND_TAKES_S = 1.0, 0.05
JOB_S = 20  # less than a lease: a job that a dead server ran is not to wait for its end
BYTES_LOST = ("content_lost", "digest_mismatch")
RECEIVING, FINISHING, SUCCEEDED = 0, 1, 2


class Wrong(Exception):
    """What must not happen, though nothing acknowledged is gone."""


class Lost(Exception):
    """Something acknowledged is gone."""


class File:
    """What the seed says about the n-th file."""

    def __init__(self, seed, number):
        dice = random.Random(f"{seed}.{number}")
        self.number, self.dice = number, dice
        self.is_shared = dice.random() < 1 / 3
        which = dice.randrange(SHARED)
        self.data = content(seed, f"shared {which}" if self.is_shared else f"own {number}")
        self.digest = hashlib.sha256(self.data).hexdigest()
        self.is_whole = dice.random() < 0.4
        self.is_abandoned = not self.is_whole and dice.random() < 0.2
        # One that stayed would keep the bytes from the sweep for ever.
        self.is_deleted = which > 0 if self.is_shared else dice.random() < 0.3
        self.piece = dice.randint(1, len(self.data))


def content(seed, name):
    """A photo with bytes of its own behind its end."""
    dice = random.Random(f"{seed}.{name}")
    photo = harness.image("small.jpg" if dice.random() < 0.2 else "tiny.jpg")
    return photo + dice.randbytes(dice.randint(1, 60_000))


class Ledger:
    """What was acknowledged; all of it under the lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.images = []   # (file, job path, image id; None before its job has ended)
        self.deleted = {}  # image id: digest
        self.uploads = {}  # path: [file, promised offset, when it was asked for, was abandoned]
        self.digests = set()
        self.lost, self.wrong = [], []
        self.broken = 0

    def count(self):
        return len(self.images) + len(self.deleted) + len(self.uploads)


class Client(threading.Thread):
    """Takes one file after the other, and does not give up."""

    def __init__(self, world, files):
        super().__init__(daemon=True)
        self.world, self.ledger, self.files = world, world.ledger, files

    def run(self):
        for file in self.files:
            try:
                self.take(file)
            except Lost as error:
                self.ledger.lost.append(f"file {file.number}: {error}")
            except Wrong as error:
                self.ledger.wrong.append(f"file {file.number}: {error}")
            except Exception as error:  # pylint: disable=broad-except
                self.ledger.wrong.append(f"file {file.number}: {error!r}")

    def take(self, file):
        self.ledger.digests.add(file.digest)
        time.sleep(file.dice.uniform(0, 0.2))
        job = self.put(file) if file.is_whole else self.send(file)
        if job is None:
            return
        with self.ledger.lock:
            entry = [file, job, None]
            self.ledger.images.append(entry)
        image = self.wait(job)
        entry[2] = image["id"]
        self.world.compare(file, image)
        if file.is_deleted:
            time.sleep(file.dice.uniform(0, 0.3))
            self.delete(file, image)

    def put(self, file):
        while True:
            answer = self.world.ask("PUT", f"/images/{file.number}.jpg", body=file.data)
            if answer is None:
                continue  # it may be there or not: the next one has the same bytes
            if answer.status != 202:
                raise Wrong(f"PUT: {answer}")
            return answer["Location"]

    def send(self, file):
        """By tus; the job, or None: abandoned."""
        while True:
            asked = time.time()
            answer = self.world.ask("POST", "/uploads", headers={
                **TUS, "Upload-Length": str(len(file.data))})
            if answer is None:
                continue
            if answer.status != 201:
                raise Wrong(f"POST: {answer}")
            path = answer["Location"]
            with self.ledger.lock:
                self.ledger.uploads[path] = [file, 0, asked, False]
            job = self.append_all(file, path)
            if job is not None or file.is_abandoned:
                return job

    def append_all(self, file, path):
        """The job; None when it was abandoned, or came so late that it had expired."""
        offset, state = 0, self.ledger.uploads[path]
        while True:
            if file.is_abandoned and offset > 0 and offset >= len(file.data) // 2:
                state[3] = True
                return None
            end = min(offset + file.piece, len(file.data) - file.is_abandoned)
            asked = time.time()
            answer = self.world.ask("PATCH", path, body=file.data[offset:end], headers={
                **TUS, "Upload-Offset": str(offset),
                "Content-Type": "application/offset+octet-stream"})
            if answer is not None and answer.status == 204:
                state[1], state[2] = int(answer["Upload-Offset"]), asked
                if state[1] != end:
                    raise Lost(f"{path}: {answer['Upload-Offset']} of {end} after a PATCH")
            elif answer is not None and answer.status not in (404, 410):
                raise Wrong(f"PATCH: {answer}")
            answer = answer if answer is not None and answer.status == 204 else self.look(path)
            if answer is None:
                state[3] = True
                return None
            offset = int(answer["Upload-Offset"])
            job = re.search(r"<(/jobs/[0-9a-f]{32})>", answer["Link"] or "")
            if job:
                return job.group(1)
            time.sleep(file.dice.uniform(0, 0.1))

    def look(self, path):
        """A HEAD; None if the upload has expired, as it may when its time has come."""
        while True:
            answer = self.world.ask("HEAD", path, headers=TUS)
            if answer is not None:
                break
        return None if self.world.judge(path, answer) else answer

    def wait(self, job):
        """The job's end, which must be a good one; the image."""
        spent, last = 0.0, None
        while spent < JOB_S * harness.SLOW:
            begun = time.monotonic()
            answer = self.world.ask("GET", job)
            if answer is not None and answer.status != 200:
                raise Lost(f"{job}: {answer}")
            last = answer.json() if answer is not None else last
            if last is not None and last["done"]:
                if last["state"] != "succeeded":
                    raise Lost(f"{job}: {last}")
                return last["response"]["image"]
            time.sleep(0.05)
            spent += time.monotonic() - begun
        raise Wrong(f"{job} does not end: {last}")

    def delete(self, file, image):
        answer = None
        while answer is None:
            answer = self.world.ask("DELETE", f"/images/{image['id']}")
        if answer.status not in (204, 404):
            raise Wrong(f"DELETE: {answer}")
        with self.ledger.lock:
            self.ledger.deleted[image["id"]] = file.digest


class Racer(Client):
    """Uploads one file again and again, just when the sweep is about to take it, and deletes it."""

    def __init__(self, world, number):
        self.file = File(world.seed, f"racer-{number}")
        self.file.is_whole, self.file.is_deleted = True, True
        super().__init__(world, self.again())

    def again(self):
        while not self.world.is_over:
            self.world.wait_for_a_sweep(self.file.dice.uniform(-0.02, 2 * ROUND_TAKES_S))
            yield self.file
            time.sleep(GRACE_S)


class World:
    """A data directory, the server on it, the clients, and what they were told."""

    def __init__(self, seed, uploads, expiry):
        self.seed, self.expiry, self.ledger = seed, expiry, Ledger()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-kills-"))
        self.server = harness.Server(
            "--sweep-grace", str(GRACE_S), "--upload-expiry", str(expiry), "--scrub-rate", "10M",
            "--reserve", "1M", "--cache", "1M", data=self.folder / "data",
            env={"CALOTYPE_ACCESS_LOG": "no"})
        self.up, self.lives, self.started = threading.Event(), 0, 0.0
        files = iter([File(seed, number) for number in range(uploads)])
        self.clients = [Client(self, Shared(files)) for _ in range(CLIENTS)]
        self.racers, self.is_over = [Racer(self, number) for number in range(RACERS)], False

    def close(self):
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, method, path, body=None, headers=None):
        """An answer; None when the connection broke, as it does at a kill."""
        self.up.wait()
        try:
            answer = self.server.request(method, path, body=body, headers=headers)
        except BROKEN:
            with self.ledger.lock:
                self.ledger.broken += 1
            return None
        if answer.status >= 500:
            is_lost = method != "HEAD" and answer.json()["code"] in BYTES_LOST
            raise (Lost if is_lost else Wrong)(f"{method} {path}: {answer}")
        return answer

    def wait_for_a_sweep(self, into_s):
        """Until `into_s` after the beginning of a round, or what should be one."""
        while True:
            self.up.wait()
            life = self.lives
            passed = time.monotonic() - self.started
            rounds = int(max(0, passed - into_s) / (ROUND_S + ROUND_TAKES_S)) + 1
            due = self.started + rounds * ROUND_S + (rounds - 1) * ROUND_TAKES_S + into_s
            while self.up.is_set() and self.lives == life and time.monotonic() < due:
                time.sleep(0.002)
            if self.up.is_set() and self.lives == life:
                return

    def judge(self, path, answer):
        """True if an upload is gone and may be. Its offset never moves back."""
        file, promised, asked, _ = self.ledger.uploads[path]
        if answer.status in (404, 410):
            if time.time() < asked + self.expiry:
                raise Lost(f"{path} is {answer.status} before it expires; it had {promised}")
            return True
        if answer.status != 200:
            raise Wrong(f"HEAD {path}: {answer}")
        if not promised <= int(answer["Upload-Offset"]) <= len(file.data):
            raise Lost(f"{path}: {answer['Upload-Offset']} after {promised} was acknowledged")
        return False

    def compare(self, file, image):
        answer = None
        while answer is None:
            answer = self.ask("GET", f"/i/{image['id']}/original")
        if answer.status != 200:
            raise Lost(f"{image['id']}: {answer}")
        if hashlib.sha256(answer.body).hexdigest() != file.digest or answer.body != file.data:
            raise Lost(f"{image['id']}: other bytes, {len(answer.body)} of {len(file.data)}")

    def begin_life(self):
        self.server.start(wait=60)
        self.started = time.monotonic()
        self.lives += 1
        self.up.set()

    def is_wanted(self):
        """Another kill."""
        return self.lives <= LEAST_KILLS or any(client.is_alive() for client in self.clients)

    def run(self, progress=lambda text: None):
        """The load and the kills, to the end of the load; then one life without a kill."""
        dice = random.Random(f"{self.seed}.kills")
        self.begin_life()
        for client in [*self.clients, *self.racers]:
            client.start()
        while self.is_wanted():
            # Some right at the start; some after a sweep or two.
            until = time.monotonic() + dice.choice((dice.uniform(0, 0.2), dice.uniform(0.3, 3.5),
                                                    dice.uniform(0.3, 3.5)))
            while time.monotonic() < until and self.is_wanted():
                time.sleep(0.002)
            if not self.is_wanted():
                break
            self.up.clear()
            if self.server.process.poll() is not None:
                self.ledger.wrong.append(f"the server died: {self.server.log_text()[-500:]}")
            self.server.kill()
            self.begin_life()
            progress(f"kill {self.lives - 1}, {len(self.ledger.images)} uploads")
        self.is_over = True


class Shared:
    """An iterator that threads share."""

    def __init__(self, inner):
        self.inner = inner

    def __iter__(self):
        return self

    def __next__(self):
        with Shared.lock:
            return next(self.inner)

    lock = threading.Lock()


# ---- in the end

def complain(world, check, *arguments):
    try:
        check(world, *arguments)
    except Lost as error:
        world.ledger.lost.append(str(error))
    except Wrong as error:
        world.ledger.wrong.append(str(error))


def check_image(world, file, job, image):
    answer = world.ask("GET", job)
    if answer.status != 200 or answer.json()["state"] != "succeeded":
        raise Lost(f"{job}: {answer}")
    if image is None:
        return  # its client has said why
    answer = world.ask("GET", f"/images/{image}")
    if image in world.ledger.deleted:
        if answer.status != 404:
            raise Lost(f"{image} is {answer.status} after its deletion was acknowledged")
        return
    if answer.status != 200 or answer.json()["state"] != "ready":
        raise Lost(f"{image}: {answer}")
    world.compare(file, answer.json())


def check_upload(world, path, file, was_abandoned):
    answer = world.ask("HEAD", path, headers=TUS)
    is_gone = world.judge(path, answer)
    if is_gone != was_abandoned:
        raise Wrong(f"{path} is {answer.status}, {'' if was_abandoned else 'not '}abandoned")
    if not is_gone and int(answer["Upload-Offset"]) != len(file.data):
        raise Lost(f"{path}: {answer['Upload-Offset']} of {len(file.data)} when it was done")


class Rows:
    """What the database knows."""

    def __init__(self, folder):
        database = sqlite3.connect(f"file:{folder / 'calotype.db'}?mode=ro", uri=True)
        try:
            ask = database.execute
            self.used = {row[0].hex() for row in ask("SELECT digest FROM image")}
            self.blobs = {row[0].hex() for row in ask("SELECT digest FROM blob")}
            self.prints = {row[0].hex() for row in ask("SELECT digest FROM print")}
            self.open = {row[0] for row in ask("SELECT id FROM upload WHERE state IN (?, ?)",
                                               (RECEIVING, FINISHING))}
            self.jobs = dict(ask("SELECT id, state FROM job"))
            self.ends = collections.Counter(
                json.loads(row[0])["job"] for row in
                ask("SELECT data FROM event WHERE type IN ('image.ready', 'image.failed')"))
        finally:
            database.close()


def names(folder):
    return {path.parent.name + path.name for path in folder.glob("??/*")}


def leftovers(data):
    """What nothing refers to; a text, empty when all is swept."""
    rows = Rows(data)
    sets = {"blob rows": rows.blobs - rows.used,
            "blobs": names(data / "objects") - rows.used,
            "prints": names(data / "prints") - rows.prints,
            "staging files": {path.name for path in (data / "staging").iterdir()},
            "open uploads": rows.open,
            "jobs without an end": {job for job, state in rows.jobs.items() if state < SUCCEEDED}}
    return "; ".join(f"{len(found)} {what}, as {sorted(found)[0]}"
                     for what, found in sets.items() if found)


def settle(world):
    """Waits for the expiry of what was abandoned, and for the sweep of what nothing has any more."""
    end = time.monotonic() + (3 * world.expiry + JOB_S) * harness.SLOW
    while (left := leftovers(world.server.data)) and time.monotonic() < end:
        time.sleep(0.2)
    if left:
        raise Wrong(f"left over: {left}")


def check_rows(world):
    rows = Rows(world.server.data)
    strange = rows.used - world.ledger.digests
    if strange:
        raise Wrong(f"images of bytes that nobody has sent: {sorted(strange)[:3]}")
    missing = rows.used - names(world.server.data / "objects")
    if missing:
        raise Lost(f"blobs of images that are not there: {sorted(missing)[:3]}")
    for job, state in rows.jobs.items():
        if state != SUCCEEDED or rows.ends[job] != 1:
            raise Wrong(f"job {job} is in state {state} and has ended {rows.ends[job]} times")


def check_files(world):
    code = world.server.stop()
    if code != 0:
        raise Wrong(f"the server ended with {code}")
    done = subprocess.run([harness.SERVER, "fsck", "--deep", "--json", "--data",
                           str(world.server.data), "--sweep-grace", str(GRACE_S)],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Wrong(f"fsck: {done.stdout[-1500:]} {done.stderr[-500:]}")


def check_all(world):
    for file, job, image in world.ledger.images:
        complain(world, check_image, file, job, image)
    complain(world, settle)
    for path, (file, _, _, was_abandoned) in world.ledger.uploads.items():
        complain(world, check_upload, path, file, was_abandoned)
    complain(world, check_rows)
    complain(world, check_files)


def run(seed, uploads, expiry=3, progress=lambda text: None):
    """(kills, ledger): how often it was killed, and what came of it."""
    world = World(seed, uploads, expiry)
    try:
        world.run(progress)
        for client in [*world.clients, *world.racers]:
            client.join()
        check_all(world)
        return world.lives - 1, world.ledger
    finally:
        if world.ledger.lost or world.ledger.wrong:
            sys.stderr.write(world.server.log_text()[-3000:])
        world.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--expiry", type=int, default=3, help="of what is abandoned, seconds")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    kills, ledger = run(options.seed, options.uploads, options.expiry)
    print(f"{options.uploads} uploads, {kills} kills, {ledger.broken} connections broken, "
          f"acknowledged {ledger.count()} ({len(ledger.images)} images, {len(ledger.uploads)} "
          f"offsets, {len(ledger.deleted)} deletions), lost {len(ledger.lost)}, "
          f"wrong {len(ledger.wrong)}")
    for text in [*ledger.lost, *ledger.wrong][:20]:
        print("   ", text)
    return 1 if ledger.lost or ledger.wrong or not kills else 0


if __name__ == "__main__":
    sys.exit(main())
