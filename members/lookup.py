"""Find a member by whatever they or their card say: number, e-mail, phone, name, outside id.

Each way is a branch of one query with its own index (migrations 0002 and 0004); a branch stops at the limit, so
the answer comes in milliseconds at millions of members. The expressions below must stay the same to the
letter as those of the indexes. ``tests/members/test_lookup.py`` proves that each branch uses one.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.db import connection

from members.folding import fold
from members.models import Member
from staff.models import User
from staff.permissions import Permission

# Byte order, in which a prefix is a range of the index whatever the database's own collation.
NUMBER = """translate(upper(m.number), ' -', '') COLLATE "C\""""
NUMBER_DIGITS = """ltrim(translate(upper(m.number), ' -', ''), 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') COLLATE "C\""""
PHONE = """translate(m.phone, '+-() ', '') COLLATE "C\""""
PHONE_REVERSED = """reverse(translate(m.phone, '+-() ', '')) COLLATE "C\""""
EMAIL = """m.email COLLATE "C\""""
OUTSIDE_ID = """m.external_id COLLATE "C\""""
FAMILY_FIRST = """members_fold(m.family_name || m.given_name) COLLATE "C\""""
GIVEN_FIRST = """members_fold(m.given_name || m.family_name) COLLATE "C\""""

EXACT, EXACT_NAME, PREFIX, NAME_PREFIX, ENDING = range(5)
SHORTEST_ENDING = 4
LONGEST = 254

DIGITS = re.compile(r"[\d\s()+.\-]+")


@dataclass(frozen=True)
class Branch:
    """One way to be found. ``pattern`` is a LIKE pattern, or the value itself where ``exact``."""

    rank: int
    expression: str
    pattern: str
    exact: bool = False

    @property
    def sql(self) -> str:
        """A query of ids, at most ``%s`` of them. The order makes the planner take the index, whatever it guesses."""
        operator = "=" if self.exact else "LIKE"
        return (
            f"(SELECT m.id, {self.rank} AS rank FROM members_member m"  # noqa: S608
            f" WHERE {self.expression} {operator} %s ORDER BY {self.expression} LIMIT %s)"
        )


# How far phone and e-mail may be searched: by their beginning, or only when known whole. Whoever sees contacts
# masked could otherwise read them off by typing one more character and watching who is still found.
Contacts = Literal["prefix", "exact"]


def contacts_for(user: User) -> Contacts:
    """By the beginning only for those who may also see contacts in full."""
    return "prefix" if user.may(Permission.MEMBERS_REVEAL) else "exact"


def find(text: str, limit: int = 20, *, contacts: Contacts = "prefix") -> list[Member]:
    """Members that the text may mean: exact matches first, then by what their number, phone or name begins with.

    Understands any way to write a phone, with or without the country code, and its last four or more
    digits; a number without its letters; names in both orders; capitals and accents or not. Empty for an empty
    text. With ``contacts="exact"`` a phone is found only by all of its digits or by exactly the last four, an
    e-mail address only whole.
    """
    chosen = branches(text, contacts)
    if not chosen:
        return []
    query, params = search_sql(chosen, limit)
    return list(Member.objects.raw(query, params))


def ids_by(field: Literal["email", "phone"], value: str, limit: int = 500) -> list[int]:
    """Who has exactly this e-mail address or phone number: families share them."""
    if field == "email":
        branch = Branch(EXACT, EMAIL, value.lower(), exact=True)
    else:
        branch = Branch(EXACT, PHONE, "".join(char for char in value if char.isdecimal()), exact=True)
    with connection.cursor() as cursor:
        cursor.execute(branch.sql, [branch.pattern, limit])
        return [row[0] for row in cursor.fetchall()]


def search_sql(chosen: list[Branch], limit: int) -> tuple[str, list[str | int]]:
    """All branches in one query, each member once, at its best rank."""
    params: list[str | int] = []
    for branch in chosen:
        params += [branch.pattern, limit]
    union = " UNION ALL ".join(branch.sql for branch in chosen)
    query = (
        f"SELECT m.* FROM (SELECT id, min(rank) AS rank FROM ({union}) found GROUP BY id) best"  # noqa: S608
        " JOIN members_member m ON m.id = best.id"
        " ORDER BY best.rank, m.status = 'closed', m.family_name, m.given_name, m.id LIMIT %s"
    )
    return query, [*params, limit]


def branches(text: str, contacts: Contacts = "prefix") -> list[Branch]:
    """The ways in which this text may name a member."""
    # Full-width digits and letters, as Chinese keyboards give them, become plain ones.
    text = " ".join(unicodedata.normalize("NFKC", text).replace("\0", "").split())[:LONGEST]
    if not text:
        return []
    if "@" in text:
        return _allowed(_both(EXACT, PREFIX, EMAIL, text.lower()), contacts)
    found = _numbers(text)
    if DIGITS.fullmatch(text):
        digits = "".join(char for char in text if char.isdecimal())
        phones = _phones(digits, international="+" in text)
        # The last four digits are what a member says at the till; with each one more the number could be read off.
        found += _allowed(phones, contacts, endings=len(digits) == SHORTEST_ENDING)
    if any(char.isalpha() for char in text):
        found += _names(text)
        found += _allowed([Branch(PREFIX, EMAIL, _prefix(text.lower()))], contacts)
    return found


def _allowed(found: list[Branch], contacts: Contacts, *, endings: bool = False) -> list[Branch]:
    """Of the branches of phone or e-mail those that this reader may use."""
    if contacts == "prefix":
        return found
    return [branch for branch in found if branch.exact or (endings and branch.rank == ENDING)]


def _numbers(text: str) -> list[Branch]:
    key = text.upper().replace(" ", "").replace("-", "")
    found = _both(EXACT, PREFIX, NUMBER, key)
    if key.isdecimal():
        # A card's digits without the letters before them.
        found += _both(EXACT, PREFIX, NUMBER_DIGITS, key)
    # Companies write their own keys in one case; the person may not.
    for written in dict.fromkeys([text, text.lower(), text.upper()]):
        found += _both(EXACT, PREFIX, OUTSIDE_ID, written)
    return found


def _phones(digits: str, *, international: bool) -> list[Branch]:
    if not digits:
        return []
    plain = digits.lstrip("0")
    code = settings.PROGRAMME_PHONE_CODE
    readings = [plain] if international or digits.startswith("00") else [digits, f"{code}{plain}", plain]
    found = []
    for reading in dict.fromkeys(reading for reading in readings if reading):
        found += _both(EXACT, PREFIX, PHONE, reading)
    if len(digits) >= SHORTEST_ENDING:
        found.append(Branch(ENDING, PHONE_REVERSED, _prefix(plain[::-1] if international else digits[::-1])))
    return found


def _names(text: str) -> list[Branch]:
    key = fold(text).replace(",", "")
    if not key:
        return []
    return [
        *_both(EXACT_NAME, NAME_PREFIX, FAMILY_FIRST, key),
        *_both(EXACT_NAME, NAME_PREFIX, GIVEN_FIRST, key),
    ]


def _both(exact_rank: int, prefix_rank: int, expression: str, value: str) -> list[Branch]:
    if not value:
        return []
    return [Branch(exact_rank, expression, value, exact=True), Branch(prefix_rank, expression, _prefix(value))]


def _prefix(value: str) -> str:
    """A LIKE pattern for what begins with the value."""
    return re.sub(r"([\\%_])", r"\\\1", value) + "%"
