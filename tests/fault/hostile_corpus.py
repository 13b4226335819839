"""Hostile images, each for a reason, written by hand or made of valid ones.

`corpus(valid, slow)` takes valid files by name ({"seed.png": bytes, ...}) and gives {name: bytes},
with those that run into the limit of time if `slow`. The suffix of a name is the type that is
claimed.
"""

import struct
import zlib

HUGE = 50000


# ---- PNG (W3C PNG, third edition)

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def zeros(count):
    """`count` bytes of 0, deflated, never held whole."""
    packer, block, parts = zlib.compressobj(1), bytes(1 << 20), []
    while count > 0:
        parts.append(packer.compress(block[:min(count, len(block))]))
        count -= len(block)
    return b"".join(parts) + packer.flush()


def png(width, height, bits=8, colour=2, interlaced=False, before=b"", data=None):
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if data is None:
        if interlaced:
            passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                      (1, 0, 2, 2), (0, 1, 1, 2))
            sizes = ((-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in passes)
        else:
            sizes = ((width, height),)
        data = zeros(sum(h * (-(-w * channels * bits // 8) + 1) for w, h in sizes))
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", data)
            + chunk(b"IEND", b""))


def pngs(slow):
    bomb = zeros((256 if slow else 64) << 20)
    yield "bomb-1bit", png(HUGE, HUGE, 1, 0, data=zeros(1 << 20))
    yield "bomb-49mp-rgba", png(7000, 7000, 8, 6)
    yield "adam7-49mp-grey", png(7000, 7000, 8, 0, True)
    yield "adam7-49mp-rgba", png(7000, 7000, 8, 6, True)
    if slow:
        yield "bomb-49mp-16bit", png(7000, 7000, 16, 2)
        yield "adam7-49mp-rgb", png(7000, 7000, 8, 2, True)
    yield "adam7-64mb-rgba16", png(2800, 2800, 16, 6, True)
    yield "adam7-giant", png(HUGE, HUGE, 16, 6, True, data=zeros(1 << 20))
    yield "wide", png(10_000_000, 5, 1, 0)
    yield "tall", png(5, 9_999_999, 1, 0)
    yield "size-0", png(0, 0, data=zeros(10))
    yield "size-max", png(0x7FFFFFFF, 0x7FFFFFFF, data=zeros(10))
    yield "size-negative", png(0xFFFFFFFF, 0xFFFFFFFF, data=zeros(10))
    yield "short-data", png(7000, 7000, data=zeros(100))
    yield "long-data", png(10, 10, data=zeros(64 << 20))
    yield "no-palette", png(100, 100, 8, 3)
    yield "palette-odd", png(100, 100, 8, 3, before=chunk(b"PLTE", bytes(7)))
    yield "bits-3", png(100, 100, 3, 2)
    yield "profile-bomb", png(50, 50, before=chunk(b"iCCP", b"x\0\0" + bomb))
    yield "text-bomb", png(50, 50, before=chunk(b"zTXt", b"x\0\0" + bomb))
    yield "itxt-bomb", png(50, 50, before=chunk(b"iTXt", b"x\0\1\0\0\0" + bomb))
    yield "texts-50000", png(50, 50, before=chunk(b"tEXt", b"a\0b") * 50000)
    yield "chunk-length", png(50, 50)[:33] + struct.pack(">I", 0xFFFFFFF0) + b"IDAT" + bytes(99)
    yield "bad-checksum", png(50, 50)[:-20] + bytes(20)
    yield "exif-odd", png(50, 50, before=chunk(b"eXIf", exif_loop()))


# ---- EXIF (CIPA DC-008): a TIFF structure

def entry(tag, kind, count, value):
    return struct.pack("<HHII", tag, kind, count, value)


def exif(*entries, after=b""):
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4) + after


def exif_loop():
    return exif(entry(0x8769, 4, 1, 8), entry(0x8825, 4, 1, 8), entry(0x014A, 4, 1, 8))


def exifs(slow):
    yield "loop", exif_loop()
    yield "far", exif(entry(0x8769, 4, 1, 0xFFFFFFF0), entry(0x010F, 2, 0xFFFFFFFF, 0x10))
    yield "count", exif(entry(0x010F, 2, 0x7FFFFFFF, 0), entry(0x9003, 5, 0xFFFFFFFF, 8))
    yield "orientation", exif(entry(0x0112, 3, 1, 0xFFFF))
    yield "orientations", exif(*[entry(0x0112, 3, 1, i) for i in range(1, 200)])
    yield "many", b"II*\0\x08\0\0\0\xff\xff" + entry(0x8769, 4, 1, 8) * 5000
    yield "thumbnail", exif(entry(0x0201, 4, 1, 10), entry(0x0202, 4, 1, 0xFFFFFFFF))
    yield "cut", b"II*\0"
    yield "noise", bytes(range(256)) * 200


# ---- JPEG (ITU-T T.81)

def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def find_frame(data):
    """Where the frame header begins."""
    return min(i for i in (data.find(b"\xff" + bytes([m])) for m in (0xC0, 0xC1, 0xC2)) if i > 0)


def jpeg_of_size(data, width, height):
    at = find_frame(data)
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def with_segments(data, *segments):
    return data[:2] + b"".join(segments) + data[2:]


def profile(data, count=1, number=1):
    return segment(0xE2, b"ICC_PROFILE\0" + bytes([number, count]) + data)


def icc(size, tags):
    head = struct.pack(">I4s", size, b"lcms") + b"\x04\0\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    return head.ljust(128, b"\0") + struct.pack(">I", tags) + b"".join(
        b"desc" + struct.pack(">II", 0x7FFFFFF0, 0x7FFFFFF0) for _ in range(min(tags, 100)))


def jpegs(baseline, progressive, slow):
    for name, source in (("baseline", baseline), ("progressive", progressive)):
        yield f"{name}-65500", jpeg_of_size(source, 65500, 65500)
        yield f"{name}-49mp", jpeg_of_size(source, 7000, 7000)
        yield f"{name}-0", jpeg_of_size(source, 0, 0)
        yield f"{name}-no-height", jpeg_of_size(source, 100, 0)
    scan = progressive[progressive.rfind(b"\xff\xda"):-2]
    yield "scans-50", progressive[:-2] + scan * 50 + b"\xff\xd9"
    yield "scans-3000", progressive[:-2] + scan * 3000 + b"\xff\xd9"
    # Empty scans of the largest picture that is let through: each is a walk over all of it.
    large = jpeg_of_size(progressive, 5000, 5000)
    yield "scans-25mp-500", large[:-2] + scan[:16] * 500 + b"\xff\xd9"
    yield "scans-25mp-20000", large[:-2] + scan[:16] * 20000 + b"\xff\xd9"
    for name, data in exifs(slow):
        yield f"exif-{name}", with_segments(baseline, segment(0xE1, b"Exif\0\0" + data[:65000]))
    yield "icc-cut", with_segments(baseline, profile(icc(5000, 10)[:60]))
    yield "icc-lies", with_segments(baseline, profile(icc(0xFFFFFFFF, 0xFFFFFF)))
    yield "icc-tags", with_segments(baseline, profile(icc(128 + 4 + 1200, 100)))
    yield "icc-part-missing", with_segments(baseline, profile(bytes(3000), 255, 7))
    yield "icc-255-parts", with_segments(
        baseline, *[profile(bytes(60000), 255, i) for i in range(1, 256)])
    xmp = b"http://ns.adobe.com/xap/1.0/\0"
    yield "xmp-open", with_segments(baseline, segment(0xE1, xmp + b"<x>" * 20000))
    yield "xmp-entities", with_segments(baseline, segment(
        0xE1, xmp + b'<!DOCTYPE x [<!ENTITY a "' + b"&b;" * 9000 + b'">]><x>&a;</x>'))
    yield "xmp-noise", with_segments(baseline, segment(0xE1, xmp + bytes(range(256)) * 250))
    yield "comments-2000", with_segments(baseline, *[segment(0xFE, bytes(100))] * 2000)
    yield "tables-bad", with_segments(baseline, segment(0xC4, b"\0" + b"\xff" * 16 + bytes(200)))
    yield "quantum-0", with_segments(baseline, segment(0xDB, bytes(65)))
    yield "restart-1", with_segments(baseline, segment(0xDD, b"\0\1"))
    yield "components-255", baseline[:find_frame(baseline) + 9] + b"\xff" + baseline[
        find_frame(baseline) + 10:]
    yield "arithmetic", baseline.replace(b"\xff\xc0", b"\xff\xc9", 1)
    yield "lossless", baseline.replace(b"\xff\xc0", b"\xff\xc3", 1)
    yield "fill-bytes", baseline[:2] + b"\xff" * 1_000_000 + baseline[2:]
    yield "only-markers", b"\xff\xd8" + b"\xff\xd0" * 500_000
    yield "head-only", baseline[:3]


# ---- GIF (89a)

def gif(width, height, body, colours=b"\0\0\0\xff\xff\xff"):
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + colours + body + b";"


def frame(width, height, x=0, y=0, data=b"\2\2D\1\0"):
    return b"," + struct.pack("<HHHHB", x, y, width, height, 0) + data


def gifs():
    control = b"!\xf9\x04\0\0\0\0\0"
    yield "65535", gif(65535, 65535, frame(65535, 65535))
    yield "canvas-49mp", gif(7000, 7000, frame(1, 1))
    yield "frame-49mp", gif(1, 1, frame(7000, 7000))
    yield "frame-outside", gif(10, 10, frame(10, 10, 65535, 65535))
    yield "frames-200000", gif(1, 1, (control + frame(1, 1)) * 200_000)
    yield "frames-5000-large", gif(7000, 7000, (control + frame(1, 1)) * 5000)
    yield "frames-100-of-1mp", gif(1000, 1000, (control + frame(1000, 1000)) * 100)
    yield "no-frame", gif(10, 10, b"")
    yield "size-0", gif(0, 0, frame(0, 0))
    yield "codes-bad", gif(100, 100, frame(100, 100, data=b"\x0c" + b"\xff" + b"\xff" * 255 + b"\0"))
    yield "code-size-255", gif(100, 100, frame(100, 100, data=b"\xff\1\0\0"))
    yield "extensions", gif(10, 10, b"!\xfe\x01a\0" * 200_000 + frame(10, 10))
    yield "comment-open", gif(10, 10, b"!\xfe" + b"\xffa" * 100_000)
    yield "script", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1);"


# ---- WebP (RFC 9649)

def riff(*chunks):
    body = b"WEBP" + b"".join(
        k + struct.pack("<I", len(d)) + d + bytes(len(d) % 2) for k, d in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def canvas(width, height, flags=2):
    return b"VP8X", bytes([flags, 0, 0, 0]) + struct.pack("<I", width - 1)[:3] + struct.pack(
        "<I", height - 1)[:3]


def webps(still):
    inner = still[12:]
    move = (b"ANMF", bytes(6) + struct.pack("<I", 0)[:3] + struct.pack("<I", 0)[:3] + bytes(4) + inner)
    yield "canvas-16384", riff(canvas(16384, 16384), (b"ANIM", bytes(6)), move)
    yield "canvas-49mp", riff(canvas(7000, 7000), (b"ANIM", bytes(6)), move)
    yield "canvas-max", riff(canvas(1 << 24, 1 << 24), (b"ANIM", bytes(6)), move)
    yield "frames-5000", riff(canvas(100, 100), (b"ANIM", bytes(6)), *[move] * 5000)
    yield "lossless-16383", riff((b"VP8L", b"\x2f" + struct.pack("<I", 0xFFFFFFF) + bytes(100)))
    yield "lossy-16383", riff((b"VP8 ", b"\x10\2\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(100)))
    yield "riff-length", still[:4] + b"\xff\xff\xff\xff" + still[8:]
    yield "chunk-length", still[:16] + b"\xf0\xff\xff\xff" + still[20:]
    yield "exif-only", riff(canvas(10, 10, 8), (b"EXIF", exif_loop()))
    yield "icc-lies", riff(canvas(100, 100, 0x20), (b"ICCP", icc(0xFFFFFFFF, 0xFFFF)),
                           (inner[:4], inner[8:]))


# ---- HEIF (ISO/IEC 23008-12)

def heifs(source):
    for box, skip, name in ((b"ispe", 8, "size"), (b"iloc", 12, "places"), (b"ipma", 8, "links"),
                            (b"infe", 8, "items"), (b"pitm", 8, "primary")):
        at = source.find(box) + skip
        for value in (0, 1, 0x1B58, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF):
            yield f"{name}-{value:x}", source[:at] + struct.pack(">I", value) + source[at + 4:]
    at = source.find(b"ispe") + 8
    yield "size-49mp", source[:at] + struct.pack(">II", 7000, 7000) + source[at + 8:]
    yield "size-huge", source[:at] + struct.pack(">II", 1 << 30, 1 << 30) + source[at + 8:]
    meta = source.find(b"meta") - 4
    yield "meta-length", source[:meta] + b"\xff\xff\xff\xf0" + source[meta + 4:]
    yield "meta-0", source[:meta] + bytes(4) + source[meta + 4:]
    nested = b"".join(struct.pack(">I", 8 * (5000 - i)) + b"meta" for i in range(5000))
    yield "nested-5000", source[:meta] + nested
    yield "brands", struct.pack(">I", 400_008) + b"ftyp" + b"mif1" * 100_000 + source[32:]


# ---- TIFF 6.0

def tiffs(source):
    def of(*entries, rest=b""):
        return exif(*entries, after=rest)

    def plain(width, height, strip, count):
        return of(entry(256, 4, 1, width), entry(257, 4, 1, height), entry(258, 3, 1, 8),
                  entry(259, 3, 1, 1), entry(262, 3, 1, 1), entry(273, 4, 1, 8),
                  entry(278, 4, 1, height), entry(279, 4, 1, count), rest=bytes(strip))

    yield "entries-65535", b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 600
    yield "loop", b"II*\0\x08\0\0\0\0\0\x08\0\0\0"
    yield "size-huge", plain(0x7FFFFFFF, 0x7FFFFFFF, 100, 100)
    yield "strip-49mp", plain(7000, 7000, 100, 100)
    yield "strip-count", plain(100, 100, 100, 0xFFFFFFFF)
    yield "strip-short", plain(5000, 5000, 1000, 25_000_000)
    yield "strips-many", of(entry(256, 4, 1, 10), entry(257, 4, 1, 10), entry(278, 4, 1, 1),
                            entry(273, 4, 0x3FFFFFFF, 8), entry(279, 4, 0x3FFFFFFF, 8))
    yield "tiles-huge", of(entry(256, 4, 1, 7000), entry(257, 4, 1, 7000), entry(258, 3, 1, 8),
                           entry(262, 3, 1, 1), entry(322, 4, 1, 1 << 30), entry(323, 4, 1, 1 << 30),
                           entry(324, 4, 1, 8), entry(325, 4, 1, 100), rest=bytes(100))
    yield "channels-65535", of(entry(256, 4, 1, 1000), entry(257, 4, 1, 1000), entry(258, 3, 1, 8),
                               entry(277, 3, 1, 65535), entry(262, 3, 1, 1), entry(273, 4, 1, 8),
                               entry(279, 4, 1, 1000), rest=bytes(1000))
    pages = b"".join(struct.pack("<H", 1) + entry(256, 4, 1, 1) + struct.pack("<I", 8 + 18 * (i + 1))
                     for i in range(20_000))
    yield "pages-20000", b"II*\0\x08\0\0\0" + pages
    yield "big", b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + b"\xff" * 100
    yield "sub-loop", source + exif_loop()


# ---- what is two things, or none

def polyglots(valid):
    jpeg, png_file, gif_file = valid["seed.jpg"], valid["seed.png"], valid["seed.gif"]
    page = b"<html><script>alert(1)</script>"
    yield "html-in-comment.jpg", with_segments(jpeg, segment(0xFE, page))
    yield "zip-behind.jpg", jpeg + b"PK\3\4" + bytes(100) + b"PK\5\6" + bytes(18)
    yield "php-behind.png", png_file + b"<?php system($_GET[0]); ?>"
    yield "jar-behind.gif", gif_file + b"PK\3\4" + bytes(100)
    yield "png-behind.jpg", jpeg + png_file
    yield "jpeg-behind.png", png_file + jpeg
    yield "gif-is-png.gif", png_file
    yield "png-is-jpeg.png", jpeg
    yield "heic-is-avif.heic", valid["seed.avif"]
    yield "jpeg-is-tiff.jpg", valid["seed.tif"]
    yield "pdf.jpg", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n" + jpeg
    yield "mvg.jpg", b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://127.0.0.1/\"|ls \"-la)'\n"
    yield "svg.png", (b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
                      b'<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>')
    yield "exr.jpg", b"\x76\x2f\x31\x01" + bytes(100)
    yield "fits.jpg", b"SIMPLE  =                    T".ljust(2880)
    yield "elf.png", b"\x7fELF" + bytes(1000)
    yield "empty.jpg", b""
    yield "one-byte.gif", b"G"
    yield "zeros.png", bytes(100_000)


def corpus(valid, slow):
    files = {}

    def add(suffix, pairs):
        for name, data in pairs:
            files[f"{suffix}-{name}.{suffix}"] = data

    add("png", pngs(slow))
    add("jpg", jpegs(valid["seed.jpg"], valid["seed-progressive.jpg"], slow))
    add("gif", gifs())
    add("webp", webps(valid["seed.webp"]))
    add("heic", heifs(valid["seed.heic"]))
    add("avif", heifs(valid["seed.avif"]))
    add("tif", tiffs(valid["seed.tif"]))
    for name, data in polyglots(valid):
        files[f"polyglot-{name}"] = data
    for name, data in valid.items():
        stem, suffix = name.rsplit(".", 1)
        for percent in range(10, 100, 10):
            files[f"cut-{stem}-{percent}.{suffix}"] = data[:len(data) * percent // 100]
    return files
