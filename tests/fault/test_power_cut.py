"""The short form of the power cut; the long one is power_cut.py with --rounds."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
import power_cut  # noqa: E402

ROUNDS = 20 if harness.LONG else 2


class PowerCut(unittest.TestCase):
    def setUp(self):
        why = power_cut.can_mount()
        if why:
            self.skipTest(why)

    def cut(self, kind, apart):
        for _ in range(ROUNDS):
            acknowledged, lost = power_cut.one_round(kind, apart, 1.5)
            print(f"{kind}: acknowledged {acknowledged}, present {acknowledged - len(lost)}, "
                  f"lost {len(lost)}")
            self.assertGreater(acknowledged, 10)
            self.assertEqual(lost, [])

    def test_ext4(self):
        self.cut("ext4", False)

    def test_database_apart(self):
        self.cut("ext4", True)


if __name__ == "__main__":
    harness.main()
