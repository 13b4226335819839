"""Each curl line of README.md, as it stands there, typed into a shell; a line without a row fails."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import harness
from harness import Server, image

README = harness.ROOT / "README.md"


def curl_lines():
    """The commands of the blocks under `## With curl`, comments off, continued lines joined."""
    section = README.read_text(encoding="utf-8").split("## With curl\n")[1].split("\n## ")[0]
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S))
    for line in re.sub(r"\\\n\s*", "", blocks).splitlines():
        if line.startswith("curl "):
            yield re.sub(r"\s{2,}#.*$", "", line)


# What a line begins with, and what it must give: in the order of the README.
EXPECTED = [
    ("curl -T photo.jpg $url/images/", 202),
    ("curl --data-binary @photo.jpg $url/images", 202),
    ("curl -F file=@a.jpg", 202),
    ("curl $url/jobs/JOB", 200),
    ("curl -H 'If-None-Match", 304),
    ("curl -H 'Prefer: wait=30'", 200),
    ("curl -X DELETE $url/jobs/JOB", 200),
    ("curl -X POST $url/jobs/JOB/retry", 202),
    ("curl $url/jobs", 200),
    ("curl $url/images", 200),
    ("curl $url/images/ID", 200),
    ('curl "$url/i/ID?w=640"', 200),
    ("curl $url/i/ID/original", 200),
    ("curl -r 0-99 $url/blobs/SHA256", 206),
    ("curl -X DELETE $url/images/ID", 204),
    ("curl -i -X POST $url/uploads", 201),
    ("curl -i -X PATCH $url/uploads/ID", 204),
    ("curl -I $url/uploads/ID", 200),
    ("curl -X DELETE $url/uploads/ID", 204),
    ("curl -i -X POST $url/images", 201),
    ("curl -i -X PATCH $url/uploads/ID", 202),
]


class Options(unittest.TestCase):
    def test_the_table_is_what_help_says(self):
        told = subprocess.run([str(harness.SERVER), "--help"], capture_output=True, text=True,
                              check=True).stdout
        options = {}
        for head, about in re.findall(r"^  (--.*|CALOTYPE_.*)\n {8}(.*)$", told, re.M):
            about, default = re.fullmatch(r"(.*?)(?: \[(.*)\])?", about).groups()
            options[head.split(" ")[0].rstrip(",")] = (default or "", about)
        del options["--help"]
        table = {}
        for line in README.read_text(encoding="utf-8").split("| option | default |")[1].splitlines():
            row = re.fullmatch(r"\| `(--[a-z-]+|CALOTYPE_\w+)`.*? \| (.*?) \| (.*) \|", line)
            if row:
                table[row[1]] = tuple(re.sub(r"[`\\]", "", text) for text in row.groups()[1:])
        self.assertGreater(len(options), 30)
        self.assertEqual(table, options)


class Readme(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--workers", "1").start()
        cls.folder = tempfile.TemporaryDirectory(prefix="calotype-readme-")
        cls.place = pathlib.Path(cls.folder.name)
        for name, made in (("photo", "photo"), ("a", "small"), ("b", "photo")):
            (cls.place / f"{name}.jpg").write_bytes(image(f"{made}.jpg") + name.encode())

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()
        cls.folder.cleanup()

    def curl(self, line):
        """Runs one line; its status, its head and its body."""
        script = ('curl() { command curl --silent --show-error --dump-header head '
                  f'"$@"; }}\nurl={self.server.url}\n{line}')
        done = subprocess.run(["bash", "-c", script], cwd=self.place, capture_output=True, timeout=60,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""), line)
        heads = (self.place / "head").read_text().strip().split("\n\n")
        head = [part for part in heads if not re.match(r"HTTP/1.1 1\d\d", part)][-1]
        return int(head.split()[1]), head, done.stdout

    def unfinished_job(self):
        """One that waits behind others: there is one worker, and each photo takes its time."""
        paths = [self.server.request("PUT", "/images/x.jpg", body=image("photo.jpg") + bytes(n))
                 ["Location"] for n in (1, 2, 3)]
        return paths[-1].removeprefix("/jobs/")

    def fill_in(self, line, known):
        if line.startswith("curl -X DELETE $url/jobs/"):
            known["JOB"] = self.unfinished_job()
        if "If-None-Match" in line:
            line = line.replace('"3"', self.server.get(f"/jobs/{known['JOB']}")["ETag"])
        for word in ("JOB", "ID", "SHA256"):
            line = re.sub(rf"/{word}\b", f"/{known.get(word)}", line)
        return line

    def learn(self, line, head, body, known):
        if line.startswith("curl -T"):
            known["JOB"] = re.search(rb'"id":"(\w+)"', body)[1].decode()
            made = self.server.wait_job(known["JOB"])["response"]["image"]
            known.update(ID=made["id"], SHA256=made["sha256"])
        if "-i -X POST" in line:
            known["ID"] = re.search(r"(?im)^location: /uploads/(\w+)", head)[1]
        if "/original" in line:
            self.assertEqual((self.place / "photo.jpg").read_bytes(), image("photo.jpg") + b"photo")
        if "print.webp" in line:
            self.assertEqual((self.place / "print.webp").read_bytes()[8:12], b"WEBP")
        if "-r 0-99" in line:
            self.assertEqual(body, image("photo.jpg")[:100])
        if "wait=30" in line:
            self.assertIn("preference-applied", head.lower())
        if "-X PATCH" in line:
            self.assertRegex(head, r"(?i)link: </jobs/\w+>; rel=\"status\"")

    def test_each_line(self):
        lines, known = list(curl_lines()), {}
        self.assertEqual(len(lines), len(EXPECTED), "a line of the README has no row here")
        for line, (begins, status) in zip(lines, EXPECTED):
            with self.subTest(line=line):
                self.assertTrue(line.startswith(begins), f"{line!r} where {begins!r} was")
                got, head, body = self.curl(self.fill_in(line, known))
                self.assertEqual(got, status, body[:300])
                self.learn(line, head, body, known)


if __name__ == "__main__":
    harness.main()
