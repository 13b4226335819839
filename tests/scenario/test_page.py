"""The page at /, over HTTP and in a headless Chromium.

Between browser and server lies a link that can be slow, and counts what goes up. With
CALOTYPE_SHOTS=FOLDER pictures of the page are left there.
"""

import gzip
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import harness
from harness import SERVER, Server, image

FOLDER = pathlib.Path(__file__).resolve().parent / "page"
SHOTS = os.environ.get("CALOTYPE_SHOTS")
KEPT = "Object.keys(localStorage).filter((name) => name.startsWith('calotype.upload.')).length"
FILES_KEPT = """new Promise((resolve, reject) => {
    const opening = indexedDB.open("calotype", 1);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
        const asked = opening.result.transaction("files").objectStore("files").count();
        asked.onsuccess = () => { opening.result.close(); resolve(asked.result); };
    };
})"""
FORGET_FILES = """new Promise((resolve) => {
    const opening = indexedDB.open("calotype", 1);
    opening.onsuccess = () => {
        const change = opening.result.transaction("files", "readwrite");
        change.objectStore("files").clear();
        change.oncomplete = () => { opening.result.close(); resolve(true); };
    };
})"""
PRINTS = "document.querySelectorAll('#prints .print').length"
# A picture has arrived and is drawn.
SEEN = """[...document.querySelectorAll('#prints img')].filter(
    (each) => each.complete && each.naturalWidth > 0).length"""
PROGRESS = "document.querySelector('.upload progress')?.value ?? 0"


class Link:
    """A TCP relay before a server: at most `rate` bytes a second go up (None: all), counted."""

    def __init__(self, port):
        self.target, self.rate, self.sent_up, self.is_down = port, None, 0, False
        self.ends = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        # Like a real network, it holds little: else megabytes are gone before they are on their way.
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            if self.is_down:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()  # the server restarts
                continue
            self.ends += [client, server]
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client, server):
        up = threading.Thread(target=self._pump, args=(client, server, True), daemon=True)
        up.start()
        self._pump(server, client, False)
        up.join()
        # A reset, or a browser in mid-body would wait at a window that never opens.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.close()

    def _pump(self, source, sink, is_up):
        try:
            while True:
                data = source.recv(16384)
                if not data:
                    break
                sink.sendall(data)
                if is_up:
                    self.sent_up += len(data)
                    if self.rate and len(data) > 4096:
                        time.sleep(len(data) / self.rate)
        except OSError:
            pass  # broken: the other direction ends too
        self._shut(source, sink)

    @staticmethod
    def _shut(*ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended by itself

    def cut(self):
        """As if the cable were pulled, seen at once."""
        self._shut(*self.ends)

    def close(self):
        self.listener.close()
        self.cut()


class Browser:
    def __init__(self):
        chromium = shutil.which("chromium")
        assert chromium, "Debian's chromium is needed (tools/packages.sh)"
        self.process = subprocess.Popen(
            ["node", "browser.mjs"], cwd=harness.install_npm(FOLDER, "browser.mjs"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=dict(os.environ, CHROMIUM=chromium, SLOW=str(harness.SLOW)), text=True)

    def do(self, name, **options):
        self.process.stdin.write(json.dumps({"do": name, **options}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "the browser is gone"}')
        if "error" in answer:
            raise AssertionError(f"{name} {options}: {answer['error']}")
        return answer["value"]

    def eval(self, code):
        return self.do("eval", code=code)

    def wait(self, code):
        return self.do("wait", code=code)

    def text(self, selector):
        return self.eval(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def close(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


class Answers(unittest.TestCase):
    """What / and /page/ say over HTTP."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()
        cls.document = cls.server.get("/")
        cls.assets = re.findall(rb'"(page/[0-9a-f]{16}/[a-z]+\.[a-z]+)"', cls.document.body)

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def test_document(self):
        answer = self.document
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer["Content-Type"], "text/html; charset=utf-8")
        self.assertEqual(answer["Cache-Control"], "no-cache")
        self.assertEqual(answer["X-Content-Type-Options"], "nosniff")
        self.assertEqual(answer["Referrer-Policy"], "no-referrer")
        policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
        self.assertEqual(policy, {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
            "img-src": "'self' blob:", "connect-src": "'self'", "frame-ancestors": "'none'",
            "base-uri": "'none'", "form-action": "'none'"})
        self.assertGreaterEqual(len(self.assets), 4)

    def test_assets_are_immutable(self):
        for path in self.assets:
            answer = self.server.get(f"/{path.decode()}")
            self.assertEqual(answer.status, 200, path)
            self.assertEqual(answer["Cache-Control"], "public, max-age=31536000, immutable")
            self.assertEqual(answer["X-Content-Type-Options"], "nosniff")

    def test_etag(self):
        for path in ("/", f"/{self.assets[0].decode()}"):
            etag = self.server.get(path)["ETag"]
            same = self.server.get(path, If_None_Match=etag)
            self.assertEqual((same.status, same.body, same["ETag"]), (304, b"", etag))
            self.assertEqual(self.server.get(path, If_None_Match='"other"').status, 200)

    def test_gzip(self):
        plain = self.document
        packed = self.server.get("/", Accept_Encoding="br, gzip")
        self.assertEqual(packed["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(packed.body), plain.body)
        self.assertLess(len(packed.body), len(plain.body) / 2)
        self.assertNotEqual(packed["ETag"], plain["ETag"])
        for answer in (plain, packed):
            self.assertEqual(answer["Vary"], "Accept-Encoding")
        self.assertIsNone(plain["Content-Encoding"])
        self.assertIsNone(self.server.get("/", Accept_Encoding="gzip;q=0")["Content-Encoding"])

    def test_head(self):
        answer = self.server.head("/")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(int(answer["Content-Length"]), len(self.document.body))

    def test_what_is_not_there(self):
        folder = self.assets[0].decode().rsplit("/", 1)[0]
        for path in ("/page/0000000000000000/app.js", f"/{folder}/nothing.js",
                     f"/{folder}/index.html", f"/{folder}/", "/page"):
            self.assertEqual(self.server.get(path).status, 404, path)
        self.assertEqual(self.server.request("POST", "/", b"x").status, 405)


class Page(unittest.TestCase):
    """In Chromium. Each test begins with a browser that has never been here."""

    @classmethod
    def setUpClass(cls):
        cls.browser = Browser()
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-page-"))
        cls.server = Server().start()
        cls.link = Link(cls.server.port)
        cls.photo = cls.file("photo.jpg")
        # As many bytes as a photo, soon decoded: what follows the end of a JPEG is ignored.
        cls.large = str(cls.folder / "large.jpg")
        pathlib.Path(cls.large).write_bytes(image("small.jpg") + bytes(3_000_000))

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.link.close()
        cls.server.__exit__()
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.link.rate, self.link.is_down = None, False
        for each in self.server.get("/images?limit=200").json()["items"]:
            self.server.request("DELETE", f"/images/{each['id']}")

    @classmethod
    def file(cls, name, source=None):
        path = cls.folder / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_bytes(image(source or name))
        return str(path)

    def open(self, url=None, **options):
        self.browser.do("open", url=url or self.link.url, **options)
        if url is None:
            self.browser.wait("document.querySelector('.empty').hidden === false || " + PRINTS)

    def pick(self, *files, selector="#pick-files"):
        self.browser.do("pick", input=selector, files=list(files))

    def shot(self, name):
        if SHOTS:
            self.browser.do("shot", path=os.path.join(SHOTS, f"{name}.png"))

    def assert_calm(self, *allowed):
        """Nothing that the policy blocked, no error, but what the test provoked."""
        troubles = [each for each in self.browser.do("seen")["troubles"]
                    if not any(part in each for part in allowed)]
        self.assertEqual(troubles, [])

    def requests(self, method, since=0):
        return [each for each in self.browser.do("seen")["requests"][since:]
                if each["method"] == method]

    def assert_is_there(self, path):
        """Exactly one image, with the bytes of the file."""
        items = self.server.get("/images").json()["items"]
        data = pathlib.Path(path).read_bytes()
        self.assertEqual([each["sha256"] for each in items], [hashlib.sha256(data).hexdigest()])
        return items[0]

    def begin_slowly(self, path, rate=1_500_000, until=0.3):
        """Opens the page, picks the file, waits until a part of it has gone up."""
        self.link.rate = rate
        self.open()
        self.link.sent_up = 0
        self.pick(path)
        self.browser.wait(f"({PROGRESS}) > {until}")

    # ---- uploads ----

    def test_upload(self):
        self.open()
        self.pick(self.photo)
        self.browser.wait(f"{SEEN} === 1")
        found = self.assert_is_there(self.photo)
        self.assertEqual(found["filename"], "photo.jpg")
        self.browser.wait("document.querySelector('#uploads').hidden")
        self.assertIn("photo.jpg is ready.", self.browser.wait(
            "document.querySelector('#said').innerText.includes('ready') && "
            "document.querySelector('#said').innerText"))
        sizes = self.browser.eval("document.querySelector('#prints img').srcset")
        self.assertEqual(re.findall(r" (\d+)w", sizes), ["320", "640", "1280"])
        self.browser.do("click", selector=".print .copy")
        self.assertEqual(self.browser.wait("navigator.clipboard.readText()"),
                         f"{self.link.url}i/{found['id']}")
        opened = self.browser.do("popup", selector=".print .original")
        self.assertEqual(opened, {"url": f"{self.link.url}i/{found['id']}/original", "size": 3000})
        self.assert_calm()

    def test_reload_in_the_middle(self):
        self.begin_slowly(self.photo)
        self.shot("uploading")
        self.browser.wait(f"({FILES_KEPT}).then((count) => count === 1)")
        before = len(self.browser.do("seen")["requests"])
        self.browser.do("reload")
        self.browser.wait(f"({PROGRESS}) > 0")
        self.link.rate = None
        self.browser.wait(f"{SEEN} === 1")
        self.assert_is_there(self.photo)
        self.assertEqual(self.requests("POST", before), [], "it was not begun anew")
        patches = self.requests("PATCH", before)
        size = os.path.getsize(self.photo)
        # What the browser counts as sent is partly still on its way.
        self.assertGreater(int(patches[0]["headers"]["upload-offset"]), size * 0.05)
        self.assertLess(self.link.sent_up, size * 1.15, "bytes went up twice")
        self.browser.wait(f"{KEPT} === 0")
        self.browser.wait(f"({FILES_KEPT}).then((count) => count === 0)")
        self.assert_calm()

    def test_picked_again_after_a_reload(self):
        self.begin_slowly(self.large)
        self.browser.wait(f"({FILES_KEPT}).then((count) => count === 1)")
        self.browser.eval(FORGET_FILES)
        self.browser.do("reload")
        self.browser.wait("document.querySelector('.upload')?.dataset.state === 'needsFile'")
        self.assertIn("Choose the same file again", self.browser.text(".upload .line"))
        self.browser.wait("/at [1-9].* of 2.9 MiB/.test(document.querySelector('.upload .line').innerText)")
        self.shot("choose")
        before = len(self.browser.do("seen")["requests"])
        self.link.rate = None
        self.pick(self.large)
        self.browser.wait(f"{SEEN} === 1")
        self.assert_is_there(self.large)
        self.assertEqual(self.requests("POST", before), [])
        self.assertLess(self.link.sent_up, os.path.getsize(self.large) * 1.15)
        self.assert_calm()

    def test_restart_of_the_server(self):
        self.begin_slowly(self.large)
        port = self.server.port
        self.assertEqual(self.server.stop(), 0)
        self.server.start(port=port)
        self.link.rate = None
        self.browser.wait(f"{SEEN} === 1")
        self.assert_is_there(self.large)
        self.assertEqual(len(self.requests("POST")), 1)
        self.assertLess(self.link.sent_up, os.path.getsize(self.large) * 1.4)
        self.assert_calm("ERR_", "502", "503", "409")

    def test_offline(self):
        self.begin_slowly(self.large)
        self.link.is_down = True
        self.link.cut()
        self.browser.wait("document.querySelector('.upload .line').innerText.includes('broke')")
        self.browser.do("offline", **{"is": True})
        self.browser.wait("document.querySelector('.upload .line').innerText.startsWith('Offline')")
        self.link.rate, self.link.is_down = None, False
        self.browser.do("offline", **{"is": False})
        self.browser.wait(f"{SEEN} === 1")
        self.assert_is_there(self.large)
        self.assert_calm("ERR_", "409")  # Chromium itself repeats a request that a reset cut off

    def test_pause_and_cancel(self):
        self.begin_slowly(self.large)
        self.browser.do("click", selector=".upload .act")
        self.browser.wait("document.querySelector('.upload').dataset.state === 'paused'")
        stood = None
        while stood != self.link.sent_up:  # what was on its way
            stood = self.link.sent_up
            time.sleep(0.3)
        self.assertLess(stood, os.path.getsize(self.large))
        self.browser.do("reload")
        self.browser.wait("document.querySelector('.upload')?.dataset.state === 'paused'")
        self.assertRegex(self.browser.text(".upload .line"), r"^Paused at [\d.]+ \w+ of 2.9 MiB$")
        self.browser.do("click", selector=".upload .act")
        self.browser.wait("document.querySelector('.upload').dataset.state === 'sending'")
        self.browser.do("tab", url=self.link.url)
        self.browser.wait("document.querySelector('.empty').hidden === false")
        self.assertEqual(self.browser.eval("document.querySelectorAll('.upload').length"), 0,
                         "one tab works on it, the other leaves it alone")
        self.browser.do("closeTab")
        url = self.requests("PATCH")[-1]["url"]
        self.browser.do("click", selector=".upload .cancel")
        self.browser.wait("document.querySelector('#uploads').hidden")
        self.assertEqual(self.browser.eval("document.activeElement.id"), "choose-files")
        path = url.replace(self.link.url, "/")
        end = time.monotonic() + 10
        while self.server.head(path, Tus_Resumable="1.0.0").status != 410:
            self.assertLess(time.monotonic(), end, "the upload is still there")
            time.sleep(0.05)
        self.browser.wait(f"{KEPT} === 0")
        self.assert_calm("ERR_")

    def test_three_at_once(self):
        names = [f"many/{number}.jpg" for number in range(5)]
        for number, name in enumerate(names):
            (self.folder / "many").mkdir(exist_ok=True)
            shutil.copy(self.large, self.folder / name)
            os.utime(self.folder / name, (number, number))
        self.link.rate = 1_000_000
        self.open()
        self.pick(*(str(self.folder / name) for name in names))
        states = """[...document.querySelectorAll('.upload')].map((row) => row.dataset.state)
            .sort().join(" ")"""
        self.assertEqual(
            self.browser.wait(f"({states}).startsWith('sending') && ({states})"),
            "sending sending sending waiting waiting")
        self.browser.wait("document.querySelector('.upload .line').innerText.includes('/s')")
        self.assertRegex(self.browser.text(".upload .line"), r"^[\d.]+ \w+ of 2\.9 MiB · .*/s · .* left$")
        self.shot("three")
        self.link.rate = None
        self.browser.wait(f"{PRINTS} === 5")
        self.assert_calm()

    def test_picked_twice(self):
        self.begin_slowly(self.large, rate=800_000, until=0.2)
        self.pick(self.large)
        self.browser.do("click", selector=".upload .act")
        self.browser.wait("document.querySelector('.upload').dataset.state === 'paused'")
        self.assertEqual(self.browser.eval("document.querySelectorAll('.upload').length"), 1)
        self.link.rate = None
        self.pick(self.large)
        self.browser.wait(f"{SEEN} === 1")
        self.assert_is_there(self.large)
        self.assertEqual(len(self.requests("POST")), 1)

    def test_without_storage(self):
        self.open(forbidden=True)
        self.pick(self.file("small.jpg"))
        self.browser.wait(f"{SEEN} === 1")
        self.assert_calm()

    def test_under_another_address(self):
        """The public one is copied; the page itself stays with the one that it was opened under."""
        with Server("--public-url", "https://photos.example/shelf/") as server:
            server.request("PUT", "/images/old.jpg", body=image("small.jpg"))
            while not server.get("/images").json()["items"]:
                time.sleep(0.05)
            found = server.get("/images").json()["items"][0]
            self.browser.do("open", url=f"{server.url}/")
            self.browser.wait(f"{SEEN} === 1")
            self.pick(self.file("small.png"))
            self.browser.wait(f"{SEEN} === 2")
            self.browser.do("click", selector=".print:last-child .copy")
            self.assertEqual(self.browser.wait("navigator.clipboard.readText()"),
                             f"https://photos.example/shelf/i/{found['id']}")
            self.assert_calm()

    def test_refusals(self):
        self.open()
        self.pick(self.file("text.jpg"), self.file("truncated.jpg"), self.file("empty.jpg"))
        self.browser.wait("document.querySelectorAll('[data-state=failed]').length === 3")
        said = self.browser.text("#uploads ol")
        self.assertIn("The server does not take files of this kind. It takes JPEG, PNG, WebP", said)
        self.assertIn("cannot be read as an image", said)
        self.assertIn("An image of 0 bytes is none", said)
        self.shot("refused")
        for _ in range(3):
            self.browser.do("click", selector=".upload .cancel")
        self.browser.wait("document.querySelector('#uploads').hidden")
        self.assert_calm("415", "400")

    def test_drop_of_a_folder(self):
        self.file("album/a.jpg", "small.jpg")
        self.file("album/notes.txt", "text.jpg")
        (self.folder / "album/inner").mkdir(exist_ok=True)
        self.file("album/inner/b.png", "small.png")
        self.open()
        self.browser.do("drop", files=[str(self.folder / "album"), self.file("small.gif")])
        self.browser.wait(f"{PRINTS} === 3")
        self.assertEqual({each["filename"] for each in self.server.get("/images").json()["items"]},
                         {"a.jpg", "b.png", "small.gif"})
        self.assert_calm()

    # ---- prints ----

    def test_more_and_delete(self):
        small = image("tiny.jpg")
        for number in range(26):
            self.server.upload(small, f"{number}.jpg")
        self.open()
        self.browser.wait(f"{PRINTS} === 24")
        self.browser.do("click", selector=".more")
        self.browser.wait(f"{PRINTS} === 26")
        self.assertTrue(self.browser.eval("document.querySelector('.more').hidden"))
        self.browser.do("click", selector=".print .delete")
        self.assertIn("25.jpg", self.browser.text("#delete-dialog"))
        self.shot("delete")
        self.browser.do("press", key="Escape")
        self.browser.wait("!document.querySelector('dialog[open]')")
        self.assertEqual(self.browser.eval(PRINTS), 26)
        self.browser.do("click", selector=".print .delete")
        self.browser.do("click", selector="#delete-dialog .danger")
        self.browser.wait(f"{PRINTS} === 25")
        self.assertEqual(len(self.server.get("/images?limit=200").json()["items"]), 25)
        self.assert_calm()

    # ---- people ----

    def tab_to(self, selector, most=30):
        """Presses Tab until it is reached; what has the focus must be seen to have it."""
        for _ in range(most):
            self.browser.do("press", key="Tab")
            outline = self.browser.eval("getComputedStyle(document.activeElement).outlineStyle")
            self.assertNotEqual(outline, "none", self.browser.eval("document.activeElement.outerHTML"))
            if self.browser.eval(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        self.fail(f"Tab does not reach {selector}")

    def test_by_keyboard_alone(self):
        self.open()
        self.tab_to("#choose-files", 1)
        self.browser.do("chooseByKey", key="Enter", files=[self.file("small.jpg")])
        self.browser.wait(f"{SEEN} === 1")
        self.browser.wait("document.querySelector('#uploads').hidden")
        self.tab_to("#choose-folder", 1)
        for selector in (".mat", ".copy", ".original", ".delete"):
            self.tab_to(selector, 1)
            self.assertTrue(self.browser.eval(
                "document.activeElement.getAttribute('aria-label') ?? "
                "document.activeElement.querySelector('img').alt"))
        self.browser.do("press", key="Enter")
        self.browser.wait("document.activeElement.matches('#delete-dialog .no')")
        self.tab_to("#delete-dialog .danger", 1)
        self.browser.do("press", key="Enter")
        self.browser.wait(f"{PRINTS} === 0")
        self.assertEqual(self.browser.eval("document.activeElement.id"), "prints-title")
        self.assert_calm()

    def fill(self):
        """Something of everything: a print, a broken upload, a sentence below."""
        name = self.file("a-name-without-any-place-to-break-it-and-much-longer-than-a-phone.jpg", "small.jpg")
        self.pick(name, self.file("text.jpg"))
        self.browser.wait(f"{SEEN} === 1")
        self.browser.wait("document.querySelectorAll('[data-state=failed]').length === 1")

    def assert_no_sideways(self):
        self.assertLessEqual(*self.browser.eval(
            "[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"))

    def test_on_a_phone(self):
        self.open(width=360, height=740)
        self.fill()
        self.assert_no_sideways()
        self.shot("phone")
        self.browser.do("click", selector=".print .delete")
        self.assert_no_sideways()
        self.assertLessEqual(self.browser.eval(
            "document.querySelector('dialog[open]').getBoundingClientRect().right"), 360)
        small = self.browser.eval("""[...document.querySelectorAll('button, .tools a')]
            .map((each) => [each.className || each.id, each.getBoundingClientRect()])
            .filter(([, box]) => box.width > 1 && (box.width < 40 || box.height < 40))
            .map(([name]) => name)""")
        self.assertEqual(small, [], "too small for a finger")

    # Least contrast (WCAG 2.2, 1.4.3) of all visible text, with what it is.
    CONTRAST = """(() => {
        const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
        const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
            .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
            .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
        const behind = (element) => {
            for (; element; element = element.parentElement) {
                const color = rgb(getComputedStyle(element).backgroundColor);
                if (color.length === 3 || color[3] === 1)
                    return color;
            }
            return [255, 255, 255];
        };
        const found = [];
        const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walk.nextNode()) {
            const element = walk.currentNode.parentElement;
            if (!walk.currentNode.data.trim() || !element.checkVisibility() ||
                element.closest("template, script, noscript, .unseen"))
                continue;
            const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
            found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05),
                walk.currentNode.data.trim()]);
        }
        return found.sort(([a], [b]) => a - b);
    })()"""

    MOVING = """[...document.querySelectorAll('*')].map((each) => getComputedStyle(each))
        .filter((style) => [...style.transitionDuration.split(','),
            ...style.animationDuration.split(',')].some((each) => parseFloat(each) > 0.01)).length"""

    def check_contrast(self, dark):
        self.browser.do("media", dark=dark, calm=True)
        self.shot("dark" if dark else "light")
        texts = self.browser.eval(self.CONTRAST)
        self.browser.do("click", selector=".print .delete")
        texts += self.browser.eval(self.CONTRAST)
        self.browser.do("press", key="Escape")
        self.browser.do("eval", code="document.querySelector('#key-dialog').showModal()")
        texts += self.browser.eval(self.CONTRAST)
        self.browser.do("press", key="Escape")
        self.assertGreater(len(texts), 40)
        self.assertEqual([each for each in texts if each[0] < 4.5], [])
        paper = self.browser.eval("getComputedStyle(document.body).backgroundColor")
        self.assertEqual(sum(map(int, re.findall(r"\d+", paper))) < 150, dark, paper)

    def test_dark_light_and_calm(self):
        self.open(dark=True, calm=True)
        self.fill()
        self.browser.eval("document.querySelector('.more').hidden = false")
        self.check_contrast(dark=True)
        self.check_contrast(dark=False)
        self.assertEqual(self.browser.eval(self.MOVING), 0)
        self.browser.do("media", dark=False, calm=False)
        self.assertGreater(self.browser.eval(self.MOVING), 0)


class Key(Page):
    """With keys, the page asks for one. (Only the tests here; those of Page run once.)"""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = subprocess.run([str(SERVER), "key", "add", "--scope", "read,write", "--data",
                               str(cls.server.data)], capture_output=True, text=True, check=True)
        cls.server.key = re.search(r"calo_[\w-]+", made.stdout).group(0)
        time.sleep(0.6)  # the server looks for new keys each 0.5 s

    def test_key(self):
        self.browser.do("open", url=self.link.url)
        self.browser.wait("document.querySelector('#key-dialog').open")
        self.assertEqual(self.browser.eval("document.activeElement.id"), "key")
        self.shot("key")
        self.browser.do("type", text="calo_wrong")
        self.browser.do("press", key="Enter")
        self.browser.wait("document.querySelector('#key-dialog').open && "
                          "document.querySelector('#key-why').innerText.includes('does not exist')")
        self.browser.do("type", text=self.server.key)
        self.browser.do("press", key="Enter")
        self.browser.wait("document.querySelector('.empty').hidden === false")
        self.assertEqual(self.browser.eval("sessionStorage['calotype.key']"), self.server.key)
        self.assertEqual(self.browser.eval("localStorage.length"), 0)
        self.pick(self.photo)
        self.browser.wait(f"{SEEN} === 1")
        found = self.assert_is_there(self.photo)
        opened = self.browser.do("popup", selector=".print .original")
        self.assertEqual(opened["size"], 3000)
        self.assertTrue(opened["url"].startswith("blob:"), opened)
        for request in self.requests("GET"):
            if f"/i/{found['id']}?" in request["url"]:
                self.assertNotIn("authorization", request["headers"], "prints need no key")
        self.browser.do("click", selector="#forget-key")
        self.browser.wait("document.querySelector('#key-dialog').open")
        self.browser.do("press", key="Escape")
        self.browser.wait("document.querySelector('#prints .trouble').innerText.includes('Send')"
                          " || document.querySelector('#prints .trouble').innerText.includes('key')")
        self.assertEqual(self.browser.eval(PRINTS), 0)
        self.assert_calm("401")


for name in [each for each in dir(Page) if each.startswith("test_")]:
    setattr(Key, name, None)  # inherited ones would run twice


if __name__ == "__main__":
    harness.main()
