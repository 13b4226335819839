#!/usr/bin/env python3
"""Builds every variant, runs the tests of each, and prints one closing line with the sums.

Variants: release (gcc and clang as for an image: that it builds), gcc (lint, unit, model,
scenario, fault, sabotage), asan (clang, ASan+UBSan: lint, unit, model, scenario), tsan (clang, TSan:
lint, stress programs, model, scenario). Sanitizer reports go to files; one there is a failure.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
VARIANTS = {
    "gcc": ("build", "gcc", []),
    "asan": ("build-asan", "clang", ["-Db_sanitize=address,undefined", "-Db_lundef=false",
                                     "-Doptimization=1"]),
    "tsan": ("build-tsan", "clang", ["-Db_sanitize=thread", "-Db_lundef=false",
                                     "-Doptimization=1"]),
}
# -O3 finds what other levels don't, and each compiler what the other doesn't.
RELEASES = ("gcc", "clang")
PROGRAMS = ("src/calotyped", "src/imaging/calotype-worker", "tools/calotype")
# What a sanitizer has nothing to say about: other programs' code, figures, long waits.
PLAIN_ONLY = ("test_cli", "test_crowd", "test_operations", "test_package", "test_page", "test_readme",
              "test_server", "test_tls", "test_tus_js")
# These first, so that none of them is left alone at the end.
LONGEST = ("test_break", "test_jobs", "test_page", "test_sabotage", "test_system_calls")


class Sum:
    """What all runs gave together."""

    def __init__(self):
        self.passed, self.failed, self.skipped = [], [], []

    def add(self, name, result, why=""):
        if result == "passed":
            self.passed.append(name)
        elif result == "skipped":
            self.skipped.append((name, why))
        else:
            self.failed.append((name, why))


def allowed_skips():
    """The names under `## Allowed skips` in tests/README.md, each in backquotes after a dash."""
    text = (ROOT / "tests/README.md").read_text(encoding="utf-8")
    section = text.split("## Allowed skips", 1)[-1].split("\n## ", 1)[0]
    return set(re.findall(r"^- `([^`]+)`", section, re.M))


def has_unit_tests(path):
    """Without Criterion a build leaves nearly all of them out."""
    found = (path / "meson-info" / "intro-dependencies.json").read_text(encoding="utf-8")
    return any(entry["name"] == "criterion" for entry in json.loads(found))


def build(folder, compiler, options, targets, log):
    path = ROOT / folder
    env = dict(os.environ, CC=compiler)
    if not (path / "build.ninja").exists():
        shutil.rmtree(path, ignore_errors=True)
        subprocess.run(["meson", "setup", str(path), str(ROOT), *options], env=env, check=True,
                       stdout=log, stderr=log)
    elif not has_unit_tests(path):  # set up by tools/run, before Criterion was installed
        subprocess.run(["meson", "setup", "--reconfigure", str(path), str(ROOT)], env=env,
                       check=True, stdout=log, stderr=log)
    if not has_unit_tests(path):
        log.write("meson found no Criterion: the unit tests would be left out\n")
        raise subprocess.CalledProcessError(1, "meson setup")
    subprocess.run(["ninja", "-C", str(path), *targets], check=True, stdout=log, stderr=log)


def try_build(name, folder, compiler, options, targets, total):
    """False when it failed, which is then part of the sums."""
    log_path = ROOT / f"{folder}.log"
    print(f"{name}: building", flush=True)
    try:
        with open(log_path, "w", encoding="utf-8") as log:
            build(folder, compiler, options, targets, log)
    except subprocess.CalledProcessError:
        total.add(f"{name}/build", "failed", log_path.read_text(errors="replace")[-4000:])
        return False
    total.add(f"{name}/build", "passed")
    return True


def sanitizer_environment(folder):
    logs = folder / "sanitizer"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    return logs, {
        "ASAN_OPTIONS": f"log_path={logs}/asan:detect_leaks=1:abort_on_error=0",
        "UBSAN_OPTIONS": f"log_path={logs}/ubsan:print_stacktrace=1",
        "LSAN_OPTIONS": f"log_path={logs}/lsan:print_suppressions=0:"
                        f"suppressions={ROOT}/tests/lsan.suppressions",
        "TSAN_OPTIONS": f"log_path={logs}/tsan:second_deadlock_stack=1:"
                        f"suppressions={ROOT}/tests/tsan.suppressions",
        "CALOTYPE_SANITIZER_LOGS": str(logs),
    }


def run_unit(variant, folder, env, total):
    """meson test; each program's result is one line of testlog.json. Beside the scenarios: of both,
    many wait more than they compute."""
    subprocess.run(["meson", "test", "-C", str(folder), "--no-rebuild", "--num-processes", "2"],
                   env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    log = folder / "meson-logs" / "testlog.json"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    for line in lines:
        entry = json.loads(line)
        name = f"{variant}/{entry['name']}"
        if entry["result"] in ("OK", "EXPECTEDFAIL"):
            total.add(name, "passed")
        elif entry["result"] == "SKIP":
            total.add(name, "skipped", entry.get("stdout", "")[-300:])
        else:
            tail = (entry.get("stdout", "") + entry.get("stderr", ""))[-3000:]
            total.add(name, "failed", tail)
    if not lines:
        total.add(f"{variant}/unit", "failed", "no unit test was run")


def run_scenarios(variant, folder, env, total, pattern, jobs):
    """Each tests/*/test_*.py is one process; it reports `result name` lines in a file."""
    files = sorted((f for kind in ("scenario", "fault", "sabotage")
                    for f in (ROOT / "tests" / kind).glob("test_*.py")
                    if (variant == "gcc" or (kind == "scenario" and f.stem not in PLAIN_ONLY))
                    and (not pattern or pattern in f.stem)),
                   key=lambda f: (f.stem not in LONGEST, f))
    reports = folder / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir()

    def run(file):
        report = reports / f"{file.stem}.json"
        process = subprocess.run(
            [sys.executable, str(file)], cwd=file.parent, check=False, text=True, errors="replace",
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=dict(env, CALOTYPE_BUILD=str(folder), CALOTYPE_VARIANT=variant,
                     CALOTYPE_REPORT=str(report)))
        return file, report, process

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for file, report, process in pool.map(run, files):
            if not report.exists():
                total.add(f"{variant}/{file.stem}", "failed", process.stdout[-3000:])
                continue
            for name, result, why in json.loads(report.read_text(encoding="utf-8")):
                total.add(f"{variant}/{file.stem}/{name}", result, why)


def main():
    parser = argparse.ArgumentParser(prog="tools/test", description=__doc__)
    parser.add_argument("--variant", action="append", choices=["release", *VARIANTS],
                        help="only this one (may be repeated); default: all")
    parser.add_argument("--only", metavar="TEXT", help="only scenario files whose name holds TEXT")
    parser.add_argument("--no-unit", action="store_true", help="leave the unit tests out")
    parser.add_argument("--no-scenario", action="store_true", help="leave the scenarios out")
    parser.add_argument("--long", action="store_true", help="the long forms (CALOTYPE_LONG=1)")
    parser.add_argument("--jobs", type=int, default=2, help="scenario files at once [2]")
    options = parser.parse_args()
    os.environ["CALOTYPE_LONG"] = "1" if options.long else ""
    total, begun = Sum(), time.monotonic()
    for compiler in RELEASES if "release" in (options.variant or ["release"]) else ():
        try_build(f"release/{compiler}", f"build-release-{compiler}", compiler,
                  ["--buildtype=release"], PROGRAMS, total)
    for variant in VARIANTS if not options.variant else options.variant:
        if variant == "release" or not try_build(variant, *VARIANTS[variant], (), total):
            continue
        folder = ROOT / VARIANTS[variant][0]
        logs, extra = sanitizer_environment(folder)
        env = dict(os.environ, **extra)
        print(f"{variant}: testing ({time.monotonic() - begun:.0f} s so far)", flush=True)
        with concurrent.futures.ThreadPoolExecutor(2) as both:
            parts = []
            if not options.no_unit:
                parts.append(both.submit(run_unit, variant, folder, env, total))
            if not options.no_scenario:
                parts.append(both.submit(run_scenarios, variant, folder, env, total, options.only,
                                         options.jobs))
            for part in parts:
                part.result()
        for report in sorted(logs.iterdir()):
            total.add(f"{variant}/sanitizer/{report.name}", "failed",
                      report.read_text(errors="replace")[:4000])
    allowed = allowed_skips()
    for name, why in list(total.skipped):
        plain = name.split("/", 1)[1]
        if plain not in allowed:
            total.skipped.remove((name, why))
            total.add(name, "failed", f"skipped ({why}), and tests/README.md does not allow that")
    for name, why in total.skipped:
        print(f"skipped: {name}: {why}")
    for name, why in total.failed:
        print(f"FAILED: {name}\n{why}\n")
    print(f"in {time.monotonic() - begun:.0f} s")
    print(f"{len(total.passed)} passed, {len(total.failed)} failed, {len(total.skipped)} skipped")
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
