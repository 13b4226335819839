"""Hostile images against real workers with the limits of the server: the corpus (hostile_corpus.py)
and mutants of valid files, by seed, to a pool of real workers (hostile_images.c), which is what the
server has inside; and the corpus to a real server.
"""

import concurrent.futures
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
from hostile_corpus import corpus  # noqa: E402

DRIVER = harness.BUILD / "tests" / "fault" / "hostile_images"
WORKER = harness.BUILD / "src" / "imaging" / "calotype-worker"
SEEDS = ("seed.jpg", "seed-progressive.jpg", "seed.png", "seed-interlaced.png", "seed.webp",
         "seed-lossless.webp", "seed.gif", "animated.gif", "animated.webp", "seed.heic", "seed.avif",
         "seed.tif", "seed-tiles.tif")
ABOUT_THE_IMAGE = {"undecodable_image", "type_mismatch", "too_many_pixels", "too_many_frames",
                   "interlaced_too_large", "print_too_large", "worker_crashed", "worker_memory",
                   "worker_timeout"}
# What is refused at once: each took all of a worker's time.
REFUSED = {"png-tall.png": "too_many_pixels", "jpg-exif-many.jpg": "undecodable_image"}


def valid_files():
    return {name: harness.image(name) for name in SEEDS}


def corpus_files(slow):
    """{name: bytes}; with those that take all the time there is if `slow`."""
    return corpus(valid_files(), slow)


def write_all(folder, files):
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


class Driven:
    """What hostile_images.c printed."""

    def __init__(self, done):
        lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
        self.figures = {key: rest for key, rest in lines if key != "count"}
        self.counts = {rest.split()[0]: int(rest.split()[1]) for key, rest in lines if key == "count"}
        self.complaints = [rest for key, rest in lines if key == "wrong" and not rest.isdigit()]
        if done.returncode != 0 and not self.complaints:
            self.complaints = [f"the pool ended with {done.returncode}: {done.stderr[-1000:]}"]
        self.text = done.stdout

    def answered(self):
        return sum(self.counts.values())


def drive(mutants, seed, slow):
    """Corpus and mutants through a pool of workers."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-hostile-"))
    try:
        write_all(folder / "valid", valid_files())
        write_all(folder / "corpus", corpus_files(slow))
        return Driven(subprocess.run(
            [str(DRIVER), str(WORKER), str(folder / "corpus"), str(folder / "valid"), str(mutants),
             str(seed)], text=True, capture_output=True, check=False))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judge(name, job):
    """What is wrong with the end of a hostile file's job, or None."""
    if job["state"] not in ("succeeded", "failed"):
        return f"its job ended as {job['state']}"
    if name in REFUSED and job["state"] == "succeeded":
        return "it was taken"
    if job["state"] == "failed":
        error = job["error"]
        if name in REFUSED and error["code"] != REFUSED[name]:
            return f"its error is not {REFUSED[name]}: {error}"
        if error["code"] not in ABOUT_THE_IMAGE or not error["detail"]:
            return f"its error is not about the image: {error}"
    return None


def serve(files):
    """The files through a server, then a good one. ({name: state of its job}, complaints)"""
    ends, complaints = {}, []
    with harness.Server("--accept", "*/*") as server:
        def send(item):
            name, data = item
            try:
                answer = server.request("PUT", f"/images/{name}", body=data)
                if answer.status != 202:
                    return name, None, f"{answer}"
                job = server.wait_job(answer["Location"], 120)
                return name, job["state"], judge(name, job)
            except (OSError, AssertionError) as error:
                return name, None, repr(error)

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for name, state, complaint in pool.map(send, files.items()):
                if state is not None:
                    ends[name] = state
                if complaint:
                    complaints.append(f"{name}: {complaint}")
        try:
            server.upload(harness.image("small.jpg"))
            if server.get("/livez").status != 200:
                complaints.append("the server does not live")
        except (OSError, AssertionError) as error:
            complaints.append(f"the good one after it: {error!r}")
    return ends, complaints
