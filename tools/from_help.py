#!/usr/bin/env python3
"""Makes what repeats the options of calotyped, so that it cannot differ from them:
`from_help.py CALOTYPED ini` the sample configuration, `from_help.py CALOTYPED man PAGE.in NAME=TEXT...`
the man page with the options in place of @OPTIONS@, what commands there are beside `key` in place of
@SYNOPSIS@ and @COMMANDS@, and TEXT in place of @NAME@. Both go to standard output."""

import re
import subprocess
import sys
import textwrap

NOT_IN_A_FILE = ("config", "check-sandbox", "help", "version")


def read_help(program, *command):
    return subprocess.run([program, *command, "--help"], check=True, capture_output=True,
                          text=True).stdout


def read_options(program):
    """(flag, argument, help, default) for each; a secret has no flag but a variable's name."""
    for head, about in re.findall(r"^  (--.*|CALOTYPE_.*)\n {8}(.*)$", read_help(program), re.M):
        about, default = re.fullmatch(r"(.*?)(?: \[(.*)\])?", about).groups()
        name, _, argument = head.partition(" ")
        yield name.removeprefix("--").rstrip(","), argument, about, default or ""


def make_ini(options):
    yield "# Options of calotyped, each with its default: remove the # before the name to change one."
    yield "# A flag (--max-file 300M) or a variable (CALOTYPE_MAX_FILE) wins over this file."
    yield "# Sizes take K, M, G and T, powers of 1024; yes and no are words. See calotyped(8)."
    for name, argument, about, default in options:
        if name in NOT_IN_A_FILE:
            continue
        name = name.removeprefix("CALOTYPE_").lower().replace("-", "_")
        choices = f" ({argument})" if "|" in argument else ""
        yield ""
        yield from textwrap.wrap(about + choices, 90, initial_indent="# ",
                                 subsequent_indent="# ", break_long_words=False)
        yield f"#{name} = {default}".rstrip()


def escape(text):
    """For a line of mdoc, of which no word is a macro."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return ("\\&" + text) if text[:1] in (".", "\\") else text


def make_list(options):
    yield ".Bl -tag -width Ds"
    for name, argument, about, default in options:
        if name.startswith("CALOTYPE_"):
            yield f".It Ev {name} , {name}_FILE"
        elif name == "help":
            yield ".It Fl \\-help , Fl \\-version"
        else:
            yield f".It Fl \\-{escape(name)}" + (f" Ar {escape(argument)}" if argument else "")
        yield escape(about[0].upper() + about[1:] + ".")
        if default:
            yield "Default:"
            yield f".Li {escape(default)} ."
    yield ".El"


def read_commands(program):
    """The names of those that the page does not describe by itself."""
    names = re.findall(r"^       calotyped ([a-z]+) ", read_help(program), re.M)
    return [name for name in names if name != "key"]


def make_synopsis(commands):
    for name in commands:
        yield ".Nm"
        yield f".Cm {name}"
        yield ".Op Ar option ..."


def make_commands(program, commands):
    for name in commands:
        yield f".Ss Command {name}"
        yield ".Bd -literal"
        for line in read_help(program, name).rstrip().splitlines():
            yield escape(line)
        yield ".Ed"


def main():
    program, kind = sys.argv[1:3]
    options = list(read_options(program))
    if not options:
        sys.exit(f"{program} --help reads in another way than this program knows")
    if kind == "ini":
        print("\n".join(make_ini(options)))
        return
    with open(sys.argv[3], encoding="utf-8") as file:
        page = file.read()
    commands = read_commands(program)
    texts = {"OPTIONS": "\n".join(make_list(options)),
             "SYNOPSIS": "".join(line + "\n" for line in make_synopsis(commands)),
             "COMMANDS": "".join(line + "\n" for line in make_commands(program, commands)),
             **dict(word.split("=", 1) for word in sys.argv[4:])}
    print(re.sub(r"@([A-Z]+)@", lambda match: texts[match.group(1)], page), end="")


if __name__ == "__main__":
    main()
