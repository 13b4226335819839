#!/usr/bin/env python3
"""Hostile images: short, 500 mutants, and a third of the corpus for the server; --long: 20,000, all of
it, and files that take all the time there is."""

import os
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import harness  # noqa: E402
import hostile  # noqa: E402

MUTANTS = 20_000 if harness.LONG else 500


class Hostile(unittest.TestCase):
    def test_pool_survives_corpus_and_mutants(self):
        driven = hostile.drive(MUTANTS, int(os.environ.get("CALOTYPE_SEED", "1")), harness.LONG)
        print(driven.text, flush=True)
        self.assertEqual(driven.complaints, [])
        self.assertEqual(int(driven.figures["mutants"]), MUTANTS)
        self.assertEqual(driven.answered(), MUTANTS + int(driven.figures["corpus"]))
        self.assertGreater(driven.counts["prints_made"], 0)
        self.assertGreater(driven.counts["undecodable_image"], MUTANTS // 10)

    def test_server_survives_corpus(self):
        files = {name: data for name, data in hostile.corpus_files(harness.LONG).items() if data}
        if not harness.LONG:
            files = {name: data for i, (name, data) in enumerate(sorted(files.items()))
                     if i % 3 == 0 or name in hostile.REFUSED}
        ends, complaints = hostile.serve(files)
        self.assertEqual(complaints, [])
        self.assertEqual(len(ends), len(files))
        self.assertLessEqual(set(hostile.REFUSED), set(ends))
        self.assertIn("failed", ends.values())


if __name__ == "__main__":
    harness.main()
