"""Liquid as templates have it: the shared suite, what is not there, limits, and values that stay data."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid.exceptions import LiquidError

from hub.delivery.email.language import FILTERS, HTML, LOCAL_FILTERS, PLAIN, TAGS, fill, line_of
from tests.shared import shared_data

#: Marks of the suite that are neither tags nor filters; `strict2` is a way of parsing that we have not.
OTHER_MARKS = {"strict", "absent", "blank", "empty"}
UNSUPPORTED = {"include tag": 10, "render tag": 13, "strict2": 1}


def golden() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads(
        shared_data("liquid_templates/golden_liquid_dev.json").read_text(encoding="utf-8")
    )["tests"]
    return cases


def supported(case: dict[str, Any]) -> bool:
    names = {f"{name} tag" for name in TAGS} | {f"{name} filter" for name in FILTERS} | OTHER_MARKS
    return set(case.get("tags", ())) <= names


def rendered(case: dict[str, Any]) -> str | None:
    try:
        return PLAIN.parse_template(case["template"]).text(case.get("data", {}))
    except LiquidError:
        return None


def test_every_case_of_the_shared_suite_within_our_tags_and_filters_passes() -> None:
    cases = [case for case in golden() if supported(case)]
    wrong = [case["name"] for case in cases if rendered(case) not in expected(case)]
    assert (len(cases), wrong) == (654, [])


def expected(case: dict[str, Any]) -> list[str | None]:
    return [None] if case.get("invalid") else case.get("results", [case.get("result")])


def test_what_is_outside_is_counted_by_name() -> None:
    outside = Counter(
        mark for case in golden() if not supported(case) for mark in case["tags"] if mark in UNSUPPORTED
    )
    assert outside == UNSUPPORTED


def test_a_filled_skeleton_is_the_text_for_every_case_of_the_suite() -> None:
    for case in golden():
        text = rendered(case)
        if text is not None:
            template = PLAIN.parse_template(case["template"])
            assert fill(*template.skeleton(case.get("data", {}))) == text, case["name"]


def test_people_who_see_the_same_parts_share_a_skeleton() -> None:
    template = HTML.parse_template("<p>{{ name }}</p>{% if rich %}<b>{{ name }}</b>{% endif %}")
    one, _ = template.skeleton({"name": "Ada", "rich": True})
    other, values = template.skeleton({"name": "<i>Bo</i>", "rich": 1})
    third, _ = template.skeleton({"name": "Ada"})
    assert one == other != third
    assert values == ["&lt;i&gt;Bo&lt;/i&gt;"] * 2


@pytest.mark.parametrize("source", ["{% include 'a' %}", "{% render 'a' %}", "{{ x | safe }}", "{% foo %}"])
def test_files_and_ways_around_escaping_are_not_there(source: str) -> None:
    with pytest.raises(LiquidError):
        HTML.parse_template(source).text({"x": "<b>"})


HOSTILE = "<script>alert(1)</script>\"'&<br />\n\u2028{{ 7 }}"


@pytest.mark.parametrize("name", sorted(FILTERS - {"base64_decode", "base64_url_safe_decode"}))
def test_no_filter_lets_a_persons_words_become_markup(name: str) -> None:
    for arguments in ("", ": x", ': "<", x', ': "a", x', ": 2", ": 3, 9"):
        for source in (
            "{{ x | %s%s }}",
            '{{ "a" | %s%s }}',
            '{{ "<i>" | append: x | %s%s }}',
            "{%% capture c %%}{{ x }}{%% endcapture %%}{{ c | %s%s }}",
        ):
            try:
                text = HTML.parse_template(source % (name, arguments)).text({"x": HOSTILE})
            except LiquidError:
                continue
            assert "<script" not in text.lower(), (source, name, arguments)


def test_encoded_words_are_decoded_to_data() -> None:
    assert HTML.parse_template("{{ x | base64_decode }}").text({"x": "PGI+"}) == "&lt;b&gt;"


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..10000) %}{% for j in (1..10000) %}x{% endfor %}{% endfor %}",
        "{{ (1..1000000000) | join }}",
        "{% assign a = 'xxxxxxxxxx' %}{% for i in (1..40) %}{% assign a = a | append: a %}{% endfor %}",
        "{% for i in (1..9999) %}{{ x }}{% endfor %}",
        "{{ 2 | times: 'nan' | round | date: '%Y' | at_most: x | divided_by: 0 }}",
        "{% for i in (1..31) %}" * 31 + "{% endfor %}" * 31,
    ],
    ids=["loops", "range", "assigned", "output", "arithmetic", "nesting"],
)
def test_a_template_without_an_end_is_stopped(source: str) -> None:
    with pytest.raises(LiquidError):
        PLAIN.parse_template(source).text({"x": "x" * 1000})


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(max_size=20)))
def test_what_is_missing_is_empty(data: dict[str, str]) -> None:
    text = PLAIN.parse_template("[{{ a }}{{ b.c.d }}{{ nothing | upcase }}]").text(data)
    assert text == f"[{data.get('a', '')}]"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "blank"), (False, "blank"), (" \n", "blank"), ([], "blank"), ("x", "not"), (0, "not")],
)
def test_nothing_is_blank(value: object, shown: str) -> None:
    source = "{% if x == blank %}blank{% endif %}{% if x != blank %}not{% endif %}"
    assert PLAIN.parse_template(source).text({"x": value}) == shown


def test_an_error_knows_its_line() -> None:
    with pytest.raises(LiquidError) as caught:
        PLAIN.parse_template("a\n\n{% if %}\n{% endif %}")
    assert line_of(caught.value) == 3


@pytest.mark.parametrize(
    ("source", "locale", "text"),
    [
        ("{{ 1234.5 | number }}", "de", "1.234,5"),
        ("{{ 1234.5 | money: 'EUR' }}", "de", "1.234,50\xa0€"),
        ("{{ t | local_date: format: 'short' }}", "en_GB", "24/11/2026, 09:30"),
    ],
)
def test_numbers_and_dates_are_those_of_the_language(source: str, locale: str, text: str) -> None:
    data = {"babel_locale": locale, "time_zone": "Europe/Berlin", "t": "2026-11-24T08:30:00+00:00"}
    assert set(LOCAL_FILTERS) == {"number", "money", "local_date"}
    assert PLAIN.parse_template(source).text(data) == text
