"""Faults of templates, at publication: each with its file and line."""

import pytest

from core.authoring import Faults
from hub.checks import CATALOGUE_CHECKS
from hub.decisioning.authoring import read_catalogue
from hub.delivery.email.check import check_templates
from tests.hub.delivery.catalogue import FILES, SHOP

[TEMPLATE] = [line + "\n" for line in FILES[SHOP].split("\n") if line.startswith("  - {id: plain, ")]


def faults_of(part: str, source: str, strings: str = "en: {hello: Hello}") -> list[tuple[int, str, str, str]]:
    """Faults when one part of the template is replaced: line, path, expected, got."""
    lines = [
        "  - id: plain", "    owner: ada", "    channel: email", "    sender: shop@shop.example",
        "    locale: en", f"    strings: {{{strings}}}",
    ]  # fmt: skip
    if part != "subject":
        lines.append('    subject: "{{ slots.text }}"')
    lines += [f"    {part}: |", *(f"      {line}" for line in source.split("\n"))]
    text = FILES[SHOP].replace(TEMPLATE, "\n".join(lines) + "\n")
    catalogue = read_catalogue({SHOP: text})
    assert not catalogue.faults
    found = Faults(catalogue.places, [])
    check_templates(catalogue, found)
    first = text.split("\n").index(f"    {part}: |") + 1
    return [(one.line - first, one.path, one.expected, one.got) for one in found.found]


def mjml(inside: str) -> str:
    return f"<mjml><mj-body><mj-section><mj-column>\n{inside}\n</mj-column></mj-section></mj-body></mjml>"


@pytest.mark.parametrize(
    ("part", "source", "line", "expected", "got"),
    [
        ("text", "a\n{% if %}x{% endif %}", 2, "a template in Liquid", "expression"),
        ("text", "a\n\n{% for x in y %}", 3, "a template in Liquid", "end"),
        ("text", "{% include 'x' %}", 1, "a template in Liquid", "include"),
        ("text", "a\n{{ slots.text | shout }}", 2, "a filter that there is", "shout"),
        ("text", "a\n{{ slots.txet }}", 2, "one of slots.text", "slots.txet"),
        ("text", "{{ strings.hullo }}", 1, "one of strings.hello", "strings.hullo"),
        ("text", "{{ profile.last_name }}", 1, "profile.first_name", "profile.last_name"),
        ("text", "{{ links.home }}", 1, "links.unsubscribe", "links.home"),
        (
            "text",
            "{{ customer.name }}",
            1,
            "one of links, locale, now, profile, slots, strings",
            "customer.name",
        ),
        ("subject", "{{ slots.nothing }}", 1, "one of slots.text", "slots.nothing"),
        ("mjml", mjml("<mj-text>{{ slots.txet }}</mj-text>"), 2, "one of slots.text", "slots.txet"),
        ("mjml", mjml("\n<mj-txet>a</mj-txet>"), 3, "an element of MJML", "mj-txet"),
        ("mjml", mjml("<mj-include path='/etc/passwd' />"), 2, "an element of MJML", "mj-include"),
        ("mjml", mjml("<mj-text>a"), 0, "MJML: every element closed", ""),
    ],
)
def test_a_fault_is_told_where_it_is(part: str, source: str, line: int, expected: str, got: str) -> None:
    [first, *_] = faults_of(part, source)
    assert expected in first[2]
    assert got in first[3]
    assert first[0] == line
    assert first[1].endswith(f".{part}")


@pytest.mark.parametrize(
    ("part", "source"),
    [
        (
            "text",
            "{% assign x = slots.text | upcase %}{{ x }}{{ strings.hello }}{{ locale }}{{ now }}",
        ),
        ("text", "{% for one in profile.first_name %}{{ one.a.b }}{{ forloop.index }}{% endfor %}"),
        ("text", "{{ strings[slots.text] }}{{ profile.first_name | default: 'you' }}{{ links.site }}"),
        ("mjml", mjml('<mj-text><a href="{{ links.unsubscribe }}">x</a></mj-text>')),
        ("mjml", mjml("{% if slots.text == 'never' %}<mj-text>{{ slots.text }}</mj-text>{% endif %}")),
    ],
)
def test_what_is_right_has_no_fault(part: str, source: str) -> None:
    assert faults_of(part, source) == []


def test_words_that_are_liquid_are_checked_too() -> None:
    [fault] = faults_of("text", "x", 'en: {hello: "Hi {{ profile.fist_name }}"}')
    assert (fault[1].rpartition(".")[2], fault[3]) == ("hello", "'profile.fist_name'")


def test_all_faults_are_told_at_once() -> None:
    assert len(faults_of("text", "{{ a }}\n{{ b }}\n{{ slots.c | d }}")) == 4


def test_the_check_is_one_of_those_at_publication() -> None:
    assert check_templates in CATALOGUE_CHECKS
