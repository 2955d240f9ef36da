"""Small real pictures of a key: PNG, JPEG and GIF, the same bytes for the same key, without a library for images.

A picture is 32 by 16 fields of black and white that spell the SHA-256 of the key twice over: no two keys look alike,
and every decoder opens it. No text stands on it; nothing in the sandbox needs that.
"""

import base64
import hashlib
import struct
import zlib

_COLUMNS, _ROWS, _SIDE = 32, 16, 8
_WIDTH, _HEIGHT = _COLUMNS * _SIDE, _ROWS * _SIDE

# GIF is written without compression, so it gets fewer pixels.
_GIF_SIDE = 2

# Huffman tables in the form of ITU T.81, Annex B.2.4.2: how many codes there are of each length from 1 to 16 bits,
# then what they stand for. A field differs from the one before by nothing, 9 or 10 bits' worth, and has no detail.
_DC_CODES = bytes([1, 1, 1, *[0] * 13]) + bytes([0, 9, 10])
_AC_CODES = bytes([1, *[0] * 15]) + bytes([0])
_DC_PREFIX = {0: "0", 9: "10", 10: "110"}
_NO_DETAIL = "0"
# First coefficients in steps of 2: a grey g is (g - 128) * 8 / 2.
_WHITE, _BLACK = 508, -512


def picture(media_type: str, key: str) -> bytes:
    """Return a picture of `key` as `image/png`, `image/jpeg` or `image/gif`; KeyError for any other type."""
    return {"image/png": _png, "image/jpeg": _jpeg, "image/gif": _gif}[media_type](_fields(key))


def encoded_picture(media_type: str, key: str) -> str:
    """Return the picture as base64, as Kinguin puts it into `serial`."""
    return base64.b64encode(picture(media_type, key)).decode()


def _fields(key: str) -> list[list[bool]]:
    """Return the rows of fields, white as True."""
    digest = hashlib.sha256(key.encode()).digest() * 2
    bits = [bool(byte >> place & 1) for byte in digest for place in range(8)]
    return [bits[start : start + _COLUMNS] for start in range(0, len(bits), _COLUMNS)]


def _png(rows: list[list[bool]]) -> bytes:
    # One bit a pixel: a field is a byte, and each line begins with its filter, none.
    lines = b"".join(b"\0" + bytes(0xFF if white else 0 for white in row) for row in rows for _ in range(_SIDE))
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 1, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def _gif(rows: list[list[bool]]) -> bytes:
    # LZW without compression: a clear code before the table of the decoder would grow past codes of 3 bits.
    clear, end = 4, 5
    pixels = [int(white) for row in rows for _ in range(_GIF_SIDE) for white in row for _ in range(_GIF_SIDE)]
    codes = [code for start in range(0, len(pixels), 2) for code in (clear, *pixels[start : start + 2])]
    packed = sum(code << 3 * place for place, code in enumerate([*codes, end]))
    data = packed.to_bytes((3 * (len(codes) + 1) + 7) // 8, "little")
    blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
    width, height = _COLUMNS * _GIF_SIDE, _ROWS * _GIF_SIDE
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\2" + blocks + b"\0;"


def _jpeg(rows: list[list[bool]]) -> bytes:
    bits, before = "", 0
    for white in (each for row in rows for each in row):
        level = _WHITE if white else _BLACK
        bits, before = bits + _difference(level - before) + _NO_DETAIL, level
    bits += "1" * (-len(bits) % 8)
    # A byte of ones would begin a marker, unless a zero follows.
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    segments = (
        (0xE0, b"JFIF\0" + struct.pack(">HBHHBB", 0x0101, 0, 1, 1, 0, 0)),
        (0xDB, b"\0" + bytes([2] + [1] * 63)),
        (0xC0, struct.pack(">BHHB", 8, _HEIGHT, _WIDTH, 1) + b"\1\x11\0"),
        (0xC4, b"\0" + _DC_CODES),
        (0xC4, b"\x10" + _AC_CODES),
        (0xDA, b"\1\1\0\0\x3f\0"),
    )
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + head + data + b"\xff\xd9"


def _difference(steps: int) -> str:
    """Return the bits of a field's first coefficient, told as the difference to the field before."""
    size = abs(steps).bit_length()
    if not size:
        return _DC_PREFIX[0]
    # Negative numbers are spelled as the ones' complement.
    return _DC_PREFIX[size] + format(steps if steps > 0 else steps + (1 << size) - 1, f"0{size}b")
