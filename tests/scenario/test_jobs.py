"""Jobs: polling, conditions, crashes of the worker and of the server, hostile images."""

import os
import signal
import sqlite3
import time
import unittest

import harness
from harness import Server, image


def workers_of(server):
    """Process ids of the server's image workers."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                name, rest = file.read().rsplit(")", 1)
            if "calotype-worker" in name + ")" or "calotype-work" in name:
                if int(rest.split()[1]) == server.process.pid:
                    found.append(int(pid))
        except OSError:
            continue
    return found


class Jobs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def fail_with(self, name, code, as_name="x.jpg"):
        answer = self.server.request("PUT", f"/images/{as_name}", body=image(name))
        self.assertEqual(answer.status, 202, answer)
        job = self.server.wait_job(answer["Location"])
        self.assertEqual(job["state"], "failed", job)
        self.assertNotIn("response", job)
        self.assertEqual(job["error"]["code"], code, job)
        self.assertTrue(job["error"]["detail"])
        self.assertEqual(job["error"]["request_id"], answer["X-Request-Id"])
        made = self.server.get(f'/images/{job["image"]}').json()
        self.assertEqual(made["state"], "failed")
        self.assertEqual(self.server.get(f'/i/{job["image"]}').status, 404)
        self.assertEqual(self.server.get(f'/blobs/{made["sha256"]}').status, 404)
        return job

    def test_poll(self):
        answer = self.server.request("PUT", "/images/x.jpg", body=image("photo.jpg"))
        path = answer["Location"]
        first = self.server.get(path)
        self.assertEqual(first.status, 200)
        if not first.json()["done"]:
            self.assertEqual(first["Retry-After"], "1")
        job = self.server.wait_job(path)
        self.assertEqual((job["state"], job["done"], job["progress"], job["attempts"]),
                         ("succeeded", True, 1, 1))
        for name in ("created_at", "started_at", "finished_at"):
            self.assertRegex(job[name], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        last = self.server.get(path)
        self.assertIsNone(last["Retry-After"])
        again = self.server.get(path, If_None_Match=last["ETag"])
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertNotEqual(self.server.get(path, If_None_Match='"x"').status, 304)

    def test_a_job_forgets_an_image_that_was_deleted(self):
        answer = self.server.request("PUT", "/images/x.jpg", body=image("small.jpg"))
        self.server.wait_job(answer["Location"])
        before = self.server.get(answer["Location"])
        made = before.json()["response"]["image"]
        self.assertEqual(self.server.request("DELETE", f"/images/{made['id']}").status, 204)
        after = self.server.get(answer["Location"], If_None_Match=before["ETag"])
        self.assertEqual(after.status, 200, "its version has changed")
        self.assertEqual(after.json()["state"], "succeeded")
        self.assertEqual(after.json()["response"],
                         {"image": {"id": made["id"], "state": "deleted"}})
        self.assertNotIn(made["sha256"].encode(), after.body)
        listed = self.server.get("/jobs?limit=200")
        self.assertNotIn(made["sha256"].encode(), listed.body)

    def test_truncated(self):
        self.fail_with("truncated.jpg", "undecodable_image")

    def test_bomb(self):
        job = self.fail_with("bomb.png", "too_many_pixels", "x.png")
        self.assertIn("50000000", job["error"]["detail"].replace(",", "").replace(" ", ""))
        self.assertEqual(job["error"]["limit"], 50000000)
        self.assertGreater(job["error"]["value"], 50000000)

    def test_more_than_50_megapixels(self):
        self.fail_with("60mp.png", "too_many_pixels", "x.png")

    def test_image_of_a_failed_job_deleted(self):
        job = self.fail_with("60mp.png", "too_many_pixels", "x.png")
        self.assertEqual(self.server.request("DELETE", f'/images/{job["image"]}').status, 204)
        after = self.server.get(f'/jobs/{job["id"]}').json()
        self.assertEqual((after["state"], after["error"]["code"]), ("failed", "too_many_pixels"))
        self.assertEqual(after["error"]["detail"], after["error"]["title"])

    def test_log_names_the_request(self):
        answer = self.server.request("PUT", "/images/x.jpg", body=image("small.jpg"),
                                     headers={"X-Request-Id": "made-by-me-1"})
        job = self.server.wait_job(answer["Location"])
        line = next(line for line in self.server.log_text().splitlines()
                    if "job.ended" in line and job["id"] in line)
        self.assertIn("request=made-by-me-1", line)

    def test_worker_killed(self):
        """The kill of a worker costs that job an attempt and nothing else."""
        answers = [self.server.request("PUT", "/images/x.jpg", body=image("photo.jpg") + bytes([i]))
                   for i in range(4)]
        killed, end = 0, time.monotonic() + 20
        while not killed and time.monotonic() < end:
            for pid in workers_of(self.server):
                os.kill(pid, signal.SIGKILL)
                killed += 1
            time.sleep(0.01)
        self.assertTrue(killed)
        jobs = [self.server.wait_job(answer["Location"]) for answer in answers]
        self.assertEqual([job["state"] for job in jobs], ["succeeded"] * 4, jobs)
        self.assertEqual(max(job["attempts"] for job in jobs), 2, "one crash is forgiven")
        self.assertEqual(self.server.upload(image("small.jpg"))["state"], "ready")


class Running(unittest.TestCase):
    """One worker, and photos of which each takes a while."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("--workers", "1").start()
        cls.count = 0

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__()

    def put(self):
        type(self).count += 1
        answer = self.server.request("PUT", "/images/x.jpg",
                                     body=image("photo.jpg") + b"%d" % self.count)
        self.assertEqual(answer.status, 202, answer)
        return answer["Location"]

    def wait_running(self, path):
        while True:
            job = self.server.get(path).json()
            if job["state"] != "queued" and workers_of(self.server):
                return job
            time.sleep(0.002)

    def test_progress(self):
        """A poller sees something between 0 and 1, and never an old state under a known ETag."""
        path, seen, etag = self.put(), [], '"0"'
        while not seen or seen[-1][0] < 1:
            answer = self.server.get(path, If_None_Match=etag)
            if answer.status == 200:
                etag = answer["ETag"]
                seen.append((answer.json()["progress"], etag))
        steps = [progress for progress, _ in seen]
        self.assertEqual(steps, sorted(steps))
        self.assertTrue([p for p in steps if 0 < p < 1], steps)
        self.assertEqual(len({tag for _, tag in seen}), len(seen))
        self.assertEqual(self.server.get(path).json()["progress"], 1)

    def test_cancel_running(self):
        path = self.put()
        self.wait_running(path)
        worker = workers_of(self.server)
        answer = self.server.request("DELETE", path)
        self.assertEqual((answer.status, answer.json()["state"]), (200, "canceled"), answer)
        self.assertEqual(answer.json()["error"]["code"], "canceled")
        self.assertEqual(self.server.get(path).body, answer.body)
        end = time.monotonic() + 0.5 * harness.SLOW
        while set(worker) & set(workers_of(self.server)):
            self.assertLess(time.monotonic(), end, "its worker goes on")
            time.sleep(0.01)
        job = answer.json()
        made = self.server.get(f'/images/{job["image"]}').json()
        self.assertEqual((made["state"], made["prints"]), ("failed", []))
        self.assertEqual(self.server.get(f'/i/{job["image"]}').status, 404)
        again = self.server.request("DELETE", path)
        self.assertEqual((again.status, again.json()["code"]), (409, "job_ended"))
        self.assertEqual(self.server.upload(image("small.jpg"))["state"], "ready")
        self.assertEqual(self.server.get(path).body, answer.body, "nothing came after the end")

    def test_retry(self):
        """A canceled job, tried again by an admin, makes its image ready."""
        path = self.put()
        canceled = self.server.request("DELETE", path)
        self.assertEqual(canceled.status, 200, canceled)
        answer = self.server.request("POST", f"{path}/retry")
        self.assertEqual(answer.status, 202, answer)
        self.assertEqual((answer.json()["state"], answer.json()["attempts"]), ("queued", 0))
        self.assertNotEqual(answer["ETag"], canceled["ETag"])
        job = self.server.wait_job(path)
        self.assertEqual((job["state"], job["attempts"]), ("succeeded", 1), job)
        self.assertEqual(len(self.server.get(f'/images/{job["image"]}').json()["prints"]), 3)
        again = self.server.request("POST", f"{path}/retry")
        self.assertEqual((again.status, again.json()["code"]), (409, "job_not_failed"))

    def test_metrics(self):
        """Depth, age and ends of the queue, while one job runs and two wait."""
        def figure(series):
            text = self.server.get("/metrics").body.decode()
            return float(next(line for line in text.splitlines()
                              if line.startswith(series + " ")).split()[-1])
        canceled = figure('calotype_jobs_ended_total{state="canceled"}')
        paths = [self.put() for _ in range(3)]
        self.wait_running(paths[0])
        self.assertEqual(figure('calotype_jobs{state="running"}'), 1)
        self.assertEqual(figure('calotype_jobs{state="queued"}'), 2)
        self.assertGreater(figure("calotype_jobs_oldest_queued_seconds"), 0)
        for path in reversed(paths):
            self.assertEqual(self.server.request("DELETE", path).status, 200)
        self.assertEqual(figure('calotype_jobs{state="queued"}'), 0)
        self.assertEqual(figure("calotype_jobs_oldest_queued_seconds"), 0)
        self.assertEqual(figure('calotype_jobs_ended_total{state="canceled"}'), canceled + 3)

    def test_retry_after_the_image_was_deleted(self):
        path = self.put()
        job = self.server.request("DELETE", path).json()
        self.assertEqual(self.server.request("DELETE", f'/images/{job["image"]}').status, 204)
        again = self.server.request("POST", f"{path}/retry")
        self.assertEqual((again.status, again.json()["code"]), (410, "gone"))


class Duplicate(unittest.TestCase):
    def test_is_not_developed_again(self):
        """The second upload of the same bytes needs no worker, and outlives the first image."""
        with Server() as server:
            first = server.upload(image("photo.jpg"), "first.jpg")
            server.stop()
            server.flags = ("--worker-path", "/bin/false")
            server.start()
            second = server.upload(image("photo.jpg"), "second.jpg")
            for name in ("width", "height", "orientation", "blurhash", "exif", "sha256"):
                self.assertEqual(second[name], first[name], name)
            self.assertEqual([p["w"] for p in second["prints"]], [320, 640, 1280])
            self.assertEqual(second["filename"], "second.jpg")
            self.assertEqual(server.request("DELETE", f'/images/{first["id"]}').status, 204)
            self.assertEqual(server.get(f'/i/{second["id"]}?w=640').status, 200)
            self.assertEqual(server.request("DELETE", f'/images/{second["id"]}').status, 204)
            prints = [path for path in (server.data / "prints").rglob("*") if path.is_file()]
            self.assertEqual(prints, [])


class Retention(unittest.TestCase):
    def test_events_and_jobs_are_forgotten_after_a_week(self):
        with Server("--upload-expiry", "1") as server:  # the housekeeper comes every second
            old = server.request("PUT", "/images/x.jpg", body=image("small.jpg"))["Location"]
            server.wait_job(old)
            server.stop()
            database = sqlite3.connect(server.data / "calotype.db")
            database.execute("UPDATE event SET created_at = created_at - 8 * 86400000")
            database.execute("UPDATE job SET finished_at = finished_at - 8 * 86400000")
            database.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) "
                "INSERT INTO event (type, image_id, data, created_at) SELECT 'old', '', '{}', i FROM n")
            database.commit()
            server.start()
            server.upload(image("small.jpg"))
            end = time.monotonic() + 20 * harness.SLOW
            def left():
                return database.execute("SELECT count(*), min(created_at) FROM event").fetchone()
            while left()[1] < (time.time() - 86400) * 1000:
                self.assertLess(time.monotonic(), end, "old events stay")
                time.sleep(0.1)
            self.assertGreater(left()[0], 0, "new ones stay")
            while server.get(old).status != 410:
                self.assertLess(time.monotonic(), end, "an old job stays")
                time.sleep(0.1)
            database.close()


class Crash(unittest.TestCase):
    def test_kill_9_in_mid_job(self):
        with Server() as server:
            for round_number in range(3):
                answer = server.request("PUT", "/images/x.jpg",
                                        body=image("photo.jpg") + bytes([round_number]))
                self.assertEqual(answer.status, 202)
                time.sleep(0.05 * round_number)
                server.kill()
                server.start()
                job = server.wait_job(answer["Location"])
                self.assertEqual(job["state"], "succeeded", job)
                self.assertLessEqual(job["attempts"], 3)
                made = server.get(f'/images/{job["image"]}').json()
                self.assertEqual((made["state"], len(made["prints"])), ("ready", 3))

    def test_no_worker_is_left_behind(self):
        server = Server().start()
        server.upload(image("small.jpg"))
        left = workers_of(server)
        self.assertTrue(left)
        server.kill()
        time.sleep(0.5)
        for pid in left:
            self.assertFalse(os.path.exists(f"/proc/{pid}/exe") and
                             os.access(f"/proc/{pid}/exe", os.R_OK), pid)
        server.start()
        server.__exit__()


if __name__ == "__main__":
    harness.main()
