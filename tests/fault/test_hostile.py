#!/usr/bin/env python3
"""Hostile images against real workers with the limits of the server.

The corpus (hostile_corpus.py) and mutants of valid files, by seed, go to a pool of real workers
(hostile_images.c), which is what the server has inside; the corpus goes through a real server too.
Short: 500 mutants, and each third of the corpus for the server. --long: 20,000, all of it, and files
that take all the time there is.
"""

import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
from hostile_corpus import corpus  # noqa: E402

DRIVER = harness.BUILD / "tests" / "fault" / "hostile_images"
WORKER = harness.BUILD / "src" / "imaging" / "calotype-worker"
SEEDS = ("seed.jpg", "seed-progressive.jpg", "seed.png", "seed-interlaced.png", "seed.webp",
         "seed-lossless.webp", "seed.gif", "animated.gif", "animated.webp", "seed.heic", "seed.avif",
         "seed.tif", "seed-tiles.tif")
MUTANTS = 20_000 if harness.LONG else 500
ABOUT_THE_IMAGE = {"undecodable_image", "type_mismatch", "too_many_pixels", "too_many_frames",
                   "interlaced_too_large", "print_too_large", "worker_crashed", "worker_memory",
                   "worker_timeout"}


def valid_files():
    return {name: harness.image(name) for name in SEEDS}


def write_all(folder, files):
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


class Hostile(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-hostile-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def drive(self, seed):
        result = subprocess.run(
            [str(DRIVER), str(WORKER), str(self.folder / "corpus"), str(self.folder / "valid"),
             str(MUTANTS), str(seed)], text=True, capture_output=True, check=False)
        print(result.stdout, flush=True)
        lines = [line.split(" ", 1) for line in result.stdout.splitlines()]
        return result, {key: rest for key, rest in lines if key != "count"}, {
            rest.split()[0]: int(rest.split()[1]) for key, rest in lines if key == "count"}

    def test_pool_survives_corpus_and_mutants(self):
        valid = valid_files()
        write_all(self.folder / "valid", valid)
        write_all(self.folder / "corpus", corpus(valid, harness.LONG))
        result, figures, counts = self.drive(int(os.environ.get("CALOTYPE_SEED", "1")))
        self.assertEqual(result.returncode, 0, result.stdout[-3000:] + result.stderr[-1000:])
        self.assertEqual(int(figures["mutants"]), MUTANTS)
        self.assertGreater(counts["prints_made"], 0)
        self.assertGreater(counts["undecodable_image"], MUTANTS // 10)

    def test_server_survives_corpus(self):
        files = {name: data for name, data in corpus(valid_files(), harness.LONG).items() if data}
        if not harness.LONG:
            files = dict(sorted(files.items())[::3])
        good = harness.image("small.jpg")
        ends = {}
        with harness.Server("--accept", "*/*") as server:
            def send(item):
                name, data = item
                answer = server.request("PUT", f"/images/{name}", body=data)
                self.assertEqual(answer.status, 202, (name, answer))
                return name, server.wait_job(answer["Location"], 120)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                for name, job in pool.map(send, files.items()):
                    self.assertIn(job["state"], ("succeeded", "failed"), (name, job))
                    if job["state"] == "failed":
                        self.assertIn(job["error"]["code"], ABOUT_THE_IMAGE, (name, job))
                        self.assertTrue(job["error"]["detail"], (name, job))
                    ends[name] = job["state"]
            self.assertEqual(server.upload(good)["width"], 800)
            self.assertEqual(server.get("/livez").status, 200)
        self.assertIn("failed", ends.values())


if __name__ == "__main__":
    harness.main()
