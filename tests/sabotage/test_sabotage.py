"""Every seeded defect still applies, is small, and names a test that exists; one of them, by chance,
is built and must be caught. The whole table is `tools/prove --only sabotage`."""

import os
import pathlib
import random
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
import sabotage  # noqa: E402

SOME = None if harness.LONG else 1


class Sabotage(unittest.TestCase):
    def test_every_patch_applies_and_names_a_test(self):
        found = sabotage.defects()
        self.assertGreaterEqual(len(found), 20)
        units = subprocess.run(["meson", "test", "-C", str(harness.BUILD), "--no-rebuild", "--list"],
                               capture_output=True, text=True, check=True).stdout
        for defect in found:
            with self.subTest(defect.name):
                done = subprocess.run(["git", "apply", "--check", "-C1", str(defect.path)],
                                      cwd=harness.ROOT, capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)
                changed = re.findall(r"^[-+](?![-+])", defect.path.read_text(), re.M)
                self.assertLessEqual(len(changed), 10)
                kind, rest = defect.caught_by.split(" ", 1)
                if kind == "unit":
                    self.assertRegex(units, rf"(?m)(^| / ){re.escape(rest)}$")
                else:
                    file, test = rest.split(" ")
                    text = (harness.ROOT / "tests" / kind / f"{file}.py").read_text()
                    for name in (f"class {test.split('.')[0]}(", f"def {test.split('.')[1]}("):
                        self.assertTrue(name in text, f"{file} has no {name}")

    def test_some_are_caught(self):
        seed = int.from_bytes(os.urandom(4), "little")
        random.seed(seed)
        chosen = sabotage.defects()
        if SOME:
            chosen = random.sample(chosen, SOME)
        missed = sabotage.run(chosen)
        self.assertEqual(missed, [], f"seed {seed}")


if __name__ == "__main__":
    harness.main()
