"""A fault at some system calls, by chance; `--long`, and tools/prove, take all of them."""

import os
import pathlib
import random
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
import system_calls  # noqa: E402


class SystemCalls(unittest.TestCase):
    def strike(self, fault, some):
        seed = int.from_bytes(os.urandom(4), "little")
        random.seed(seed)
        for name in system_calls.OPERATIONS:
            # A call that was chosen need not come in this run: threads share the work differently.
            for _ in range(5):
                struck, acknowledged, lost, faults = system_calls.run(
                    name, fault, None if harness.LONG else some)
                print(f"{name}, {fault}, seed {seed}: struck {struck}, acknowledged {acknowledged}")
                self.assertEqual((lost, faults), ([], []), f"seed {seed}")
                if struck > 0:
                    break
            self.assertGreater(struck, 0)

    def test_kill(self):
        self.strike("kill", 4)

    def test_input_output_error(self):
        self.strike("EIO", 1)

    def test_no_space(self):
        self.strike("ENOSPC", 1)


if __name__ == "__main__":
    harness.main()
