"""What a message says: from a subject and a body that a person wrote to the e-mail of one member.

The body is MJML or plain text; both hold Liquid. A variant is compiled once (MJML to HTML, Liquid to
templates) and rendered per member. MJML never sees the Liquid: each tag stands as a short word while
MJML is compiled, so that ``{% if points < 5 %}`` does not look like markup to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from html import escape, unescape
from html.parser import HTMLParser
from typing import Any

import mjml
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from liquid import BoundTemplate
from liquid.exceptions import LiquidError

from campaigns import liquid

MERGE_FIELDS = {
    "member.name": gettext_lazy("full name"),
    "member.given_name": gettext_lazy("given name"),
    "member.family_name": gettext_lazy("family name"),
    "member.number": gettext_lazy("member number"),
    "member.points": gettext_lazy("points balance"),
    "member.tier": gettext_lazy("tier"),
    "member.joined_on": gettext_lazy("member since"),
    "member.language": gettext_lazy("language"),
    "programme.name": gettext_lazy("name of the programme"),
    "unsubscribe_url": gettext_lazy("link to unsubscribe"),
    "view_url": gettext_lazy("link to read it in the browser"),
}
"""What a message may merge in, with its label. ``member.attributes.…`` is allowed besides."""

OUR_NAMES = frozenset({name.partition(".")[0] for name in MERGE_FIELDS} | {"footer", "pixel_url"})

# Whatever a browser or a mail reader would run. Blanks and line ends within the word are overlooked by them.
RUNS = re.compile(
    r"""\b(?:href|action)\s*=\s*["']?[\s\x00-\x20]*("""
    + "|".join(r"[\t\r\n]*".join(word) for word in ("javascript", "vbscript", "data"))
    + r""")\s*:""",
    re.IGNORECASE,
)

TAG = re.compile(r"\{%-?.*?-?%\}|\{\{-?.*?-?\}\}", re.DOTALL)
WORD = re.compile(r"LQ(\d+)QL")
# Bounded, and words without a bracket in them: "[[[[…" is looked at once, not once from each bracket.
BUTTON = re.compile(r"\[([^\[\]\n]{1,500})\]\(([^\s()]{1,2000})\)")
ADDRESS = re.compile(r"https?://[^\s<>()\"']+")


@dataclass(frozen=True)
class Problem:
    """What is wrong in a subject or body, in words, with the line it stands on."""

    field: str
    line: int | None
    message: str


class ContentError(Exception):
    """The content cannot be sent as it is."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class RenderError(Exception):
    """The content could not be made for one member."""


@dataclass(frozen=True)
class Compiled:
    """A variant, ready to be rendered. Without a ``text`` template the text is made from the HTML."""

    subject: BoundTemplate
    html: BoundTemplate
    text: BoundTemplate | None


@dataclass(frozen=True)
class Rendered:
    """The e-mail of one member."""

    subject: str
    html: str
    text: str


def problems(subject: str, body: str) -> list[Problem]:
    """Everything that keeps this content from being sent, in the reader's language."""
    found = [*_source_problems("subject", subject), *_source_problems("body", body)]
    if found:
        return found
    try:
        _compile(subject, body)
    except ContentError as error:
        return [error.problem]
    return []


@lru_cache(maxsize=64)
def compile_content(subject: str, body: str) -> Compiled:
    """Compile one variant; the same content is compiled once per process. Raises :class:`ContentError`."""
    found = [*_source_problems("subject", subject), *_source_problems("body", body)]
    if found:
        raise ContentError(found[0])
    return _compile(subject, body)


def render(compiled: Compiled, values: dict[str, Any]) -> Rendered:
    """Make one member's e-mail. Raises :class:`RenderError` with words that a person can read."""
    try:
        subject = " ".join(liquid.render(compiled.subject, values).split())
        html = liquid.render(compiled.html, values)
        text = liquid.render(compiled.text, values) if compiled.text else html_to_text(html)
        if scheme := _scheme_that_runs(html):
            raise RenderError(_link_that_runs(scheme))
    except LiquidError as error:
        raise RenderError(_liquid_message(error)) from error
    if not subject:
        raise RenderError(_("the subject came out empty"))
    return Rendered(subject, html, text.strip() + "\n")


def html_to_text(html: str) -> str:
    """The words of an HTML message, with the addresses of its links."""
    reader = _TextReader()
    reader.feed(html)
    return reader.text()


def _source_problems(field: str, source: str) -> Iterator[Problem]:
    if not source.strip():
        yield Problem(field, None, _("Write something here."))
        return
    if len(source) > liquid.MAX_SOURCE:
        yield Problem(field, None, _("It is longer than %(limit)d characters.") % {"limit": liquid.MAX_SOURCE})
        return
    try:
        template = liquid.TEXT.from_string(source)
    except LiquidError as error:
        yield Problem(field, _line(source, error), _liquid_message(error))
        return
    except RecursionError:
        yield Problem(field, None, _("Tags are nested too deep."))
        return
    yield from _name_problems(field, source, template)


def _name_problems(field: str, source: str, template: BoundTemplate) -> Iterator[Problem]:
    """Filters and fields that do not exist, and names of ours that the message would take."""
    analysis = template.analyze()
    for name, places in analysis.filters.items():
        if name not in liquid.TEXT.filters:
            why = _("There is no filter “%(name)s”.") % {"name": name}
            yield Problem(field, source.count("\n", 0, places[0].index) + 1, why)
    # A name of ours that the message makes anew would hide what its fields are, and let them out all at once.
    for name, variables in analysis.locals.items():
        if name in OUR_NAMES:
            why = _("“%(name)s” is a field of ours. Choose another name for your own.") % {"name": name}
            yield Problem(field, source.count("\n", 0, variables[0].span.index) + 1, why)
    for variables in analysis.globals.values():
        for variable in variables:
            path = ".".join(str(segment) for segment in variable.segments)
            if not _is_merge_field(path):
                yield Problem(field, source.count("\n", 0, variable.span.index) + 1, _unknown(path))


def _scheme_that_runs(html: str) -> str:
    """The scheme of the first link that runs something instead of leading somewhere; empty if there is none."""
    found = RUNS.search(html) or RUNS.search(unescape(html))
    return "".join(found[1].split()).lower() if found else ""


def _link_that_runs(scheme: str) -> str:
    return _("A link cannot begin with “%(scheme)s:”. Write one that begins with https://.") % {"scheme": scheme}


def _is_merge_field(path: str) -> bool:
    parts = path.split(".")
    return path in MERGE_FIELDS or (parts[:2] == ["member", "attributes"] and len(parts) == 3)


def _unknown(path: str) -> str:
    close = get_close_matches(path, MERGE_FIELDS, n=1)
    if close:
        return _("There is no field “%(path)s”. Did you mean “%(close)s”?") % {"path": path, "close": close[0]}
    return _("There is no field “%(path)s”.") % {"path": path}


def _liquid_message(error: LiquidError) -> str:
    return str(getattr(error, "message", "") or (error.args[0] if error.args else error)).split("\n")[0]


def _line(source: str, error: LiquidError) -> int | None:
    token = error.token
    return source.count("\n", 0, token.start_index) + 1 if token is not None and token.start_index >= 0 else None


def _compile(subject: str, body: str) -> Compiled:
    masked, tags = _mask(body)
    is_mjml = body.lstrip().startswith("<mjml")
    html = _to_html(masked if is_mjml else _as_mjml(masked), tags)
    if scheme := _scheme_that_runs(html):
        at = body.lower().find(f"{scheme}:")
        line = body.count("\n", 0, at) + 1 if at >= 0 else None
        raise ContentError(Problem("body", line, _link_that_runs(scheme)))
    own_footer = "unsubscribe_url" in body
    html = html.replace("</body>", f"{'' if own_footer else _FOOTER_HTML}{_PIXEL}</body>").replace(
        'lang="und"', "lang=\"{{ member.language | default: 'und' }}\"", 1
    )
    text = html_to_text(html) if is_mjml else BUTTON.sub(r"\1: \2", masked)
    if not own_footer and not is_mjml:
        text += _FOOTER_TEXT
    try:
        html_template = liquid.HTML.from_string(_unmask(html, tags))
    except LiquidError as error:
        raise ContentError(Problem("body", None, _liquid_message(error))) from error
    try:
        text_template = liquid.TEXT.from_string(_unmask(text, tags))
    except LiquidError:
        text_template = None  # a tag that opens in an attribute and closes in the text
    return Compiled(liquid.TEXT.from_string(subject), html_template, text_template)


def _mask(body: str) -> tuple[str, list[str]]:
    """Put a word in the place of each Liquid tag."""
    tags: list[str] = []

    def keep(match: re.Match[str]) -> str:
        tags.append(match[0])
        return f"LQ{len(tags) - 1}QL"

    # What already looks like such a word cannot be told from one.
    return TAG.sub(keep, WORD.sub("", body)), tags


def _unmask(text: str, tags: list[str]) -> str:
    return WORD.sub(lambda match: tags[int(match[1])], text)


def _to_html(source: str, tags: list[str]) -> str:
    try:
        html = str(mjml.mjml2html(source, fonts={}))
    except ValueError as error:
        position = re.search(r"position (\d+):", str(error))
        line = _unmask(source[: int(position[1])], tags).count("\n") + 1 if position else None
        raise ContentError(Problem("body", line, _("This is not valid MJML: %(why)s.") % {"why": error})) from error
    unknown = re.search(r"<(mj-[\w-]+)", html)
    if unknown:
        at = source.find(f"<{unknown[1]}")
        line = _unmask(source[:at], tags).count("\n") + 1
        raise ContentError(Problem("body", line, _("MJML has no tag <%(tag)s>.") % {"tag": unknown[1]}))
    for number, tag in enumerate(tags):
        if f"LQ{number}QL" not in html and not tag.startswith("{{"):
            line = _unmask(source[: source.find(f"LQ{number}QL")], tags).count("\n") + 1
            why = _("MJML drops what stands here. Put it into <mj-raw>: %(tag)s") % {"tag": tag}
            raise ContentError(Problem("body", line, why))
    return html


def _as_mjml(masked: str) -> str:
    """Plain text in a quiet one-column layout; a line that is only ``[words](address)`` becomes a button."""
    blocks: list[str] = []
    for paragraph in re.split(r"\n\s*\n", masked.strip()):
        button = BUTTON.fullmatch(paragraph.strip())
        if button:
            blocks.append(f'<mj-button href="{escape(button[2])}">{escape(button[1])}</mj-button>')
        elif WORD.sub("", paragraph).strip():
            blocks.append(f"<mj-text>{_paragraph(paragraph)}</mj-text>")
        else:
            blocks.append(f"<mj-text>{paragraph.strip()}</mj-text>")
    return f"{_LAYOUT_START}{''.join(blocks)}{_LAYOUT_END}"


def _paragraph(text: str) -> str:
    """Escaped, with lines kept and addresses made into links."""
    pieces: list[str] = []
    at = 0
    for match in re.finditer(rf"{BUTTON.pattern}|{ADDRESS.pattern}", text):
        pieces.append(escape(text[at : match.start()]))
        words, address = (match[1], match[2]) if match[2] else (match[0], match[0])
        pieces.append(f'<a href="{escape(address)}">{escape(words)}</a>')
        at = match.end()
    pieces.append(escape(text[at:]))
    return "".join(pieces).replace("\n", "<br/>")


class _TextReader(HTMLParser):
    """Collects the words; blocks end a line, a link is followed by its address."""

    HIDDEN = frozenset({"style", "script", "head", "title"})
    BLOCKS = frozenset({"p", "div", "tr", "br", "h1", "h2", "h3", "h4", "li", "table"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._hidden = 0
        self._href = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a block, a link or a part that is not shown."""
        self._hidden += tag in self.HIDDEN
        if tag in self.BLOCKS:
            self._pieces.append("\n")
        if tag == "a":
            self._href = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        """End it, and say where a link leads."""
        self._hidden -= tag in self.HIDDEN
        if tag in self.BLOCKS:
            self._pieces.append("\n")
        if tag == "a" and self._href:
            self._pieces.append(f" ({self._href})")
            self._href = ""

    def handle_data(self, data: str) -> None:
        """Keep the words."""
        if not self._hidden:
            self._pieces.append(re.sub(r"\s+", " ", data))

    def text(self) -> str:
        """All words, with at most one empty line between blocks."""
        lines = [line.strip() for line in unescape("".join(self._pieces)).split("\n")]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


_LAYOUT_START = (
    "<mjml><mj-head><mj-attributes>"
    '<mj-all font-family="Helvetica, Arial, sans-serif"/>'
    '<mj-text font-size="16px" line-height="1.6" color="#18181b"/>'
    '<mj-button background-color="#0f766e" color="#ffffff" border-radius="6px" font-size="16px" align="left"/>'
    '</mj-attributes></mj-head><mj-body background-color="#f4f4f5">'
    '<mj-section background-color="#ffffff" padding="24px 8px"><mj-column>'
)
_LAYOUT_END = "</mj-column></mj-section></mj-body></mjml>"
_FOOTER_HTML = (
    '<p style="margin:16px auto;max-width:600px;text-align:center;font:12px/1.6 Helvetica,Arial,sans-serif;'
    'color:#71717a">{{ footer.why }}<br>'
    '<a href="{{ unsubscribe_url }}" style="color:#71717a">{{ footer.unsubscribe }}</a> · '
    '<a href="{{ view_url }}" style="color:#71717a">{{ footer.view }}</a></p>'
)
_FOOTER_TEXT = "\n\n--\n{{ footer.why }}\n{{ footer.unsubscribe }}: {{ unsubscribe_url }}\n"
_PIXEL = '{% if pixel_url %}<img src="{{ pixel_url }}" width="1" height="1" alt="">{% endif %}'
