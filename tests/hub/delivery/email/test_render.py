"""Templates become subject, preheader, HTML and plain text, in the person's language."""

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bundle import Outbound
from hub.delivery.email import language
from hub.delivery.email.layout import Layouts, compile_whole, preview
from hub.delivery.email.locales import chain, locale_of, translated
from hub.delivery.email.plain import text_of_html
from hub.delivery.email.render import Rendered, Renderer
from hub.errors import ContentError
from tests.hub.delivery.email.messages import blocks, message, template

LINKS = {"unsubscribe": "https://hub.example/u/T", "preferences": "https://hub.example/p/T"}


def render(**changes: Any) -> Rendered:
    master = template(
        **{key: changes.pop(key) for key in list(changes) if hasattr(template(), key) and key != "locale"}
    )
    return Renderer().render(message(master, **changes), LINKS, lambda address: address)


def mjml(inside: str, head: str = "") -> str:
    return (
        f"<mjml><mj-head>{head}</mj-head><mj-body><mj-section><mj-column>{inside}"
        "</mj-column></mj-section></mj-body></mjml>"
    )


def test_every_part_is_there() -> None:
    rendered = render()
    assert rendered.subject == "Your cart"
    assert rendered.preheader == "Two & more"
    assert "Two &amp; more" in rendered.html
    assert 'lang="en"' in rendered.html
    assert "color: red" in rendered.html
    assert "Boots &amp; socks" in rendered.html
    assert rendered.text.startswith("Hello Ada!\n\nBoots & socks\n\nGo 1 (https://shop.example/p?a=1&n=1)\n")
    assert "Unsubscribe (https://hub.example/u/T)" in rendered.text
    assert "Two" not in rendered.text


def test_an_own_text_wins_over_the_one_made_from_html() -> None:
    assert render(text="{{ slots.body }}\n\n\n\nBye {{ nobody }}\n").text == "Boots & socks\n\nBye\n"


def test_a_template_without_mjml_has_text_only() -> None:
    rendered = render(mjml="", text="{{ slots.body }}")
    assert (rendered.html, rendered.text) == ("", "Boots & socks\n")


@pytest.mark.parametrize("end", ["\r\nBcc: x@example.com", "\n\n", "\u2028x", "\x00"])
def test_a_subject_is_one_line(end: str) -> None:
    rendered = render(subject="Hi {{ profile.first_name }}", profile={"first_name": f"Ada{end}"})
    assert not set(rendered.subject) & set("\r\n\x00\u2028")


def test_a_message_without_a_subject_is_refused() -> None:
    with pytest.raises(ContentError, match=r"templates\.cart\.subject"):
        render(subject="{{ nothing }}")


@pytest.mark.parametrize("part", ["subject", "mjml", "text"])
def test_a_fault_names_template_part_and_line_and_nobody(part: str) -> None:
    broken = "x\n{{ profile.first_name | divided_by: 0 }}"
    with pytest.raises(ContentError) as caught:
        render(**{part: mjml(f"<mj-text>{broken}</mj-text>") if part == "mjml" else broken})
    assert f"templates.cart.{part}" in str(caught.value)
    assert "line 2" in str(caught.value)
    assert "Ada" not in str(caught.value)


def test_what_is_no_mjml_is_refused_without_a_word_of_it() -> None:
    with pytest.raises(ContentError) as caught:
        render(mjml="<mjml><mj-body>{{ profile.first_name }}<mj-text></mj-body></mjml>")
    assert "Ada" not in str(caught.value)


def test_no_file_and_no_network_is_read() -> None:
    with pytest.raises(ContentError):
        render(mjml=mjml('<mj-include path="/etc/passwd" />'))


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", " JavaScript:x", "data:text/html,x", "vbscript:x"]
)
def test_a_link_that_is_no_address_leads_nowhere(address: str) -> None:
    page = render(mjml=mjml('<mj-button href="{{ slots.u }}">Go</mj-button>'), blocks=blocks(u=address)).html
    assert address.strip() not in page
    assert 'href="#"' in page


@pytest.mark.parametrize(
    ("locale", "subject", "greeting"),
    [
        ("de-AT", "Dein Korb", "Hallo Ada!"),
        ("de_CH.UTF-8", "Dein Korb", "Hallo Ada!"),
        ("en", "Your cart", "Hello Ada!"),
        ("fr", "Your cart", "Hello Ada!"),
        ("", "Your cart", "Hello Ada!"),
        ("../../etc", "Your cart", "Hello Ada!"),
    ],
)
def test_words_are_those_of_the_nearest_language(locale: str, subject: str, greeting: str) -> None:
    rendered = render(locale=locale)
    assert rendered.subject == subject
    assert greeting in rendered.html
    assert rendered.preheader == "Two & more"  # not translated: the template's own


def test_the_region_stays_for_numbers_and_dates() -> None:
    master = template()
    assert [locale_of(master, one) for one in ("de-at", "fr-FR", "")] == ["de-AT", "en", "en"]
    assert chain("zh_hant_TW") == ("zh-Hant-TW", "zh-Hant", "zh")


WAYS = {
    "": ("friend", "Shoes for you, ", "!"),
    "de": ("Freund", "Schuhe für dich, ", None),
    "de-AT": (None, None, "."),
}


@pytest.mark.parametrize(
    ("value", "locale", "expected"),
    [
        ("Shoes for you, Ada!", "de", "Schuhe für dich, Ada!"),
        ("Shoes for you, friend!", "de", "Schuhe für dich, Freund!"),
        ("Shoes for you, Ada!", "de-AT", "Schuhe für dich, Ada."),
        ("Shoes for you, Ada!", "en", "Shoes for you, Ada!"),
        (7, "de", 7),
    ],
)
def test_a_block_is_translated_around_the_persons_own_value(
    value: object, locale: str, expected: object
) -> None:
    assert translated(value, "b", locale, Outbound(translations={"b": WAYS})) == expected


def test_a_translated_block_reaches_the_message() -> None:
    outbound = Outbound(
        translations={"body-block": {"": ("Boots & socks", "", ""), "de": ("Stiefel", None, None)}}
    )
    assert "Stiefel" in render(outbound=outbound, locale="de").html
    assert "Stiefel" not in render(outbound=outbound, locale="en").html


# No line ends: mrml writes one inside an attribute as a backslash and an n.
NASTY = st.text(alphabet="ab<>&\"' #;=/{}%é", max_size=12)
INSIDES = [
    "<mj-text><p>{{ a }}</p>{% if a contains 'b' %}<b>{{ b }}</b>{% endif %}</mj-text>",
    '<mj-image src="https://x/{{ a }}.png" alt="{{ b }}" />',
    '<mj-button href="https://x/?q={{ a }}&r={{ b }}">{{ b }}</mj-button>',
    '<mj-text color="{{ c }}" padding="{{ n }}px"><a href="/{{ b }}" title="{{ a }}">{{ a }}</a></mj-text>',
    '<mj-image width="{{ n }}px" src="https://x/a.png" alt="{{ a }}" />',
    '{% for x in l %}<mj-text css-class="k{{ n }}">{{ x }}{{ a | upcase }}</mj-text>{% endfor %}',
    "{% capture row %}<mj-text>{{ a }}</mj-text>{% endcapture %}{{ row }}{{ row }}",
    "<mj-raw><p>{{ a | newline_to_br }}</p></mj-raw>",
    '<mj-table><tr><td style="color: {{ c }}" width="{{ n }}">{{ a }}</td></tr></mj-table>',
]


@given(st.sampled_from(INSIDES), NASTY, NASTY, st.sampled_from(["red", "#00ff00"]), st.integers(1, 300))
def test_the_quick_way_gives_what_compiling_each_message_gives(
    inside: str, a: str, b: str, c: str, n: int
) -> None:
    head = '<mj-style inline="inline">.k7 { color: blue }</mj-style><mj-title>{{ a }}</mj-title>'
    source = language.HTML.parse_template(mjml(inside, head))
    skeleton, values = source.skeleton({"a": a, "b": b, "c": c, "n": n, "l": [a, b]})
    layouts = LAYOUTS
    given_values = [preview("Hi"), "en", *values]
    quick = layouts.of(skeleton, values)
    whole = compile_whole(layouts, skeleton, values)
    assert page_of(quick.html(given_values, str)) == page_of(whole.html(given_values, str))
    # A link without words is shown without brackets, which the quick way does not see.
    assert words_of(quick.text(given_values)) == words_of(whole.text(given_values))


LAYOUTS = Layouts()


def words_of(text: str) -> list[str]:
    return text.replace("(", "").replace(")", "").split()


def page_of(page: str) -> list[object]:
    reader = Page()
    reader.feed(page)
    reader.close()
    return reader.found


class Page(HTMLParser):
    """Tags with attributes and words, as a browser reads them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[object] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, sorted((name, " ".join((value or "").split())) for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        words = "".join(data.split())
        if words:
            if self.found and isinstance(self.found[-1], list):
                self.found[-1].append(words)
            else:
                self.found.append([words])


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>a  b</p><p>c</p>", "a b\n\nc\n"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b\n"),
        ("<a href='https://x/'>go</a> <a href='https://y'>https://y</a>", "go (https://x/) https://y\n"),
        ("<a href='https://x'><img alt='Pic' src=z></a><br>&amp;&eacute;", "Pic (https://x)\n&é\n"),
        ("<div style='display:none'>no<br>no</div><style>no</style><title>no</title>yes", "yes\n"),
        ("<div style='display: none'><div>no</div>no</div>yes<!-- no -->", "yes\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc\n"),
        ("<p>unclosed <b>and</p> after", "unclosed and\n\nafter\n"),
    ],
)
def test_the_words_of_a_page_are_lines(page: str, text: str) -> None:
    assert text_of_html(page) == text
