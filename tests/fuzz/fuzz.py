#!/usr/bin/env python3
"""Fuzzes one target with libFuzzer (clang), in build-fuzz beside the tree's other builds.

New inputs that reach more code go into build-fuzz/corpus/NAME; a crash leaves its input there too.
"""

import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    parser = argparse.ArgumentParser(prog="tests/fuzz/fuzz.py", description=__doc__)
    parser.add_argument("target", help="a name in tests/fuzz/meson.build")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build-fuzz")
    options, rest = parser.parse_known_args()  # what it doesn't know is libFuzzer's
    build = options.build.resolve()
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", str(build), str(ROOT), "-Db_sanitize=address,undefined",
                        "-Db_lundef=false", "-Doptimization=1",
                        "-Dc_args=-fsanitize=fuzzer-no-link",
                        "-Dc_link_args=-fsanitize=fuzzer-no-link"],
                       env=dict(os.environ, CC="clang"), check=True)
    program = f"tests/fuzz/fuzz_{options.target}"
    subprocess.run(["ninja", "-C", str(build), program], check=True)
    corpus = build / "corpus" / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [str(build / program), f"-max_total_time={options.seconds}", "-print_final_stats=1",
         f"-artifact_prefix={corpus}-", *rest, str(corpus),
         str(ROOT / "tests" / "fuzz" / "corpus" / options.target)], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
