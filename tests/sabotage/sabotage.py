#!/usr/bin/env python3
"""Seeded defects: each patch of this folder is applied to a copy of the tree, the test that it names
is run, and must fail. A patch begins with two lines, `What:` and `Caught-by:`; the latter is

    unit NAME                              a test of meson
    scenario FILE CLASS.TEST               one of tests/scenario
    fault FILE CLASS.TEST                  one of tests/fault

The copy lies in a temporary folder, so the sources stay clean, and keeps its build between defects.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PROGRAMS = ("src/calotyped", "src/imaging/calotype-worker", "tools/calotype",
            "tests/data/make-test-images")


class Defect:
    def __init__(self, path):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("What: ") and lines[1].startswith("Caught-by: "), path
        self.path, self.name = path, path.stem
        self.what, self.caught_by = lines[0][6:], lines[1][11:]


def defects():
    return [Defect(path) for path in sorted(FOLDER.glob("*.patch"))]


class Copy:
    """The tree as it is committed or not, without its builds; built once."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-sabotage-"))
        self.tree, self.build = self.folder / "tree", self.folder / "build"
        files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                               cwd=ROOT, capture_output=True, check=True).stdout.decode()
        for name in filter(None, files.split("\0")):
            if (ROOT / name).is_file():
                (self.tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.tree / name)
        self.run(["meson", "setup", str(self.build), str(self.tree)])

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def run(command, **more):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False, **more)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}:\n{done.stdout[-3000:]}")

    def targets(self, defect):
        """What its test needs; all that is built takes several times as long."""
        kind, rest = defect.caught_by.split(" ", 1)
        if kind != "unit":
            return PROGRAMS
        known = json.loads(subprocess.run(
            ["meson", "introspect", "--tests", "--targets", str(self.build)], capture_output=True,
            check=True).stdout)
        files = {target["id"]: target["filename"] for target in known["targets"]}
        test = next(test for test in known["tests"] if test["name"] == rest)
        names = [test["cmd"][0], *[name for id in test["depends"] for name in files[id]]]
        return (*PROGRAMS, *[os.path.relpath(name, self.build) for name in names])

    def make(self, defect):
        """Compiled once for every copy, which is at another place each time."""
        self.run(["ninja", "-C", str(self.build), *self.targets(defect)],
                 env=dict(os.environ, CCACHE_NOHASHDIR="1"))

    def patch(self, defect, *flags):
        """The copy's own patch: the sources may change meanwhile. All of it or nothing."""
        for more in (["--dry-run"], []):
            self.run(["patch", "-p1", "--batch", "--no-backup-if-mismatch", *flags, *more, "-i",
                      str(self.tree / defect.path.relative_to(ROOT))], cwd=self.tree)

    def test(self, caught_by):
        """True if the test passes."""
        kind, rest = caught_by.split(" ", 1)
        if kind == "unit":
            command = ["meson", "test", "-C", str(self.build), "--no-rebuild", rest]
            return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  check=False).returncode == 0
        file, test = rest.split(" ")
        return subprocess.run(
            [sys.executable, str(self.tree / "tests" / kind / f"{file}.py"), test],
            env=dict(os.environ, CALOTYPE_BUILD=str(self.build), CALOTYPE_VARIANT="gcc",
                     CALOTYPE_REPORT=""),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def run(chosen, tell=print):
    """The table, row by row; the names of those that were not caught."""
    copy, missed = Copy(), []
    try:
        for defect in chosen:
            begun = time.monotonic()
            copy.make(defect)
            sound = copy.test(defect.caught_by)
            try:
                copy.patch(defect)
            except RuntimeError as error:
                missed.append(defect.name)
                tell(f"{defect.name:<26} DOES NOT APPLY: {error}")
                continue
            copy.make(defect)
            caught = sound and not copy.test(defect.caught_by)
            copy.patch(defect, "-R")
            if not caught:
                missed.append(defect.name)
            tell(f"{defect.name:<26} {'caught' if caught else 'NOT CAUGHT' if sound else 'TEST FAILS'}"
                 f" by {defect.caught_by}  ({time.monotonic() - begun:.0f} s)\n    {defect.what}")
        return missed
    finally:
        copy.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("names", nargs="*", help="defects by name [all]")
    parser.add_argument("--some", type=int, help="only so many, by chance")
    options = parser.parse_args()
    chosen = [d for d in defects() if not options.names or d.name in options.names]
    if options.some:
        chosen = random.sample(chosen, min(options.some, len(chosen)))
    missed = run(chosen, lambda text: print(text, flush=True))
    print(f"{len(chosen)} defects, {len(chosen) - len(missed)} caught")
    return 1 if missed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
