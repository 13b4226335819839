#!/usr/bin/env python3
"""Figures of the running server, beside their targets. Medians of several rounds."""

import argparse
import os
import pathlib
import platform
import re
import sqlite3
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
import versus  # noqa: E402


def resident_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return int(found.group(1)) / 1024 if found else 0


def workers_of(server):
    children = pathlib.Path(f"/proc/{server.process.pid}/task")
    pids = set()
    for task in children.iterdir():
        try:
            pids.update((task / "children").read_text().split())
        except OSError:
            continue
    return [int(pid) for pid in pids]


def row(name, values, unit, target):
    middle = statistics.median(values)
    print(f"{name:<58} {middle:>9.3f} {unit:<4} [{min(values):.3f} to {max(values):.3f}]  "
          f"target {target}", flush=True)


def memory(rounds):
    after_start, after_upload = [], []
    for _ in range(rounds):
        with harness.Server() as server:
            server.get("/images")
            after_start.append(resident_mib(server.process.pid) +
                               sum(map(resident_mib, workers_of(server))))
            server.upload(harness.image("photo.jpg"))
            after_upload.append(resident_mib(server.process.pid) +
                                sum(map(resident_mib, workers_of(server))))
    row("resident, server and workers, after start", after_start, "MiB", "at most 30")
    row("the same after one 12 megapixel photo, worker idle", after_upload, "MiB", "none")


def fill(server, made, count):
    """Rows by SQL: what counts is that no work at the start grows with them."""
    database = sqlite3.connect(server.data / "calotype.db")
    names = [r[1] for r in database.execute("PRAGMA table_info(image)")]
    columns = ", ".join(n for n in names if n not in ("id", "created_at"))
    database.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        f"INSERT INTO image (id, created_at, {columns}) "
        f"SELECT printf('%032x', i), i, {columns} FROM n, image WHERE id = ?", (count, made["id"]))
    database.commit()
    database.close()


def first_answer(rounds, count):
    took = []
    with harness.Server() as server:
        made = server.upload(harness.image("small.jpg"))
        server.stop()
        fill(server, made, count)
        for _ in range(rounds):
            begun = time.monotonic()
            server.start()
            answer = server.get("/images?limit=200")
            took.append(time.monotonic() - begun)
            assert len(answer.json()["items"]) == 200
            server.stop()
    row(f"start to first answer with {count:,} images", took, "s", "at most 1")


def noise():
    """How much longer the slowest of ten equal pieces of work took than the quickest."""
    took = []
    for _ in range(10):
        begun = time.perf_counter()
        sum(range(2_000_000))
        took.append(time.perf_counter() - begun)
    return max(took) / min(took)


PARTS = {
    "memory": lambda options: memory(options.rounds),
    "start": lambda options: first_answer(options.rounds, options.images),
    "get": lambda options: versus.gets(options.rounds, 3),
    "put": lambda options: versus.puts(options.rounds),
    "photo": lambda options: versus.photos(options.rounds, 5),
}


def main():
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *PARTS],
                        help=f"{', '.join(PARTS)} [all]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=1_000_000)
    options = parser.parse_args()
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, load "
          f"{os.getloadavg()[0]:.1f}, equal work differs by {noise():.2f}, {options.rounds} rounds; "
          "median [least to most]")
    for part in options.parts or PARTS:
        PARTS[part](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
