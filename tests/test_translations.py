"""The catalogue of Simplified Chinese: whole, true to the English, and in step with the code."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from django.utils import translation
from django.utils.translation.template import templatize

from analytics.wording import short_money

CHECKOUT = Path(__file__).resolve().parent.parent
CATALOGUE = CHECKOUT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
ROOMS = ["analytics", "campaigns", "config", "loyalty", "members", "staff"]
TEMPLATES = CHECKOUT / "templates"

PLACEHOLDER = re.compile(r"%\(\w+\)[-+ #0-9.]*[a-z]|%[sd%]|\{\w*\}|</?[a-z]+>")
KEYWORDS = ["gettext_noop", "gettext_lazy", "ngettext_lazy:1,2", "pgettext:1c,2", "npgettext:1c,2,3"]
KEYWORDS += ["pgettext_lazy:1c,2", "npgettext_lazy:1c,2,3"]

# Shown in development only; shown when nothing else works, in both languages at once; has no words.
NOT_FOR_TRANSLATION = {"staff/look.html", "500.html", "allauth/elements/button.html"}
# Names, codes and code, which are the same in every language.
SAME_IN_BOTH = re.compile(
    r"S?\s*Steadfast|EN|English|Authorization: Bearer sf_\S*|sf_|/api/v1/kpis/|if member\.points.*endif"
)
SPOKEN_ATTRIBUTES = "title|label|placeholder|alt|aria-label|note|subtitle|empty|button|caption|definition|text"


def catalogue() -> Catalog:
    """The catalogue as it stands."""
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="zh_Hans")


def messages(catalog: Catalog) -> Iterator[Message]:
    """Its messages without the header."""
    return (message for message in catalog if message.id)


def texts(words: str | list[str] | tuple[str, ...] | None) -> list[str]:
    """All forms of one side of a message."""
    return [words or ""] if isinstance(words, str | None) else list(words)


def test_every_message_is_translated_and_none_is_a_guess() -> None:
    unfinished = [m.id for m in messages(catalogue()) if m.fuzzy or not all(texts(m.string))]

    assert unfinished == []


def test_every_translation_fills_in_the_same_places() -> None:
    apart = []
    for message in messages(catalogue()):
        # The singular may say "one" in words; the plural names every place.
        wanted = set(PLACEHOLDER.findall(texts(message.id)[-1]))
        apart += [text for text in texts(message.string) if set(PLACEHOLDER.findall(text)) != wanted]

    assert apart == []


def test_every_string_of_the_code_is_in_the_catalogue_and_no_other(tmp_path: Path) -> None:
    if shutil.which("xgettext") is None:
        pytest.skip("GNU gettext is not installed; make messages needs it too")

    used = {(m.context, texts(m.id)[0]) for m in messages(collected(tmp_path))}
    known = {(m.context, texts(m.id)[0]) for m in messages(catalogue())}

    assert (used - known, known - used) == (set(), set()), "run make messages and translate what is new"


def collected(directory: Path) -> Catalog:
    """What ``make messages`` would find, without touching the catalogue."""
    files = [path for room in ROOMS for path in sorted((CHECKOUT / room).rglob("*.py"))]
    for number, template in enumerate(sorted(path for path in TEMPLATES.rglob("*.*") if path.suffix != ".py")):
        source = directory / f"{number}.py"
        source.write_text(templatize(template.read_text(), origin=str(template)))
        files.append(source)
    pot = directory / "django.pot"
    command = ["xgettext", "--language=Python", "--from-code=UTF-8", f"--output={pot}", "--files-from=-"]
    command += [f"--keyword={keyword}" for keyword in KEYWORDS]
    subprocess.run(command, input="\n".join(map(str, files)), text=True, check=True)
    # What xgettext leaves for a person to fill in.
    text = pot.read_text().replace("nplurals=INTEGER; plural=EXPRESSION", "nplurals=2; plural=(n != 1)")
    return read_po(BytesIO(text.encode()), charset="utf-8")


def test_templates_say_nothing_outside_of_translation() -> None:
    found = []
    for template in sorted(TEMPLATES.rglob("*.html")):
        name = str(template.relative_to(TEMPLATES))
        if name not in NOT_FOR_TRANSLATION:
            found += [f"{name}: {words}" for words in unmarked(template.read_text())]

    assert found == []


def unmarked(text: str) -> list[str]:
    """Words that a person would see or hear and that stand in no translation tag."""
    for pattern in (r"{% comment %}.*?{% endcomment %}", r"{% blocktranslate\b.*?{% endblocktranslate %}"):
        text = re.sub(pattern, "", text, flags=re.DOTALL)
    text = re.sub(r"{[%#].*?[%#]}|{{.*?}}", " ", text, flags=re.DOTALL)
    spoken = [said for _name, said in re.findall(rf'\s({SPOKEN_ATTRIBUTES})="([^"]*)"', text)]
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", text, flags=re.DOTALL)
    lines = re.sub(r"<[a-zA-Z/!][^>]*>", "\n", text).splitlines()
    left = (SAME_IN_BOTH.sub("", said).strip() for said in [*spoken, *lines])
    return [said for said in left if re.search(r"[A-Za-z]{2}", said)]


@pytest.mark.parametrize(
    ("language", "amount", "text"),
    [
        ("en", 157_433.31, "¥157.4k"),
        ("en", 3_421_034.2, "¥3.42m"),
        ("zh-hans", 9_999.0, "¥9,999.00"),
        ("zh-hans", 157_433.31, "¥15.7 万"),
        ("zh-hans", 342_103_400, "¥3.42 亿"),
    ],
)
def test_large_amounts_are_shortened_as_the_reader_counts(language: str, amount: float, text: str) -> None:
    with translation.override(language):
        assert short_money(amount) == text
