#!/usr/bin/env python3
"""The faults, one row each: what is done, how often, what was acknowledged, present and lost."""

import argparse
import os
import pathlib
import platform
import random
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "scenario"), str(TESTS / "sabotage")]
import harness  # noqa: E402
import hostile  # noqa: E402
import kills  # noqa: E402
import power_cut  # noqa: E402
import sabotage  # noqa: E402
import system_calls  # noqa: E402


def say(text):
    """Progress, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}"[:120], end="", file=sys.stderr, flush=True)


def row(name, times, acknowledged, lost, wrong=()):
    say("")
    present = acknowledged - len(lost)
    print(f"{name:<58} {times:>6} {acknowledged:>12} {present:>8} {len(lost):>5} {len(wrong):>6}",
          flush=True)
    for text in [*lost, *wrong][:20]:
        print("   ", text)
    return not lost and not wrong and times > 0


def power(options):
    why = power_cut.can_mount()
    if why:
        print(f"tools/prove: {why}", file=sys.stderr)
        return False
    good = True
    for kind, apart, name in (("ext4", False, "power cut, ext4"),
                              ("ext4", True, "power cut, ext4, the database on another one"),
                              ("xfs", False, "power cut, xfs")):
        acknowledged, lost = 0, []
        for number in range(options.rounds):
            say(f"{name}: {number + 1} of {options.rounds}")
            count, missing = power_cut.one_round(kind, apart, random.uniform(1, 3))
            acknowledged, lost = acknowledged + count, lost + missing
        good &= row(name, options.rounds, acknowledged, lost, () if acknowledged else ("nothing",))
    return good


def calls(options):
    good = True
    for fault in ("kill", "EIO", "ENOSPC"):
        for name in system_calls.OPERATIONS:
            struck, acknowledged, lost, wrong = system_calls.run(name, fault, options.limit, say)
            good &= row(f"{fault} at each system call of one {name}", struck, acknowledged, lost,
                        wrong)
    return good


def killed(options):
    name = "kill -9 in a loop, sweep, expiry, dedupe racing"
    count, ledger = kills.run(options.seed, options.uploads,
                              progress=lambda text: say(f"{name}: {text}"))
    return row(name, count, ledger.count(), ledger.lost, ledger.wrong)


def hostiles(options):
    say("hostile images and mutants")
    driven = hostile.drive(options.mutants, options.seed, not options.short)
    times = options.mutants + int(driven.figures.get("corpus", 0))
    unanswered = () if driven.answered() == times else (f"{driven.answered()} of {times} answered",)
    good = row("hostile images and mutants, to workers", times, driven.answered(),
               driven.complaints, unanswered)
    print(f"    worst: {driven.figures.get('worst_ms')} ms, "
          f"{driven.figures.get('worst_mib')} MiB;",
          ", ".join(f"{count} {code}" for code, count in sorted(driven.counts.items())))
    files = {name: data for name, data in hostile.corpus_files(not options.short).items() if data}
    say("hostile images")
    ends, complaints = hostile.serve(files)
    return good & row("hostile images, to a server", len(files), len(ends), complaints)


def defects(_):
    say("building")
    chosen = sabotage.defects()
    missed = sabotage.run(chosen, lambda text: (say(""), print(text, flush=True)))
    print(f"{len(chosen)} seeded defects, {len(chosen) - len(missed)} caught")
    return not missed


def model(options):
    say("model check")
    program = harness.BUILD / "tests" / "model" / "model"
    done = subprocess.run([program, "--seed", str(options.seed), "--operations",
                           str(options.operations)], text=True, capture_output=True, check=False)
    count = re.search(r"(\d+) acknowledged", done.stdout)
    wrong = () if done.returncode == 0 else done.stderr.strip().splitlines()[-2:] or ("no output",)
    return row("model check: random operations, sweeps and crashes", options.operations,
               int(count.group(1)) if count else 0, (), wrong)


PARTS = {"calls": calls, "power": power, "kills": killed, "model": model, "hostile": hostiles,
         "sabotage": defects}
# What each option is when it is not given: in the long form, in the short one.
DEFAULTS = {"rounds": (20, 2), "limit": (None, 2), "uploads": (1000, 30),
            "operations": (1000000, 100000), "mutants": (20000, 500)}


def main():
    parser = argparse.ArgumentParser(prog="tools/prove", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the short form of each part")
    parser.add_argument("--rounds", type=int, metavar="N", help="power cuts a row [20]")
    parser.add_argument("--limit", type=int, metavar="N",
                        help="only N system calls of each kind, by chance [all]")
    parser.add_argument("--uploads", type=int, metavar="N", help="while kills come [1000]")
    parser.add_argument("--operations", type=int, metavar="N", help="of the model check [1000000]")
    parser.add_argument("--mutants", type=int, metavar="N", help="of valid images [20000]")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    for name, forms in DEFAULTS.items():
        if getattr(options, name) is None:
            setattr(options, name, forms[options.short])
    random.seed(options.seed)
    print(f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores, "
          f"seed {options.seed}")
    print(f"{'fault':<58} {'times':>6} {'acknowledged':>12} {'present':>8} {'lost':>5} {'wrong':>6}")
    good = True
    for name in options.only or PARTS:
        good &= PARTS[name](options)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
