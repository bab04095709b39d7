"""A template and a person's data become subject, preheader, HTML and plain text."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from liquid.exceptions import LiquidError

from core import bundle
from hub.delivery.email.language import HTML, LOCALE_NAME, PLAIN, TIME_ZONE_NAME, Template, line_of
from hub.delivery.email.layout import Layouts, Rewrite, preview
from hub.delivery.email.locales import babel_name, locale_of, strings_of, translated
from hub.delivery.email.plain import tidy
from hub.delivery.ports import Addressed
from hub.errors import ContentError

SUBJECT_LENGTH_MAX: Final = 255
PREHEADER_LENGTH_MAX: Final = 255
TEMPLATES_MAX: Final = 256
#: What a header may not hold: it would begin another one.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_LIQUID: Final = re.compile(r"\{[{%]")


@dataclass(frozen=True)
class Rendered:
    """The parts of a message. `html` is empty where the template has no MJML."""

    subject: str
    preheader: str
    html: str
    text: str
    locale: str


@dataclass(frozen=True)
class _Sources:
    """A template's texts, parsed."""

    subject: Template
    preheader: Template | None
    mjml: Template | None
    text: Template | None


class Renderer:
    """Renders messages; keeps parsed templates and compiled layouts. For any thread."""

    def __init__(self) -> None:
        self._layouts = Layouts()
        self._sources: OrderedDict[tuple[str, ...], _Sources] = OrderedDict()
        self._words: OrderedDict[tuple[int, str], tuple[bundle.Template, dict[str, str]]] = OrderedDict()
        self._parsed: OrderedDict[str, Template] = OrderedDict()
        self._lock = threading.Lock()

    def render(self, message: Addressed, links: Mapping[str, str], rewrite: Rewrite) -> Rendered:
        """Render all parts. `rewrite` is given the address of each link of the HTML.

        Raises ContentError with template, part and line; never with a person's words.
        """
        template = message.template
        sources = self._sources_of(template)
        locale = locale_of(template, message.locale)
        data = self._data(message, locale, links)
        subject = _header(_render("subject", template, sources.subject, data))[:SUBJECT_LENGTH_MAX]
        if not subject:
            raise ContentError(expected="a subject", got="none", path=f"templates.{template.id}.subject")
        preheader = ""
        if sources.preheader is not None:
            preheader = _header(_render("preheader", template, sources.preheader, data))[
                :PREHEADER_LENGTH_MAX
            ]
        html = text = ""
        if sources.mjml is not None:
            skeleton, found = _skeleton(template, sources.mjml, data)
            values = [preview(preheader[:PREHEADER_LENGTH_MAX]), locale, *found]
            try:
                layout = self._layouts.of(skeleton, found)
            except ContentError as error:
                raise ContentError(
                    expected=error.expected, got=error.got, path=f"templates.{template.id}.mjml"
                ) from error
            html = layout.html(values, rewrite)
            text = "" if sources.text is not None else layout.text(values)
        if sources.text is not None:
            text = tidy(_render("text", template, sources.text, data))
        return Rendered(subject, preheader, html, text, locale)

    def _data(self, message: Addressed, locale: str, links: Mapping[str, str]) -> dict[str, Any]:
        slots = {
            name: translated(one.get("value"), one.get("block", ""), locale, message.outbound)
            for name, one in message.blocks.items()
        }
        data: dict[str, Any] = {
            "slots": slots,
            "profile": message.profile,
            "links": links,
            "locale": locale,
            "now": datetime.fromtimestamp(message.now_ms / 1000, UTC),
            LOCALE_NAME: babel_name(locale),
            TIME_ZONE_NAME: message.profile.get("time_zone") or message.outbound.time_zone,
        }
        words = self._strings_of(message.template, locale)
        data["strings"] = _Strings(words, lambda source: self._parse(source).text({**data, "strings": words}))
        return data

    def _sources_of(self, template: bundle.Template) -> _Sources:
        key = (template.subject, template.preheader, template.mjml, template.text)
        with self._lock:
            found = self._sources.get(key)
        if found is None:
            found = parse_sources(template)
            with self._lock:
                _keep(self._sources, key, found)
        return found

    def _strings_of(self, template: bundle.Template, locale: str) -> dict[str, str]:
        key = (id(template), locale)
        with self._lock:
            found = self._words.get(key)
            if found is None:
                # The template is kept with its words, so its address stays its own.
                found = (template, strings_of(template, locale))
                _keep(self._words, key, found)
        return found[1]

    def _parse(self, source: str) -> Template:
        with self._lock:
            found = self._parsed.get(source)
        if found is None:
            found = PLAIN.parse_template(source)
            with self._lock:
                _keep(self._parsed, source, found)
        return found


class _Strings(Mapping[str, str]):
    """The words of a language; those that are Liquid themselves are rendered when they are read."""

    def __init__(self, words: dict[str, str], render: Callable[[str], str]) -> None:
        self._words = words
        self._render = render

    def __getitem__(self, key: str) -> str:
        word = self._words[key]
        return self._render(word) if _LIQUID.search(word) else word

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


def parse_sources(template: bundle.Template) -> _Sources:
    """Parse a template's texts. Raises ContentError."""
    return _Sources(
        _parsed(template, "subject", PLAIN.parse_template),
        _parsed(template, "preheader", PLAIN.parse_template) if template.preheader else None,
        _parsed(template, "mjml", HTML.parse_template) if template.mjml else None,
        _parsed(template, "text", PLAIN.parse_template) if template.text else None,
    )


def _parsed(template: bundle.Template, part: str, parse: Callable[[str], Template]) -> Template:
    try:
        return parse(getattr(template, part))
    except LiquidError as error:
        raise _fault(template, part, error) from error


def _render(part: str, template: bundle.Template, source: Template, data: Mapping[str, object]) -> str:
    try:
        return source.text(data)
    except LiquidError as error:
        raise _fault(template, part, error) from error


def _skeleton(
    template: bundle.Template, source: Template, data: Mapping[str, object]
) -> tuple[str, list[str]]:
    try:
        return source.skeleton(data)
    except LiquidError as error:
        raise _fault(template, "mjml", error) from error


def _fault(template: bundle.Template, part: str, error: LiquidError) -> ContentError:
    path = f"templates.{template.id}.{part}"
    # The library's words may repeat a value, and values are a person's.
    return ContentError(
        expected="a template that can be rendered",
        got=f"{type(error).__name__} in line {line_of(error)}",
        path=path,
    )


def _header(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _keep(cache: "OrderedDict[Any, Any]", key: Any, value: Any) -> None:
    """Remember; the oldest makes room."""
    cache[key] = value
    while len(cache) > TEMPLATES_MAX:
        cache.popitem(last=False)
