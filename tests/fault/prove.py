#!/usr/bin/env python3
"""The faults, one row each: property, fault, how often, acknowledged, present, lost."""

import argparse
import pathlib
import platform
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import power_cut  # noqa: E402

ROWS = (
    ("ext4", False, "power cut, ext4"),
    ("ext4", True, "power cut, ext4, the database on another file system"),
    ("xfs", False, "power cut, xfs"),
)


def main():
    parser = argparse.ArgumentParser(prog="tools/prove", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="cuts a row [5]")
    rounds = parser.parse_args().rounds
    why = power_cut.can_mount()
    if why:
        print(f"tools/prove: {why}", file=sys.stderr)
        return 1
    print(f"{platform.system()} {platform.release()}, {platform.machine()}")
    print(f"{'fault':<56} {'times':>5} {'acknowledged':>12} {'present':>8} {'lost':>5}")
    failed = False
    for kind, apart, name in ROWS:
        acknowledged, lost = 0, []
        for number in range(rounds):
            print(f"\r{name}: {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
            count, missing = power_cut.one_round(kind, apart, random.uniform(1, 3))
            acknowledged, lost = acknowledged + count, lost + missing
        print("\r\033[K", end="", file=sys.stderr, flush=True)
        print(f"{name:<56} {rounds:>5} {acknowledged:>12} {acknowledged - len(lost):>8} "
              f"{len(lost):>5}", flush=True)
        for text in lost[:20]:
            print("   ", text)
        failed = failed or bool(lost) or not acknowledged
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
