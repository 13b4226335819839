"""tus-js-client 4 from npm, the client that browsers use, and its 5 preview in the IETF's protocol."""

import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import harness
from harness import Server, image

FOLDER = pathlib.Path(__file__).resolve().parent / "tus-js"


class TusJs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.place = harness.install_npm(FOLDER, "upload.js")
        cls.server = Server().start()
        cls.data = image("photo.jpg")
        cls.file = tempfile.NamedTemporaryFile(suffix=".jpg")
        cls.file.write(cls.data)
        cls.file.flush()

    @classmethod
    def tearDownClass(cls):
        cls.file.close()
        cls.server.__exit__()

    def run_client(self, *flags):
        done = subprocess.run(["node", "upload.js", self.server.url, self.file.name, *flags],
                              cwd=self.place, capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])
        return json.loads(done.stdout)

    def check(self, result):
        job = self.server.wait_job(result["job"])
        self.assertEqual(job["state"], "succeeded", job)
        self.assertEqual(job["response"]["image"]["sha256"], hashlib.sha256(self.data).hexdigest())
        self.assertEqual(job["response"]["image"]["filename"], "from tus-js.jpg")

    def test_one_request(self):
        result = self.run_client()
        self.assertEqual(result["requests"], [["POST", 201], ["PATCH", 204]])
        self.check(result)

    def test_chunks(self):
        result = self.run_client("--chunk", "500000")
        self.assertGreater(len(result["requests"]), 4)
        self.check(result)

    def test_with_upload(self):
        result = self.run_client("--with-upload", "--chunk", "1000000")
        self.assertEqual(result["requests"][0], ["POST", 201])
        self.check(result)

    def test_stream_of_unknown_length(self):
        result = self.run_client("--defer-length", "--chunk", "700000")
        self.assertGreater(len(result["requests"]), 3)
        self.check(result)

    def test_parallel_uploads(self):
        """Parts at once, then one final upload of them."""
        for flags in ((), ("--chunk", "300000")):
            result = self.run_client("--parallel", "4", *flags)
            self.assertEqual(result["requests"].count(["POST", 201]), 5)
            self.assertEqual(result["requests"][-1], ["POST", 201])
            self.check(result)

    def test_abort_and_resume(self):
        result = self.run_client("--break-at", "700000", "--chunk", "300000")
        self.assertIn(["HEAD", 200], result["requests"])
        self.check(result)

    def test_terminate(self):
        result = self.run_client("--terminate")
        self.assertEqual(self.server.head(result["url"].replace(self.server.url, ""),
                                          Tus_Resumable="1.0.0").status in (404, 410), True)


class Ietf(TusJs):
    """The same client and file in another protocol; it begins with an empty POST or with all."""

    protocol = "ietf-draft-05"
    # What differs is in the others; parts are tus alone.
    test_chunks = test_stream_of_unknown_length = test_parallel_uploads = None

    def run_client(self, *flags):
        return super().run_client("--protocol", self.protocol, *flags)

    def test_one_request(self):
        result = self.run_client()
        self.assertEqual(result["requests"], [["POST", 201], ["PATCH", 202]])
        self.check(result)

    def test_with_upload(self):
        result = self.run_client("--with-upload", "--chunk", "1000000")
        self.assertEqual(result["requests"][0], ["POST", 201])
        self.check(result)
        result = self.run_client("--with-upload")
        self.assertEqual(result["requests"], [["POST", 202]])
        self.check(result)

    def test_abort_and_resume(self):
        result = self.run_client("--break-at", "700000", "--chunk", "300000")
        self.assertIn(["HEAD", 204], result["requests"])
        self.check(result)

    def test_other_protocol_goes_on(self):
        """Begun here, continued by the client in tus."""
        result = self.run_client("--break-at", "700000", "--chunk", "300000", "--then", "tus-v1")
        self.assertIn(["HEAD", 200], result["requests"])
        self.check(result)


class IetfDraft03(Ietf):
    protocol = "ietf-draft-03"
    test_with_upload = test_terminate = test_other_protocol_goes_on = None


if __name__ == "__main__":
    harness.main()
