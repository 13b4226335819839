"""What an installed Calotype consists of: the tree that `meson install` makes, the unit and its
socket, the sample configuration, the man pages, the completions of bash."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness
from harness import CLIENT, ROOT, SERVER, Server, image

TOOLS = harness.BUILD / "tools"
SERVICE = TOOLS / "calotyped.service"
MAX_EXPOSURE = 20  # of 100, by the reckoning of systemd-analyze: the network itself counts most

def run(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True,
                          timeout=60, check=False, **more)


def help_of(*command):
    done = run(SERVER, *command, "--help")
    assert done.returncode == 0, done
    return done.stdout


def commands():
    """`key` and whatever else calotyped can do."""
    return re.findall(r"^       calotyped ([a-z]+) ", help_of(), re.M)


def options_in(text):
    """Those that a help names at the beginning of its lines."""
    lines = "\n".join(re.findall(r"^  (?:-., )?(--.*)$", text, re.M))
    return set(re.findall(r"(?:^|, )--([a-z-]+)", lines, re.M))


def table():
    """(name in a file, default) of each row of options.def."""
    text = (ROOT / "src/config/options.def").read_text()
    rows = re.findall(r'^CT_ROW\((\w+), \w+, "([a-z-]+)", ("[^"]*"|\w+),', text, re.M)
    assert len(rows) == len(re.findall(r"^CT_ROW\(", text, re.M)) > 20
    for field, flag, default in rows:
        yield flag.replace("-", "_"), default.strip('"') if default[0] == '"' else None


class Sample(unittest.TestCase):
    def test_it_has_each_option_once_with_its_default(self):
        text = (TOOLS / "calotyped.ini").read_text()
        there = re.findall(r"^#(\w+) =(?: (.*))?$", text, re.M)
        wanted = list(table())
        self.assertEqual([name for name, _ in there], [name for name, _ in wanted])
        for (name, default), (_, right) in zip(there, wanted):
            if right is not None:  # else a macro
                self.assertEqual(default, right, name)
        for line in text.splitlines():
            self.assertTrue(line == "" or line.startswith("#"), line)
            self.assertLess(len(line), 190)

    def test_a_server_starts_with_all_of_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "calotyped.ini")
            text = re.sub(r"^#(\w+ =)", r"\1", (TOOLS / "calotyped.ini").read_text(), flags=re.M)
            path.write_text(text.replace("max_file = 200M", "max_file = 5K"))
            with Server("--config", str(path)) as server:
                self.assertEqual(server.get("/readyz").status, 200)
                self.assertEqual(server.request("OPTIONS", "/uploads")["Tus-Max-Size"], "5120")


class Page(unittest.TestCase):
    def test_it_names_each_option_and_command(self):
        page = (TOOLS / "calotyped.8").read_text().replace("\\-", "-")
        options = options_in(help_of())
        self.assertGreater(len(options), 20)
        for option in options:
            self.assertIn(f"Fl -{option}", page)
        self.assertIn("key", commands())
        for command in commands():
            self.assertIn(f".Cm {command}", page)
            for option in options_in(help_of(command)) - {"help"}:
                self.assertRegex(page, f"(?m)Fl -{option}\\b|^ .*--{option}\\b", f"{command} --{option}")
        for name, _ in table():
            if name == "api_key":
                self.assertIn("Ev CALOTYPE_API_KEY , CALOTYPE_API_KEY_FILE", page)
            else:
                self.assertIn(f".It Fl -{name.replace('_', '-')}", page)
        self.assertNotIn("@", page)

    def test_pages_are_well_formed(self):
        for page in (TOOLS / "calotyped.8", ROOT / "tools/calotype.1"):
            done = run("mandoc", "-Tlint", "-Wwarning", page)
            self.assertEqual((done.returncode, done.stdout), (0, ""))


class Completion(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="calotype-completion-")
        for name in ("one photo.jpg", "other.png"):
            pathlib.Path(cls.folder, name).write_text("")
        pathlib.Path(cls.folder, "open").mkdir()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def complete(self, program, *words):
        """What a bash offers for the last word."""
        name = program.name
        script = ('. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  f'f=$(complete -p {name}); [[ $f == "complete -F _{name} {name}" ]] || exit 9; '
                  f'_{name} {name} "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = run("bash", "--norc", "-uc", script, "bash", ROOT / "tools/completion" / name,
                   program, *words, cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return sorted(done.stdout.split("\n")[:-1]) if done.stdout.strip() else []

    def test_client(self):
        every = ["get", "ls", "put", "rm", "status"]
        self.assertEqual(self.complete(CLIENT, ""), every)
        self.assertEqual(self.complete(CLIENT, "--url", "http://x", "p"), ["put"])
        for command in every:
            text = run(CLIENT, command, "--help").stdout
            self.assertEqual(self.complete(CLIENT, command, "--"),
                             sorted(f"--{option}" for option in options_in(text)))
        files = ["one photo.jpg", "open", "other.png"]
        self.assertEqual(self.complete(CLIENT, "put", "o"), files)
        self.assertEqual(self.complete(CLIENT, "put", "--no-wait", "other.png", "one"), files[:1])
        self.assertEqual(self.complete(CLIENT, "get", "abc", "-o", "ot"), ["other.png"])
        self.assertEqual(self.complete(CLIENT, "get", ""), [])
        self.assertEqual(self.complete(CLIENT, "ls", "--state", ""), ["failed", "pending", "ready"])
        self.assertEqual(self.complete(CLIENT, "ls", "--limit", ""), [])

    def test_server(self):
        self.assertEqual(self.complete(SERVER, "--"),
                         sorted(f"--{option}" for option in options_in(help_of())))
        self.assertEqual(self.complete(SERVER, ""), sorted(commands()))
        for flag, words in re.findall(r"^  (--[a-z-]+) (\w+\|[\w|]+)$", help_of(), re.M):
            self.assertEqual(self.complete(SERVER, flag, ""), sorted(words.split("|")))
        self.assertEqual(self.complete(SERVER, "--log-level", "=", "w"), ["warning"])
        self.assertEqual(self.complete(SERVER, "--log-level", "="),
                         ["debug", "error", "info", "warning"])
        self.assertEqual(self.complete(SERVER, "--data", "o"), ["open"])
        self.assertEqual(self.complete(SERVER, "--config", "ot"), ["other.png"])
        self.assertEqual(self.complete(SERVER, "--max-file", ""), [])
        self.assertEqual(self.complete(SERVER, "key", ""), ["add", "list", "revoke"])
        self.assertEqual(self.complete(SERVER, "key", "add", "--scope", "w"), ["write"])
        self.assertEqual(self.complete(SERVER, "key", "add", "--data", "o"), ["open"])
        for command in commands():
            self.assertEqual(self.complete(SERVER, command, "x", "--"),
                             sorted(f"--{option}" for option in options_in(help_of(command))))


class Installed(unittest.TestCase):
    def test_it_is_whole_and_develops_a_photo(self):
        with tempfile.TemporaryDirectory(prefix="calotype-installed-") as folder:
            done = run("meson", "install", "-C", harness.BUILD, "--no-rebuild", "--quiet",
                       "--destdir", folder)
            self.assertEqual(done.returncode, 0, done)
            there = {str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*")
                     if p.is_file()}
            [program] = [p for p in there if p.endswith("/bin/calotyped")]
            prefix = program.removesuffix("/bin/calotyped")
            for name in ("bin/calotype", "libexec/calotype-worker", "share/man/man1/calotype.1",
                         "share/man/man8/calotyped.8", "share/doc/calotype/README.md",
                         "share/doc/calotype/calotyped.ini", "share/doc/calotype/LICENSE",
                         "share/bash-completion/completions/calotype",
                         "share/bash-completion/completions/calotyped",
                         "lib/systemd/system/calotyped.service",
                         "lib/systemd/system/calotyped.socket"):
                self.assertIn(f"{prefix}/{name}", there)
            unit = pathlib.Path(folder, prefix, "lib/systemd/system/calotyped.service").read_text()
            self.assertIn(f"ExecStart=/{program}\n", unit)
            with Server(program=pathlib.Path(folder, program)) as server:
                self.assertEqual(server.upload(image())["state"], "ready")
            pathlib.Path(folder, prefix, "libexec/calotype-worker").unlink()
            done = run(pathlib.Path(folder, program), "--check-sandbox")
            self.assertEqual(done.returncode, 1)
            self.assertIn("worker is not found", done.stderr)


class Unit(unittest.TestCase):
    """Nothing here needs a running systemd, only its programs."""

    def lines(self, name):
        return re.findall(rf"^{name}=(.*)$", SERVICE.read_text(), re.M)

    def test_systemd_understands_it_and_finds_it_closed(self):
        with tempfile.TemporaryDirectory() as folder:
            text = re.sub(r"^ExecStart=.*", f"ExecStart={SERVER}", SERVICE.read_text(), flags=re.M)
            unit = pathlib.Path(folder, "calotyped.service")
            unit.write_text(text)
            shutil.copy(ROOT / "tools/systemd/calotyped.socket", folder)
            done = run("systemd-analyze", "verify", "--man=no", unit, f"{folder}/calotyped.socket")
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
            done = run("systemd-analyze", "security", "--offline=yes", "--no-pager",
                       f"--threshold={MAX_EXPOSURE}", unit)
            self.assertEqual(done.returncode, 0, done.stdout)

    def test_the_stop_may_take_as_long_as_the_server_gives_it(self):
        default = dict(table())["shutdown_timeout"]
        self.assertGreater(int(self.lines("TimeoutStopSec")[0]), int(default) + 10)

    def allowed_calls(self):
        """What the lines of SystemCallFilter= let through, in their order."""
        def names(group):
            done = run("systemd-analyze", "syscall-filter", group)
            self.assertEqual(done.returncode, 0, done)
            found = set()
            for word in re.findall(r"^    (\S+)$", done.stdout, re.M):
                found |= names(word) if word.startswith("@") else {word}
            return found
        allowed = names("@default")
        for line in self.lines("SystemCallFilter"):
            for word in line.removeprefix("~").split():
                calls = names(word) if word.startswith("@") else {word}
                allowed = allowed - calls if line.startswith("~") else allowed | calls
        return allowed

    def test_its_filter_leaves_server_and_worker_what_they_need(self):
        allowed = self.allowed_calls()
        self.assertNotIn("mount", allowed)
        # Orc, by which libvips computes, crashes where it may not write code.
        self.assertEqual(self.lines("MemoryDenyWriteExecute"), [])
        with tempfile.TemporaryDirectory() as folder:
            trace = pathlib.Path(folder, "trace")
            wrap = ["strace", "-f", "-qq", "-s", "0", "-o", str(trace)]
            with Server(wrap=wrap) as server:
                self.assertEqual(server.upload(image())["state"], "ready")
                child = run("ps", "-o", "pid=", "--ppid", server.process.pid).stdout.split()[0]
                os.kill(int(child), signal.SIGTERM)
                server.process.wait(40)
            text = trace.read_text()
        calls = set(re.findall(r"^\d+ +([a-z_0-9]+)\(", text, re.M))
        self.assertIn("landlock_create_ruleset", calls)
        # The worker tries whether its own filter refuses ptrace; SQLite gives its files to the
        # owner of the database, where root opens it.
        others = {"ptrace", "fchown"} if os.geteuid() == 0 else {"ptrace"}
        self.assertEqual(calls - allowed - others, set())

    def test_it_starts_by_its_socket_with_the_key_of_the_unit(self):
        with tempfile.TemporaryDirectory() as folder:
            data = f"{folder}/lib/calotype"
            os.makedirs(data)
            key = run(SERVER, "key", "add", "--scope", "read,write,admin", "--data", data).stdout
            pathlib.Path(folder, "key").write_text(key)
            shutil.copy(TOOLS / "calotyped.ini", folder)
            words = [line.replace("%d", folder).replace("%S", f"{folder}/lib")
                     for line in self.lines("Environment")]
            self.assertIn("CALOTYPE_LISTEN=systemd", words)
            manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            manager.bind(f"{folder}/notify")
            manager.settimeout(20)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            server = Server()
            server.port, server.key = port, key.strip()
            with open(f"{folder}/log", "wb") as log, manager:
                process = subprocess.Popen(
                    ["systemd-socket-activate", "-l", f"127.0.0.1:{port}",
                     *(word for line in [*words, f"NOTIFY_SOCKET={folder}/notify"]
                       for word in ("-E", line)), str(SERVER)],
                    stdout=subprocess.DEVNULL, stderr=log)
                try:
                    self.wait_listening(port)
                    # The first request starts it, and waits in the socket until it is there.
                    self.assertEqual(server.upload(image())["state"], "ready")
                    self.assertEqual(manager.recv(100), b"READY=1")
                    server.key = None
                    self.assertEqual(server.get("/images").status, 401)
                    process.send_signal(signal.SIGTERM)
                    self.assertEqual(manager.recv(100), b"STOPPING=1")
                    self.assertEqual(process.wait(40), 0)
                finally:
                    process.kill()
                    process.wait()
            self.assertNotIn("cannot_notify", pathlib.Path(folder, "log").read_text())

    def wait_listening(self, port):
        """Without a connection, which would start the server."""
        end = time.monotonic() + 20
        while f":{port:04X} 00000000:0000 0A" not in pathlib.Path("/proc/net/tcp").read_text():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)


if __name__ == "__main__":
    harness.main()
