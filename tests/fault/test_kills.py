"""kill -9 in a loop under load; `--long`, and tools/prove, take 1,000 uploads."""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
import kills  # noqa: E402

UPLOADS = 1000 if harness.LONG else 30


class Kills(unittest.TestCase):
    def test_all_that_was_acknowledged_holds(self):
        seed = int(os.environ.get("CALOTYPE_SEED") or int.from_bytes(os.urandom(4), "little"))
        count, ledger = kills.run(seed, UPLOADS, expiry=2)
        print(f"seed {seed}: {count} kills, acknowledged {ledger.count()}, "
              f"present {ledger.count() - len(ledger.lost)}, lost {len(ledger.lost)}")
        self.assertEqual((ledger.lost, ledger.wrong), ([], []), f"seed {seed}")
        self.assertGreaterEqual(count, kills.LEAST_KILLS)
        self.assertGreater(len(ledger.images), UPLOADS // 2)
        self.assertTrue(ledger.deleted)


if __name__ == "__main__":
    harness.main()
