"""Who may do what: every route with no key, a wrong one and one of each scope; through proxies; from
pages of other origins; and how keys run out."""

import re
import subprocess
import time
import unittest

import harness
from harness import Server, image

TUS = {"Tus-Resumable": "1.0.0"}
PATCH = dict(TUS, **{"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"})

# method, path, headers, what it needs (None: nothing), the status then
ROUTES = (
    ("GET", "/", {}, None, 200),
    ("GET", "/livez", {}, None, 200),
    ("GET", "/readyz", {}, None, 200),
    ("GET", "/metrics", {}, "read", 200),
    ("GET", "/i/{image}", {}, None, 200),
    ("HEAD", "/i/{image}", {}, None, 200),
    ("GET", "/i/{image}/original", {}, "read", 200),
    ("GET", "/blobs/{sha256}", {}, "read", 200),
    ("HEAD", "/blobs/{sha256}", {}, "read", 200),
    ("GET", "/images", {}, "read", 200),
    ("GET", "/images/{image}", {}, "read", 200),
    ("HEAD", "/images/{image}", {}, "read", 200),
    ("GET", "/jobs", {}, "read", 200),
    ("GET", "/jobs/{job}", {}, "read", 200),
    ("DELETE", "/jobs/{job}", {}, "write", 409),  # it has ended
    ("POST", "/jobs/{job}/retry", {}, "admin", 409),
    ("OPTIONS", "/uploads", {}, None, 204),
    ("POST", "/uploads", dict(TUS, **{"Upload-Length": "5"}), "write", 201),
    ("HEAD", "/uploads/{upload}", TUS, "write", 200),
    ("PATCH", "/uploads/{upload}", PATCH, "write", 204),
    ("DELETE", "/uploads/{spare}", TUS, "write", 204),
    ("OPTIONS", "/images", {}, None, 204),
    ("POST", "/images", {}, "write", 202),
    ("PUT", "/images/x.jpg", {}, "write", 202),
    ("DELETE", "/images/{doomed}", {}, "write", 204),
    ("GET", "/nothing/here", {}, None, 404),
    ("PATCH", "/images", {}, None, 405),
)
# What is there is not told: a key comes before 404.
HIDDEN = (("GET", "/images/" + "0" * 32, "read"), ("GET", "/jobs/" + "0" * 32, "read"),
          ("GET", "/blobs/" + "0" * 64, "read"), ("GET", f"/i/{'0' * 32}/original", "read"),
          ("HEAD", "/uploads/" + "0" * 32, "write"), ("DELETE", "/images/" + "0" * 32, "write"))


def run(*arguments):
    return subprocess.run([str(harness.SERVER), *arguments], capture_output=True, text=True,
                          timeout=60, check=False)


def make_key(server, scope, *more):
    done = run("key", "add", "--data", str(server.data), "--scope", scope, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_until_closed(server):
    """A first key counts within a second."""
    end = time.monotonic() + 10 * harness.SLOW
    while server.get("/images").status != 401 and time.monotonic() < end:
        time.sleep(0.1)


def create_upload(server, size):
    answer = server.request("POST", "/uploads", headers=dict(TUS, **{"Upload-Length": str(size)}))
    assert answer.status == 201, answer
    return answer["Location"].rsplit("/", 1)[1]


def ask(server, method, path, headers, key=None, body=None):
    if key:
        headers = dict(headers, Authorization=f"Bearer {key}")
    return server.request(method, path, body=body, headers=headers)


class Routes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.small = image("small.jpg")
        cls.server = Server().start()
        cls.addClassCleanup(cls.server.__exit__)
        made = cls.server.upload(cls.small)
        cls.names = {
            "image": made["id"], "sha256": made["sha256"],
            "job": cls.server.get("/jobs").json()["items"][0]["id"],
            "upload": create_upload(cls.server, len(cls.small)),
            "spare": create_upload(cls.server, 5),
            "doomed": cls.server.upload(image("small.png"), "d.png")["id"],
        }

    def ask(self, row, key):
        method, path, headers = row[0], row[1].format(**self.names), row[2]
        body = self.small if method in ("PATCH", "PUT") or path == "/images" and method == "POST" else None
        return ask(self.server, method, path, headers, key, body)

    def test_1_loopback_without_keys_may_do_all(self):
        for row in ROUTES:
            if row[0] in ("DELETE", "PATCH"):
                continue  # these can be done once; the keys' turn comes below
            answer = self.ask(row, None)
            self.assertEqual(answer.status, row[4], row)
        for mark in ({"Forwarded": "for=1.2.3.4"}, {"X-Forwarded-For": "1.2.3.4"},
                     {"X-Forwarded-Host": "x"}, {"Via": "1.1 x"}):
            for method, path, headers, _, _ in ROUTES:
                if path in ("/livez", "/readyz"):
                    continue
                answer = self.ask((method, path, dict(headers, **mark)), None)
                self.assertEqual(answer.status, 403, (method, path, mark))
                if method != "HEAD":
                    self.assertEqual(answer.json()["code"], "proxied_open_server")

    def test_2_each_route_with_each_key(self):
        keys = {scope: make_key(self.server, scope) for scope in ("admin", "read", "write")}
        wait_until_closed(self.server)
        wrong = keys["read"][:-1] + ("A" if keys["read"][-1] != "A" else "B")
        for row in ROUTES:
            method, path, headers, scope, status = row
            name = f"{method} {path}"
            answer = self.ask(row, None)
            self.assertEqual(answer.status, 401 if scope else status, name)
            if scope:
                self.assertIn("Bearer", answer["WWW-Authenticate"])
            answer = self.ask(row, wrong)
            self.assertEqual(answer.status, 401, name)
            self.assertIn("invalid_token", answer["WWW-Authenticate"])
            for has in ("admin", "read", "write"):  # what changes something comes last
                answer = self.ask(row, keys[has])
                allowed = scope is None or has == scope
                self.assertEqual(answer.status, status if allowed else 403, (name, has))
                if not allowed:
                    self.assertIn("insufficient_scope", answer["WWW-Authenticate"])

    def test_3_what_is_not_there_is_not_told(self):
        keys = {scope: make_key(self.server, scope) for scope in ("read", "write")}
        wait_until_closed(self.server)
        for method, path, scope in HIDDEN:
            self.assertEqual(ask(self.server, method, path, TUS).status, 401, path)
            other = "write" if scope == "read" else "read"
            self.assertEqual(ask(self.server, method, path, TUS, keys[other]).status, 403, path)
            self.assertEqual(ask(self.server, method, path, TUS, keys[scope]).status, 404, path)

    def test_4_this_table_is_complete(self):
        """Every route of the sources stands above."""
        sources = [p.read_text() for folder in ("jobs", "images", "uploads", "delivery", "operations", "page")
                   for p in (harness.ROOT / "src" / folder).glob("*.c")]
        found = {(m, re.sub(r"\{[a-z0-9_]+\}", "{}", p)) for text in sources
                 for m, p in re.findall(r'CT_HTTP_(\w+),\s*"(/[^"]*)"', text)}
        known = {(m, re.sub(r"\{[a-z0-9_]+\}|x\.jpg", "{}", p)) for m, p, *_ in ROUTES}
        known |= {("OPTIONS", "/uploads/{}"), ("POST", "/uploads/{}"), ("GET", "/page/{}/{}")}
        self.assertEqual(found - known, set())


class Policies(unittest.TestCase):
    def test_originals_and_blobs_may_be_opened(self):
        with Server("--originals", "public", "--blobs", "public") as server:
            made = server.upload(image("small.jpg"))
            make_key(server, "read")
            wait_until_closed(server)
            self.assertEqual(server.get(made["original"]).status, 200)
            self.assertEqual(server.get(f'/blobs/{made["sha256"]}').status, 200)
            self.assertEqual(server.get(f'/images/{made["id"]}').status, 401)

    def test_failed_images_are_never_public(self):
        with Server("--originals", "public", "--blobs", "public") as server:
            broken = image("small.jpg")[:3000]
            answer = server.request("PUT", "/images/x.jpg", body=broken)
            job = server.wait_job(answer["Location"])
            failed = server.get("/images?state=failed").json()["items"]
            self.assertEqual((job["state"], len(failed)), ("failed", 1))
            self.assertEqual(server.get(f'/i/{failed[0]["id"]}').status, 404)
            self.assertEqual(server.get(f'/i/{failed[0]["id"]}/original').status, 404)
            self.assertEqual(server.get(f'/blobs/{failed[0]["sha256"]}').status, 404)


class Expiry(unittest.TestCase):
    def test_a_key_runs_out(self):
        with Server() as server:
            short, long = (make_key(server, "read", "--expires", t) for t in ("2s", "90d"))
            wait_until_closed(server)
            self.assertEqual(ask(server, "GET", "/images", {}, short).status, 200)
            end = time.monotonic() + 10
            while ask(server, "GET", "/images", {}, short).status == 200 and time.monotonic() < end:
                time.sleep(0.1)
            answer = ask(server, "GET", "/images", {}, short)
            self.assertEqual(answer.status, 401)
            self.assertIn("expired", answer.json()["detail"])
            self.assertEqual(ask(server, "GET", "/images", {}, long).status, 200)
            listed = run("key", "list", "--data", str(server.data)).stdout
            self.assertIn("(expired)", listed)
            self.assertIn("(until 2", listed)
            self.assertEqual(server.get("/images").status, 401)  # it does not open again
        for bad in ("2", "0d", "-1d", "1w", "", "s", "36501d", "99999999999999999999d"):
            done = run("key", "add", "--data", "/nonexistent", "--scope=read", "--expires", bad)
            self.assertEqual(done.returncode, 2, bad)
            self.assertIn("90d", done.stderr)


class Proxies(unittest.TestCase):
    def test_trusted(self):
        with Server("--trusted-proxies", "127.0.0.1,unix") as server:
            key = make_key(server, "read")
            wait_until_closed(server)
            for headers, status in (
                    ({}, 200),
                    ({"X-Forwarded-For": "192.0.2.7"}, 403),
                    ({"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "http"}, 403),
                    ({"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}, 200),
                    ({"Forwarded": "for=192.0.2.8;proto=https"}, 200),
                    ({"Forwarded": 'for="[2001:db8::8]:4711"'}, 403),
                    ({"Forwarded": "for=192.0.2.8", "X-Forwarded-For": "192.0.2.7"}, 400)):
                answer = ask(server, "GET", "/images", headers, key)
                self.assertEqual(answer.status, status, headers)
                if status == 403:
                    self.assertEqual(answer.json()["code"], "insecure_transport")
            self.assertIn("peer=192.0.2.7", server.log_text())
            self.assertIn("peer=2001:db8::8", server.log_text())

    def test_others_are_ignored(self):
        with Server() as server:
            key = make_key(server, "read")
            wait_until_closed(server)
            answer = ask(server, "GET", "/images", {"X-Forwarded-For": "192.0.2.7",
                                                    "X-Forwarded-Proto": "http"}, key)
            self.assertEqual(answer.status, 200)
            self.assertNotIn("192.0.2.7", server.log_text())


class Names(unittest.TestCase):
    """A page whose own name leads here (DNS rebinding) is told by the name that its browser sends."""

    def ask(self, server, host, path="/images", **headers):
        return server.request("GET", path, headers=dict(headers, Host=host))

    def test_an_open_server_answers_to_this_machine_and_its_public_url(self):
        with Server("--public-url", "http://photos.example.org/p") as server:
            for host in ("localhost", f"127.0.0.1:{server.port}", "127.9.9.9", "[::1]:80",
                         "x.localhost:3000", "photos.example.org", "photos.example.org:8080"):
                self.assertEqual(self.ask(server, host).status, 200, host)
            for host in ("evil.example", f"evil.example:{server.port}", "0.0.0.0", "localhost.evil",
                         "photos.example.org.evil"):
                for path in ("/", "/images", "/livez", "/metrics", "/nothing"):
                    answer = self.ask(server, host, path, Origin=f"http://{host}")
                    self.assertEqual((answer.status, answer.json()["code"]), (421, "misdirected"), host)
            upload = server.request("PUT", "/images/x.jpg", body=image("small.jpg"),
                                    headers={"Host": "evil.example", "Origin": "http://evil.example"})
            self.assertEqual(upload.status, 421)
            self.assertEqual(server.get("/images").json()["items"], [])
            make_key(server, "read")
            wait_until_closed(server)
            self.assertEqual(self.ask(server, "evil.example").status, 401)
            self.assertEqual(self.ask(server, "evil.example", "/livez").status, 200)

    def test_a_forged_forwarded_host_changes_nothing(self):
        """Addresses are relative, or under --public-url, whatever a proxy or a client says."""
        marks = ({}, {"X-Forwarded-Host": "evil.example", "X-Forwarded-For": "192.0.2.7",
                      "X-Forwarded-Proto": "https", "X-Forwarded-Port": "99"},
                 {"Forwarded": "for=192.0.2.7;host=evil.example;proto=https"}, {"Host": "evil.example"})
        for url in ("", "https://photos.example.org"):
            with Server("--trusted-proxies", "127.0.0.1", "--accept", "*/*", "--public-url", url) as server:
                key = make_key(server, "read,write")
                wait_until_closed(server)
                server.key = key
                for mark in marks:
                    put = server.request("PUT", "/images/x.txt", body=b"hello", headers=mark)
                    self.assertEqual(put.status, 202, put)
                    job = put["Location"]
                    self.assertTrue(job.startswith(f"{url}/jobs/"), job)
                    server.wait_job(job.removeprefix(url))
                    tus = server.request("POST", "/uploads", headers=dict(TUS, **mark, **{"Upload-Length": "5"}))
                    self.assertTrue(tus["Location"].startswith(f"{url}/uploads/"), tus)
                    answers = [put, tus] + [server.request("GET", path, headers=mark) for path in
                                            ("/images?limit=1", "/jobs?limit=1", job.removeprefix(url), "/")]
                    made = answers[4].json()["response"]["image"]
                    self.assertTrue(made["original"].startswith(f"{url}/i/"), made)
                    for answer in answers:
                        said = repr(answer.headers) + answer.body.decode()
                        self.assertNotIn("evil.example", said)


class Browsers(unittest.TestCase):
    PAGE = "https://www.example.org"

    def preflight(self, server, path, method, origin=PAGE):
        return server.request("OPTIONS", path, headers={
            "Origin": origin, "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,tus-resumable,upload-offset"})

    def test_a_page_may_upload_with_tus(self):
        with Server("--cors-origins", f"{self.PAGE},http://localhost:3000") as server:
            key = make_key(server, "read,write")
            wait_until_closed(server)
            data, origin = image("small.jpg"), {"Origin": self.PAGE}
            self.assertEqual(self.preflight(server, "/uploads", "POST")["Access-Control-Allow-Origin"],
                             self.PAGE)
            answer = ask(server, "POST", "/uploads",
                         dict(TUS, **origin, **{"Upload-Length": str(len(data))}), key)
            self.assertEqual(answer.status, 201)
            exposed = {name.strip() for name in answer["Access-Control-Expose-Headers"].split(",")}
            self.assertLessEqual({"Location", "Upload-Offset", "Upload-Length", "ETag", "Link",
                                  "Retry-After", "Preference-Applied", "Content-Range",
                                  "Tus-Resumable", "Tus-Max-Size", "Cache-Status"}, exposed)
            upload = answer["Location"]
            self.assertIn("PATCH", self.preflight(server, upload, "PATCH")["Access-Control-Allow-Methods"])
            answer = ask(server, "PATCH", upload, dict(PATCH, **origin), key, data)
            self.assertEqual((answer.status, answer["Access-Control-Allow-Origin"]), (204, self.PAGE))
            job = re.search(r"</jobs/([0-9a-f]{32})>", answer["Link"]).group(1)
            server.key = key
            made = server.wait_job(job)["response"]["image"]
            for path in (f"/jobs/{job}", made["url"], made["original"], f'/blobs/{made["sha256"]}'):
                for _ in range(2):  # filled, and from the cache
                    answer = ask(server, "GET", path, origin, key)
                    self.assertEqual((answer.status, answer["Access-Control-Allow-Origin"]),
                                     (200, self.PAGE), path)
                    self.assertIn("Origin", [v for k, v in answer.headers if k == "Vary"], path)
                answer = ask(server, "GET", path, {"Origin": "https://evil.example"}, key)
                self.assertIsNone(answer["Access-Control-Allow-Origin"], path)
            answer = ask(server, "GET", made["original"], dict(origin, Range="bytes=0-9"), key)
            self.assertEqual((answer.status, answer["Access-Control-Allow-Origin"]), (206, self.PAGE))
            self.assertEqual(answer.body, data[:10])
            other = self.preflight(server, "/uploads", "POST", "https://evil.example")
            self.assertIsNone(other["Access-Control-Allow-Origin"])

    def test_all_origins(self):
        with Server("--cors-origins", "*") as server:
            made = server.upload(image("small.jpg"))
            for path in (made["url"], "/images", "/nothing"):
                answer = server.request("GET", path, headers={"Origin": self.PAGE})
                self.assertEqual(answer["Access-Control-Allow-Origin"], "*")
                self.assertIsNone(answer["Access-Control-Allow-Credentials"])

    def test_an_open_server_takes_nothing_from_foreign_pages(self):
        with Server() as server:
            form = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
            answer = server.request("POST", "/images", body=image("small.jpg"), headers=form)
            self.assertEqual((answer.status, answer.json()["code"]), (403, "foreign_origin"))
            own = {"Origin": f"http://127.0.0.1:{server.port}"}
            answer = server.request("POST", "/images", body=image("small.jpg"), headers=own)
            self.assertEqual(answer.status, 202)


if __name__ == "__main__":
    harness.main()
