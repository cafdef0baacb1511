"""What people write is checked before it is sent, and cannot harm the workers that render it."""

import time
from typing import Any

import pytest

from campaigns import content
from campaigns.content import RenderError, compile_content, problems, render

VALUES: dict[str, Any] = {
    "member": {"name": "王<b>小雨</b>", "points": 1200, "tier": "Gold", "language": "zh-hans", "attributes": {}},
    "unsubscribe_url": "https://desk.example/u",
    "view_url": "https://desk.example/v",
    "pixel_url": "https://desk.example/p",
    "footer": {"why": "You are a member.", "unsubscribe": "Unsubscribe", "view": "Read"},
}


def test_plain_text_becomes_a_message_with_everything_a_member_needs() -> None:
    body = "Hi {{ member.name }} & co <3,\n\nsee https://shop.example/?a=1&b=2\n\n[Shop now](https://shop.example/)\n"
    made = render(compile_content("For {{ member.name }}\n", body), VALUES)
    assert made.subject == "For 王<b>小雨</b>"
    assert "Hi 王&lt;b&gt;小雨&lt;/b&gt; &amp; co &lt;3" in made.html
    assert 'href="https://shop.example/?a=1&amp;b=2"' in made.html
    assert 'href="https://desk.example/u"' in made.html
    assert "Hi 王<b>小雨</b> & co <3" in made.text
    assert "Shop now: https://shop.example/" in made.text
    assert "Unsubscribe: https://desk.example/u" in made.text


def test_liquid_and_mjml_do_not_mistake_each_other() -> None:
    body = (
        '<mjml><mj-body>{% if member.points < 5 and member.tier != "<mj-raw>" %}<mj-section><mj-column><mj-text>few'
        "</mj-text></mj-column></mj-section>{% else %}<mj-section><mj-column><mj-text>many: {{ member.points }}"
        '</mj-text><mj-button href="https://shop.example/{{ member.tier | downcase }}">Go</mj-button></mj-column>'
        "</mj-section>{% endif %}</mj-body></mjml>"
    )
    made = render(compile_content("s", body), VALUES)
    assert "many: 1200" in made.html
    assert "few" not in made.html
    assert 'href="https://shop.example/gold"' in made.html
    assert "Go (https://shop.example/gold)" in made.text


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        ("", None, "Write something"),
        ("Hello\n{{ member.nam }}", 2, "Did you mean “member.name”?"),
        ("Hello\n\n{% if %}", 3, "missing expression"),
        ("{{ member.name | shout }}", 1, "no filter “shout”"),
        ("{{ member.__class__ }}", 1, "no field"),
        ("{% include 'settings.py' %}", 1, "unexpected tag"),
        ("{% render '/etc/passwd' %}", 1, "unexpected tag"),
        ("<mjml>\n<mj-body>\n<mj-foo/></mj-body></mjml>", 3, "no tag <mj-foo>"),
        ("Hi\n{% increment member %}{{ member }}", 2, "“member” is a field of ours"),
        ("{% decrement programme %}{{ programme }}", 1, "“programme” is a field of ours"),
        ("{% assign member = 1 %}{{ member }}", 1, "“member” is a field of ours"),
        ("{% capture unsubscribe_url %}x{% endcapture %}", 1, "is a field of ours"),
        ("Hi\n\n[Shop now](javascript:alert`1`)", 3, "cannot begin with “javascript:”"),
        ("[Shop now](DATA:text/html,x)", 1, "cannot begin with “data:”"),
        ("<mjml><mj-body>", None, "not valid MJML"),
        ('<mjml>\n<mj-body>\n<mj-include path="/etc/passwd"/></mj-body></mjml>', 3, "not valid MJML"),
        ("x" * 70_000, None, "longer than"),
        ("{% if member.points %}" * 50 + "{% endif %}" * 50, 1, "nest"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(body: str, line: int | None, words: str) -> None:
    [problem] = problems("Subject", body)
    assert (problem.field, problem.line) == ("body", line)
    assert words in problem.message


@pytest.mark.parametrize(
    "body",
    [
        "{% for i in (1..9999999999) %}x{% endfor %}",
        "{% for i in (1..900) %}{% for j in (1..900) %}x{% endfor %}{% endfor %}",
        "{% if (1..9999999999) contains 'x' %}{% endif %}",
        "{{ (1..9999999999) | join }}",
        "{% assign x = 9 %}{% for i in (1..900) %}{% assign x = x | times: x %}{% endfor %}",
        "{% assign x = 'aaaa' %}{% for i in (1..900) %}{% assign x = x | append: x %}{% endfor %}",
        "{% capture a %}{% for i in (1..900) %}aaaaaaaaaaaaaaaaaa{% endfor %}{% endcapture %}{{ a | replace: 'a', a }}",
        "{{ 1 | round: -1000000000 }}",
        "{{ 1 | divided_by: 0 }}",
        "{% tablerow i in (1..1000000) cols:2 %}x{% endtablerow %}",
    ],
)
def test_a_hostile_template_is_stopped_at_once(body: str) -> None:
    compiled = compile_content("s", body)
    begun = time.perf_counter()
    with pytest.raises(RenderError):
        render(compiled, VALUES)
    assert time.perf_counter() - begun < 3


def test_a_slow_template_is_stopped_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("campaigns.liquid.SECONDS", 0.0)
    with pytest.raises(RenderError, match="too long"):
        render(compile_content("s", "{% for i in (1..900) %}{{ i | plus: 1 }}{% endfor %}"), VALUES)


def test_the_same_content_is_compiled_once() -> None:
    assert compile_content("s", "Hello") is compile_content("s", "Hello")


def test_html_becomes_readable_text() -> None:
    html = "<head><title>x</title></head><p>One &amp;\n two</p><style>p{}</style><a href='https://a.example'>Go</a>"
    assert content.html_to_text(html) == "One & two\nGo (https://a.example)"


@pytest.mark.parametrize("text", ["[a" * 30_000, "[a](http://" * 5_000, "[" * 60_000, "[a](" + "b" * 60_000])
def test_text_full_of_brackets_is_compiled_at_once(text: str) -> None:
    started = time.monotonic()
    problems("s", text)
    assert time.monotonic() - started < 2


def test_a_link_that_is_put_together_to_run_something_is_not_sent() -> None:
    compiled = compile_content("s", "[Shop]({{'java'|append:'script:alert(1)'}})")
    with pytest.raises(RenderError, match="cannot begin with “javascript:”"):
        render(compiled, VALUES)
