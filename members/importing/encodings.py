"""Which encoding a text file is in: found on the bytes, proved by decoding all of them."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

BLOCK_BYTES = 1024 * 1024
SAMPLE_BYTES = 64 * 1024
CONTROLS = bytes(set(range(32)) - set(b"\t\r\n\v\f"))
BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Unreadable(Exception):
    """The file as a whole cannot be read; the text says why and where."""


def detect_encoding(path: Path) -> str:
    """The encoding of a file: by its byte order mark, else UTF-8 where all of it is, else a guess.

    A guess is GB18030 where most double bytes look like Chinese, else what charset-normalizer makes
    of a sample; whatever it is, the whole file decodes in it. Raises :class:`Unreadable`.
    """
    with path.open("rb") as stream:
        head = stream.read(SAMPLE_BYTES)
    for mark, encoding in BOMS.items():
        if head.startswith(mark):
            return encoding
    # A stray NUL is the fault of one row; many control characters are the sign of something else.
    if len(head) - len(head.translate(None, CONTROLS)) > len(head) // 100 or head.startswith(
        (b"\xd0\xcf\x11\xe0", b"%PDF", b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b")
    ):
        raise Unreadable(_("This is not a table: the file holds binary data. CSV and XLSX can be read."))
    bad_at = first_bad_byte(path, "utf-8")
    if bad_at is None:
        return "utf-8"
    with path.open("rb") as stream:
        stream.seek(max(0, bad_at - SAMPLE_BYTES // 2))
        sample = stream.read(SAMPLE_BYTES)
    candidates = ["gb18030"] if _looks_chinese(sample) else []
    candidates += _guesses(sample)
    for encoding in candidates:
        if first_bad_byte(path, encoding) is None:
            return encoding
    raise Unreadable(
        _("Line %(line)d is not UTF-8, and no other encoding fits. Choose the encoding of the file.")
        % {"line": line_of_bad_byte(path, "utf-8")}
    )


def _looks_chinese(sample: bytes) -> bool:
    """Whether the bytes above 127 come in the pairs of GB2312 (both high), as Latin accents do not."""
    pairs = lone = at = 0
    while at < len(sample) - 1:
        if sample[at] < 0x80:
            at += 1
        elif sample[at + 1] >= 0xA1:
            pairs, at = pairs + 1, at + 2
        else:
            lone, at = lone + 1, at + 2
    return pairs > 4 * lone


def _guesses(sample: bytes) -> list[str]:
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    if best is None or b"\0" in sample:
        return []
    # Control characters are a sign of binary data that merely happens to decode.
    text = str(best)
    odd = sum(char < " " and char not in "\t\r\n" for char in text)
    return [] if odd > len(text) // 1000 else [best.encoding]


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            yield block


def first_bad_byte(path: Path, encoding: str) -> int | None:
    """The place of the first byte that does not decode, or None. Reads the file in blocks."""
    decoder = codecs.getincrementaldecoder(encoding)()
    start = 0
    for block in _blocks(path):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block)
        except UnicodeError as error:
            return start - pending + getattr(error, "start", 0)
        start += len(block)
    try:
        decoder.decode(b"", final=True)
    except UnicodeError:
        return start
    return None


def line_of_bad_byte(path: Path, encoding: str) -> int:
    """The line, from 1, of the first byte that does not decode."""
    bad_at = first_bad_byte(path, encoding) or 0
    lines = read = 0
    for block in _blocks(path):
        part = block[: max(0, bad_at - read)]
        lines += part.count(b"\n")
        read += len(block)
        if read >= bad_at:
            break
    return lines + 1
