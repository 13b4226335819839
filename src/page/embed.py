#!/usr/bin/env python3
"""Makes C source of the page's files: embed.py OUTPUT FILE...

The version is a digest of all of them together, and takes the place of @version@ in the document
(index.html): what it loads lies under /page/<version>/, so that relative imports between the
modules need no rewriting, and no answer of another build is ever mixed in."""

import gzip
import hashlib
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def digest(parts):
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def array(name, data):
    rows = [data[at:at + 20] for at in range(0, len(data), 20)]
    body = ",\n".join("\t" + ",".join(str(byte) for byte in row) for row in rows)
    return f"static const unsigned char {name}[] = {{\n{body}\n}};\n"


def main():
    output, paths = pathlib.Path(sys.argv[1]), [pathlib.Path(p) for p in sorted(sys.argv[2:])]
    files = {path.name: path.read_bytes() for path in paths}
    version = digest([part for name, data in files.items() for part in (name.encode(), data)])
    text = ['#include "page/assets.h"\n', f'const char ct_page_version[] = "{version}";\n']
    rows = []
    for number, (name, data) in enumerate(files.items()):
        data = data.replace(b"@version@", version.encode())
        packed = gzip.compress(data, 9, mtime=0)
        text += [array(f"plain_{number}", data), array(f"gzip_{number}", packed)]
        rows.append(f'\t{{ "{name}", "{TYPES[pathlib.Path(name).suffix]}", "{digest([data])}",\n'
                    f"\t  plain_{number}, sizeof(plain_{number}),\n"
                    f"\t  gzip_{number}, sizeof(gzip_{number}) }},\n")
    text += ["const struct ct_page_asset ct_page_assets[] = {\n", *rows, "};\n",
             f"const size_t ct_page_asset_count = {len(files)};\n"]
    output.write_text("".join(text), encoding="ascii")


if __name__ == "__main__":
    main()
