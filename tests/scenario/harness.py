"""What the scenarios share: a server of their own, real images, plain HTTP, and a report.

Nothing here is a stand-in: the server is build/src/calotyped over real sockets, with its data in a
folder that is removed at the end. A scenario file ends with `harness.main()`.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CALOTYPE_BUILD", ROOT / "build"))
VARIANT = os.environ.get("CALOTYPE_VARIANT", "gcc")
LONG = bool(os.environ.get("CALOTYPE_LONG"))
SERVER = BUILD / "src" / "calotyped"
CLIENT = BUILD / "tools" / "calotype"
IMAGES = BUILD / "tests" / "data" / "make-test-images"
SLOW = 4 if VARIANT in ("asan", "tsan") else 1  # what a sanitizer costs


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __getitem__(self, name):
        """The header's value or None; any case."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:300]!r}>"


class Server:
    """A running calotyped; use as a context."""

    def __init__(self, *flags, data=None, env=None, wrap=(), program=SERVER):
        self.own = data is None
        self.data = pathlib.Path(data or tempfile.mkdtemp(prefix="calotype-"))
        self.flags, self.env, self.wrap = flags, env or {}, [*wrap, str(program)]
        self.process = self.url = self.log = None
        self.key = None

    def start(self, port=0, wait=20):
        self.log = open(self.data.parent / f"{self.data.name}.log", "ab")
        self.process = subprocess.Popen(
            [*self.wrap, "--listen", f"127.0.0.1:{port}", "--data", str(self.data),
             *self.flags],
            stdout=subprocess.PIPE, stderr=self.log, env=dict(os.environ, **self.env))
        line = self._first_line(wait * SLOW)
        match = re.fullmatch(r"listening on (http://\S+)", line)
        if not match:
            self.stop(signal.SIGKILL)
            raise AssertionError(f"the server said {line!r}; its log:\n{self.log_text()[-3000:]}")
        self.url = match.group(1)
        self.port = urllib.parse.urlsplit(self.url).port
        return self

    def _first_line(self, wait):
        os.set_blocking(self.process.stdout.fileno(), False)
        text, end = b"", time.monotonic() + wait
        while b"\n" not in text and time.monotonic() < end and self.process.poll() is None:
            text += self.process.stdout.read() or b""
            time.sleep(0.005)
        return text.decode().split("\n")[0]

    def log_text(self):
        """All lines so far. Those of requests are written a little later, together and in order: so
        the line of a request of this function's own shows that those before it are there."""
        path = self.data.parent / f"{self.data.name}.log"
        if not path.exists():
            return ""
        mark, end = f"log-text-{time.monotonic_ns()}", time.monotonic() + 2 * SLOW
        if self.url and self.process and self.process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.request("GET", "/livez", headers={"X-Request-Id": mark}, timeout=2)
                while mark not in path.read_text(errors="replace") and time.monotonic() < end:
                    time.sleep(0.01)
        return "".join(line for line in path.read_text(errors="replace").splitlines(True)
                       if "id=log-text-" not in line)

    def stop(self, sig=signal.SIGTERM, wait=40):
        """Ends it; the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(wait)
        self.process.stdout.close()
        self.log.close()
        self.process = None
        return code

    def kill(self):
        return self.stop(signal.SIGKILL)

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, *_):
        code = self.stop()
        if self.own:
            shutil.rmtree(self.data, ignore_errors=True)
            log = self.data.parent / f"{self.data.name}.log"
            log.unlink(missing_ok=True)
        if code not in (None, 0):
            raise AssertionError(f"the server ended with {code}")

    def request(self, method, path, body=None, headers=None, timeout=30):
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        try:
            headers = dict(headers or {})
            if self.key:
                headers.setdefault("Authorization", f"Bearer {self.key}")
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=dashed(headers))

    def head(self, path, **headers):
        return self.request("HEAD", path, headers=dashed(headers))

    def wait_job(self, job, wait=60):
        """Polls `job` (an id or a /jobs path) to its end; the JSON."""
        path = job if job.startswith("/") else f"/jobs/{job}"
        end = time.monotonic() + wait * SLOW
        while True:
            answer = self.get(path)
            assert answer.status == 200, answer
            if answer.json()["done"]:
                return answer.json()
            assert time.monotonic() < end, f"the job does not end: {answer}"
            time.sleep(0.05)

    def upload(self, data, name="photo.jpg"):
        """Puts bytes whole and waits; the image's JSON."""
        answer = self.request("PUT", f"/images/{urllib.parse.quote(name)}", body=data)
        assert answer.status == 202, answer
        job = self.wait_job(answer["Location"])
        assert job["state"] == "succeeded", job
        return job["response"]["image"]


def dashed(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


_made = {}


def image(name="small.jpg"):
    """The bytes of a real image made by make-test-images; see its --help for the names."""
    if name not in _made:
        folder = BUILD / "test-images"
        path = folder / name
        if not path.exists():
            work = tempfile.mkdtemp(prefix="calotype-images-")
            subprocess.run([str(IMAGES), work, name], check=True, stdout=subprocess.DEVNULL)
            folder.mkdir(exist_ok=True)
            os.replace(shutil.copy(os.path.join(work, name), f"{path}.{os.getpid()}"), path)
            shutil.rmtree(work)
        _made[name] = path.read_bytes()
    return _made[name]


def install_npm(folder, *programs):
    """Installs what `folder` locks into the build folder, so that the tree stays clean, and copies
    the programs beside it; where."""
    place = ROOT / "build" / folder.name
    lock = place / "package-lock.json"
    # npm writes this file last.
    if not (place / "node_modules" / ".package-lock.json").exists() or \
            lock.read_bytes() != (folder / lock.name).read_bytes():
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=place.parent))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(folder / name, work)
        subprocess.run(["npm", "ci", "--no-fund", "--no-audit"], cwd=work, check=True,
                       stdout=subprocess.DEVNULL)
        try:
            os.rename(work, place)
        except OSError:
            shutil.rmtree(work)  # another run was first
    for program in programs:
        shutil.copy(folder / program, place / program)
    return place


class Result(unittest.TextTestResult):
    report = []

    def _note(self, test, result, why=""):
        Result.report.append((test.id().split(".", 1)[-1], result, why))

    def addSuccess(self, test):
        super().addSuccess(test)
        self._note(test, "passed")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._note(test, "skipped", reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._note(test, "failed", self._exc_info_to_string(err, test))

    addError = addFailure

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._note(subtest, "failed", self._exc_info_to_string(err, subtest))


def main():
    program = unittest.main(module="__main__", exit=False, testRunner=unittest.TextTestRunner(
        resultclass=Result, verbosity=2))
    path = os.environ.get("CALOTYPE_REPORT")
    if path:
        pathlib.Path(path).write_text(json.dumps(Result.report))
    sys.exit(not program.result.wasSuccessful())
