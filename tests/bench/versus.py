"""The server against others that do less: nginx, a bare receive loop, a plain libvips process.

Both sides of a row run in turn, round after round, on this machine at the same time of day; what is
quoted is the median of their ratios. Logs are on in both. CPU is user and system time of the whole
process with its children.
"""

import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

import harness

TICKS = os.sysconf("SC_CLK_TCK")
BUILD = harness.BUILD / "tests" / "bench"


def cpu_s(pids):
    """User and system time, with that of children that have ended."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(int(fields[i]) for i in (11, 12, 13, 14))
    return total / TICKS


def children_of(pid):
    pids = set()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            pids.update(map(int, (task / "children").read_text().split()))
        except OSError:
            continue
    return sorted(pids)


class Nginx:
    """Debian's nginx, one worker for each core, with access log; GET of files and WebDAV's PUT."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-nginx-"))
        (self.folder / "files").mkdir()
        self.folder.chmod(0o755)
        self.port = free_port()
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; user root; worker_processes auto; pid {self.folder}/pid;
            error_log {self.folder}/error.log;
            events {{ worker_connections 1024; }}
            http {{
                access_log {self.folder}/access.log; sendfile on; tcp_nopush on;
                keepalive_requests 1000000;
                client_max_body_size 0; client_body_buffer_size 256k;
                client_body_temp_path {self.folder}/files/temp;
                server {{ listen 127.0.0.1:{self.port} backlog=1024; root {self.folder}/files;
                          location / {{ dav_methods PUT; create_full_put_path on; }} }}
            }}""")
        self.process = subprocess.Popen(
            ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")],
            stderr=subprocess.DEVNULL)
        wait_for(self.port)

    def pids(self):
        return [self.process.pid, *children_of(self.process.pid)]

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Bare:
    """bare-receiver in one of its modes."""

    def __init__(self, mode):
        self.folder = tempfile.mkdtemp(prefix="calotype-bare-")
        self.process = subprocess.Popen([BUILD / "bare-receiver", mode, self.folder],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def pids(self):
        return [self.process.pid]

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Calotype:
    """A server for load: any file, no limit in the way."""

    def __init__(self, *flags):
        self.server = harness.Server("--max-connections", "20000", "--max-per-address", "20000",
                                     *flags)
        self.server.start()
        self.port = self.server.port

    def pids(self):
        return [self.server.process.pid, *children_of(self.server.process.pid)]

    def close(self):
        self.server.__exit__()


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    import socket
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.01)
    raise AssertionError(f"nothing listens on {port}")


def get_load(side, path, seconds):
    """(CPU microseconds a request, p99 in ms, requests a second) by wrk."""
    before = cpu_s(side.pids())
    text = subprocess.run(
        ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{side.port}{path}"],
        capture_output=True, text=True, check=True).stdout
    used = cpu_s(side.pids()) - before
    assert "Non-2xx" not in text, text
    count = int(re.search(r"(\d+) requests in", text).group(1))
    p99, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    p99_ms = float(p99) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    return used / count * 1e6, p99_ms, float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1))


def put_load(side, connections, files, size, prefix="/images/"):
    """(MB/s, p99 in ms, CPU seconds)."""
    before = cpu_s(side.pids())
    text = subprocess.run(
        [BUILD / "put-load", str(side.port), prefix, str(connections), str(files), str(size)],
        capture_output=True, text=True, check=True).stdout
    _, _, rate, p99 = map(float, text.split())
    return rate, p99, cpu_s(side.pids()) - before


def row(name, ratios, target, is_most, more=""):
    middle = statistics.median(ratios)
    met = middle <= target if is_most else middle >= target
    print(f"{name:<56} {middle:>6.2f} [{min(ratios):.2f} to {max(ratios):.2f}]  target "
          f"{'at most' if is_most else 'at least'} {target:<5} {'met' if met else 'MISSED'}  {more}",
          flush=True)
    return met


def gets(rounds, seconds):
    nginx, ours = Nginx(), Calotype("--accept", "*/*", "--cache", "64M")
    met = True
    try:
        for name, size, target in (("10 KB", 10_000, 0.75), ("100 KB", 100_000, 0.6),
                                   ("3 MB", 3_000_000, 1.05)):
            data = os.urandom(size)
            (nginx.folder / "files" / str(size)).write_bytes(data)
            path = ours.server.upload(data, "x.bin")["original"]
            get_load(ours, path, 1)
            cpu, late, rates = [], [], []
            for _ in range(rounds):
                theirs, mine = get_load(nginx, f"/{size}", seconds), get_load(ours, path, seconds)
                cpu.append(mine[0] / theirs[0])
                late.append(mine[1] / theirs[1])
                rates.append(mine[2] / theirs[2])
            more = f"{mine[0]:.1f} to {theirs[0]:.1f} us, rate {statistics.median(rates):.2f}"
            met &= row(f"GET of {name}, cached: CPU a request, to nginx", cpu, target, True, more)
            met &= row(f"GET of {name}: 99th percentile, to nginx", late, 1.2, True,
                       f"{mine[1]:.2f} to {theirs[1]:.2f} ms")
    finally:
        nginx.close()
        ours.close()
    return met


def compare_puts(name, make_other, flags, case, target, rounds):
    """Rates of the same load on both sides, in turn."""
    connections, files, size = case
    ratios, cpu = [], []
    for _ in range(rounds):
        other, ours = make_other(), Calotype("--accept", "*/*", *flags)
        try:
            put_load(other, connections, min(files, 2), size, "/warm")
            put_load(ours, connections, min(files, 2), size)
            theirs = put_load(other, connections, files, size, "/")
            mine = put_load(ours, connections, files, size)
        finally:
            other.close()
            ours.close()
        ratios.append(mine[0] / theirs[0])
        cpu.append(mine[2] / max(theirs[2], 0.01))
    return row(name, ratios, target, False, f"{mine[0]:.0f} to {theirs[0]:.0f} MB/s, "
               f"CPU {statistics.median(cpu):.2f}")


def puts(rounds):
    big, middle, small = (4, 12, 100_000_000), (4, 120, 5_000_000), (16, 1600, 50_000)
    met = True
    for durability, target in (("strict", 0.9), ("async", 1.2)):
        flags = ("--durability", durability)
        met &= compare_puts(f"PUT of 5 MB, {durability}: rate, to nginx WebDAV", Nginx, flags, middle,
                            target, rounds)
        met &= compare_puts(f"PUT of 100 MB, {durability}: rate, to nginx WebDAV", Nginx, flags, big,
                            target, rounds)
    met &= compare_puts("PUT of 100 MB, strict: rate, to a bare receive loop",
                        lambda: Bare("stream"), (), big, 0.7, rounds)
    met &= compare_puts("PUT of 5 MB, strict: rate, to a bare receive loop",
                        lambda: Bare("stream"), (), middle, 0.6, rounds)
    met &= compare_puts("PUT of 50 KB, 16 clients, strict: to bare batches",
                        lambda: Bare("batch"), (), small, 0.8, rounds)
    return met


def photos(rounds, count):
    """CPU of server and workers for photos sent whole until they are ready, to a plain process."""
    ratios = []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="calotype-photo-"))
    seed = harness.image("photo.jpg")
    (folder / "photo.jpg").write_bytes(seed)
    for _ in range(rounds):
        before = os.times()
        subprocess.run([BUILD / "plain-develop", folder / "photo.jpg", "image/jpeg", str(count)],
                       check=True)
        after = os.times()
        plain = sum(after[2:4]) - sum(before[2:4])
        ours = Calotype()
        try:
            begun = cpu_s(ours.pids())
            for number in range(count):  # new content each time, behind the end of the picture
                ours.server.upload(seed + str(number).encode())
            used = cpu_s(ours.pids()) - begun
        finally:
            ours.close()
        ratios.append(used / plain)
    shutil.rmtree(folder, ignore_errors=True)
    return row("12 MP photo to ready: CPU, to one plain process", ratios, 1.1, True,
               f"{used / count * 1000:.0f} to {plain / count * 1000:.0f} ms a photo")
