"""Names as they are looked for: Müller, MÜLLER and muller are one, whatever keyboard a desk has."""

import unicodedata

# Letters of Latin-1, Latin Extended-A and Latin Extended Additional (Vietnamese), which most names need.
_BLOCKS = (range(0xC0, 0x180), range(0x1E00, 0x1F00))
_COMBINING = range(0x300, 0x370)
_STROKED = dict(zip("ØøŁłĐđÐðĦħŦŧ", "oolldd" + "ddhhtt", strict=True)) | {"ı": "i"}
_DOUBLE = {"ß": "ss", "ẞ": "ss", "Æ": "ae", "æ": "ae", "Œ": "oe", "œ": "oe", "Þ": "th", "þ": "th"}


def _plain_letters() -> dict[str, str]:
    found = dict(_STROKED)
    for letter in (chr(code) for block in _BLOCKS for code in block):
        parts = unicodedata.normalize("NFKD", letter)
        base = "".join(part for part in parts if not unicodedata.combining(part)).lower()
        if letter not in _DOUBLE and len(base) == 1 and base.isascii() and base.isalpha():
            found[letter] = base
    return found


_TABLE = str.maketrans(_plain_letters() | _DOUBLE | {chr(code): "" for code in _COMBINING} | {" ": ""})


def fold(text: str) -> str:
    """The text without blanks and accents, in small letters: what ``members_fold`` of the database makes of it."""
    return text.translate(_TABLE).lower()


def _doubles_replaced() -> str:
    """SQL of ``$1`` without blanks and with two letters for each that stands for two."""
    text = "replace($1, ' ', '')"
    for letter, plain in _DOUBLE.items():
        text = f"replace({text}, '{letter}', '{plain}')"
    return text


_REPLACED = _doubles_replaced()
_RANGES = "".join(f"{chr(block[0])}-{chr(block[-1])}" for block in (*_BLOCKS, _COMBINING))
_LETTERS = "".join(_plain_letters()) + "".join(map(chr, _COMBINING))
_PLAIN = "".join(_plain_letters().values())

# The function of the database that does the same, for its indexes (migration 0004).
# Names that have none of these letters, Chinese ones too, are not held against the long list.
FUNCTION = f"""
    CREATE FUNCTION members_fold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT CASE WHEN octet_length($1) = length($1) OR $1 !~ '[{_RANGES}]' THEN lower(replace($1, ' ', ''))
               ELSE lower(translate({_REPLACED}, '{_LETTERS}', '{_PLAIN}')) END
    $$
"""
