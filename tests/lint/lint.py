#!/usr/bin/env python3
"""The rules of the house that a program can check: layer order of includes, one home for each
foreign library, banned functions, file sizes, the layout of .clang-format where that program is
installed, and that the Dockerfile builds with the packages of tools/packages.sh. Prints each breach
as path:line: text; exit 1 if any."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
if ROOT.is_file():
    ROOT = ROOT.parents[2]

# A file includes only its own folder and those before it (src/README.md).
LAYERS = ["calotype", "base", "storage", "config", "metrics", "metadata", "http", "events", "jobs",
          "images", "imaging", "uploads", "cache", "delivery", "search", "page", "operations", "app"]

# header pattern -> the files that may include it
HOMES = {
    r"microhttpd\.h": r"(src/http|tests/fuzz)/[^/]+\.c",
    r"curl/.*": r"src/base/http_client\.c",
    r"magic\.h": r"src/uploads/sniff\.c",
    r"sqlite3\.h": r"src/metadata/[^/]+(\.c|_priv\.h)",
    r"libpq-fe\.h": r"src/metadata/[^/]+\.c",
    r"openssl/.*": r"(src/base/[^/]+|tests/bench/bare-receiver)\.c",
    r"jansson\.h": r"src/base/json\.c",
    r"ini\.h": r"src/config/[^/]+\.c",
    r"vips/.*": r"(src/imaging/worker/[^/]+(\.c|_priv\.h|\.h)|tests/data/[^/]+\.c)",
    r"webp/.*": r"(src/imaging/worker|tests/unit/imaging)/[^/]+\.c",
    r"(glib|gmodule).*": r"src/imaging/worker/[^/]+\.c",
    r"zlib\.h": r"tests/(data|fault)/[^/]+\.c",
    r"seccomp\.h": r"src/imaging/worker/[^/]+\.c",
    r"linux/landlock\.h": r"src/imaging/worker/[^/]+\.c",
    r"criterion/.*": r"tests/.*\.[ch]",
}

BANNED = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|strtok|gets|alloca|atoi|atol)\s*\(")
GOTO = re.compile(r"^\s*goto\s+\w+;")
MAX_C_LINES, MAX_H_LINES, MAX_COLUMNS, MAX_FUNCTION_LINES = 800, 149, 100, 70
MAX_TEST_H_LINES = 200


def layer_of(path):
    """The layer number of a file of ours, or None for tests."""
    parts = path.parts
    if parts[0] == "include":
        return 0
    if parts[0] == "storage":
        return LAYERS.index("storage")
    if parts[0] == "src":
        return LAYERS.index(parts[1]) if len(parts) > 2 else LAYERS.index("app")
    return None


def check_include(path, target, system):
    for pattern, home in HOMES.items():
        if re.fullmatch(pattern, target) and not re.fullmatch(home, str(path)):
            return f"<{target}> has its home in {home}"
    local = path.parts[0] in ("tests", "tools") or len(path.parts) == 2 or target.endswith(".inc")
    if system or ("/" not in target and local):
        return None
    folder = target.split("/")[0]
    if folder not in LAYERS:
        return f'"{target}" is not named from the root of the layers'
    if path.parts[0] == "tools" and folder not in ("calotype", "base"):
        return f'"{target}": the client knows base/ and calotype/ only'
    layer = layer_of(path)
    if layer is not None and LAYERS.index(folder) > layer:
        return f'"{target}" lies above {"/".join(path.parts[:-1])}'
    return None


def strip_comments(text):
    blank = lambda m: re.sub(r"[^\n]", " ", m.group(0))
    text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"', lambda m: '"' + " " * (len(m.group(0)) - 2) + '"', text)
    return re.sub(r"//[^\n]*", blank, text)


def check_file(path):
    raw = (ROOT / path).read_text(encoding="utf-8")
    lines = raw.splitlines()
    header = MAX_TEST_H_LINES if path.parts[0] == "tests" else MAX_H_LINES
    limit = header if path.suffix == ".h" else MAX_C_LINES
    if len(lines) > limit:
        yield 1, f"{len(lines)} lines, at most {limit}"
    code = strip_comments(raw).splitlines()
    for number, line in enumerate(lines, 1):
        if len(line.expandtabs(8)) > MAX_COLUMNS:
            yield number, f"longer than {MAX_COLUMNS} columns"
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if match:
            breach = check_include(path, match.group(2), match.group(1) == "<")
            if breach:
                yield number, breach
    begun = None
    for number, line in enumerate(code, 1):
        if line == "{":
            begun = number
        if line.startswith("}") and begun:
            if number - begun > MAX_FUNCTION_LINES:
                yield begun, f"a function of {number - begun} lines, at most {MAX_FUNCTION_LINES}"
            begun = None
        if BANNED.search(line):
            yield number, f"banned function: {BANNED.search(line).group(1)}"
        if GOTO.match(line):
            yield number, "goto"


def check_layout(files):
    if not shutil.which("clang-format"):
        print("lint: clang-format is not installed, so the layout is not checked")
        return
    code = [str(f) for f in files if f.suffix != ".def"]  # tables are laid out by hand
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *code], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    found = re.findall(r"^(.+?):(\d+):\d+: error: (.*)$", done.stderr, re.M)
    if done.returncode and not found:
        yield pathlib.Path(".clang-format"), 1, done.stderr[:500]
    for path, number, text in found:
        yield pathlib.Path(path), int(number), f"{text} (clang-format -i mends it)"


def check_packages():
    """The image is built with what tools/run builds with, or it would break unnoticed."""
    script = pathlib.Path("tools/packages.sh")
    dockerfile = pathlib.Path("docker/Dockerfile")
    wanted = re.search(r'^build_packages="([^"]*)"', (ROOT / script).read_text(), re.M)
    stage = re.search(r"AS build\nRUN (.*?[^\\])\n", (ROOT / dockerfile).read_text(), re.S)
    if not wanted or not stage:
        yield dockerfile, 1, f"{script} or the first stage here reads in another way than lint knows"
        return
    installed = stage.group(1).split("--no-install-recommends", 1)[-1].replace("\\", " ").split()
    for package in sorted(set(wanted.group(1).split()) ^ set(installed)):
        where = "only there" if package in installed else f"only in {script}"
        yield dockerfile, 1, f"the package {package} is {where}"


def check_metrics():
    """A row that nobody counts is a figure that is always 0."""
    path = pathlib.Path("src/metrics/metrics.def")
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "src").rglob("*.c"))
    for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r"CT_(?:SERIES|TIMING)\((\w+),", line)
        if match and not re.search(rf"\bCT_METRIC_{match.group(1)}\b", code):
            yield path, number, f"nobody counts {match.group(1)}"


def main():
    files = sorted(p.relative_to(ROOT) for top in ("include", "src", "storage", "tools", "tests")
                   for p in (ROOT / top).rglob("*") if p.suffix in (".c", ".h", ".def"))
    breaches = [(f, n, text) for f in files for n, text in check_file(f)]
    breaches += [*check_layout(files), *check_packages(), *check_metrics()]
    for path, number, text in breaches:
        print(f"{path}:{number}: {text}")
    print(f"lint: {len(files)} files, {len(breaches)} breaches")
    return 1 if breaches or not files else 0


if __name__ == "__main__":
    sys.exit(main())
