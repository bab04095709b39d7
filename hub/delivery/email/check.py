"""Templates of a catalogue before they are published: everything that would make a message impossible, or
a word in it empty by mistake.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from liquid.exceptions import LiquidError
from liquid.static_analysis import Variable

from core.authoring import Catalogue, Faults, Path, shown
from core.authoring.types import Template
from core.authoring.unknown import UNREAD
from hub.delivery.email.language import (
    FILTERS,
    HTML,
    LOCAL_FILTERS,
    PLAIN,
    TAGS,
    line_of,
    what_of,
)
from hub.delivery.email.language import Template as Parsed
from hub.delivery.email.layout import Layouts
from hub.delivery.ports import EMAIL
from hub.errors import ContentError

#: What a template may name beside what it assigns itself; None: anything below it.
LINKS: Final = frozenset({"unsubscribe", "preferences", "site"})
PLAIN_NAMES: Final = frozenset({"locale", "now", "time_zone"})
_PARTS: Final = ("subject", "preheader", "mjml", "text")
_LIQUID: Final = re.compile(r"\{[{%]")
_ELEMENT: Final = re.compile(r"<(mj-[\w-]+|mjml)")
#: What mrml knows; an element that it does not know it leaves out without a word.
_ELEMENTS: Final = frozenset(
    ("mjml", "mj-accordion", "mj-accordion-element", "mj-accordion-text", "mj-accordion-title", "mj-all",
     "mj-attributes", "mj-body", "mj-breakpoint", "mj-button", "mj-carousel", "mj-carousel-image", "mj-class",
     "mj-column", "mj-divider", "mj-font", "mj-group", "mj-head", "mj-hero", "mj-image", "mj-navbar",
     "mj-navbar-link", "mj-preview", "mj-raw", "mj-section", "mj-social", "mj-social-element", "mj-spacer",
     "mj-style", "mj-table", "mj-text", "mj-title", "mj-wrapper")
)  # fmt: skip
_SAMPLES: Final[dict[str, object]] = {
    "text": "text", "url": "https://shop.example/", "number": 1, "bool": True, "string": "text", "int": 1,
    "float": 1.5, "timestamp": "2026-01-01T00:00:00Z", "strings": ["text"],
}  # fmt: skip


@dataclass(frozen=True)
class _Names:
    """What exists for a template: root -> names below it -> a sample."""

    known: Mapping[str, Mapping[str, object]]
    full: Mapping[str, object]
    unknown: frozenset[str]  # roots of which some names cannot be read


def check_templates(catalogue: Catalogue, faults: Faults) -> None:
    """Note what is wrong in the templates of e-mails: syntax, tags, filters, names, MJML."""
    layouts = Layouts()
    for index, template in enumerate(catalogue.templates):
        if template.channel == EMAIL:
            _check(catalogue, ("templates", index), template, faults, layouts)


def _check(catalogue: Catalogue, path: Path, template: Template, faults: Faults, layouts: Layouts) -> None:
    names = _names(catalogue, path, template, faults)
    parsed: dict[str, Parsed] = {}
    for part in _PARTS:
        source = getattr(template, part)
        if source:
            found = _parse((*path, part), source, HTML if part == "mjml" else PLAIN, faults)
            if found is not None:
                parsed[part] = found
                _check_names((*path, part), source, found, names, faults)
    for locale, words in template.strings.items():
        for key, source in words.items():
            if _LIQUID.search(source):
                place = (*path, "strings", locale, key)
                found = _parse(place, source, PLAIN, faults)
                if found is not None:
                    _check_names(place, source, found, names, faults)
    if "mjml" in parsed:
        _check_mjml((*path, "mjml"), template.mjml, parsed["mjml"], names, faults, layouts)


def _parse(path: Path, source: str, environment: Any, faults: Faults) -> Parsed | None:
    try:
        return environment.parse_template(source)  # type: ignore[no-any-return]
    except LiquidError as error:
        line, column = line_of(error) or source.rstrip().count("\n") + 1, _column_of(error)
        faults.add_inside(path, line, column, "a template in Liquid", what_of(error))
        return None


def _column_of(error: LiquidError) -> int:
    token = error.token
    return token.start_index - token.source.rfind("\n", 0, token.start_index) if token is not None else 1


def _check_names(path: Path, source: str, parsed: Parsed, names: _Names, faults: Faults) -> None:
    analysis = parsed.analyze(include_partials=False)
    for name, spans in analysis.filters.items():
        if name not in FILTERS | LOCAL_FILTERS:
            for span in spans:
                _add(path, source, span.index, "a filter that there is (docs/messages.md)", name, faults)
    for name, spans in analysis.tags.items():
        if name not in TAGS:
            for span in spans:
                _add(path, source, span.index, "a tag that there is (docs/messages.md)", name, faults)
    for variables in analysis.globals.values():
        for variable in variables:
            expected = _expected(variable, names)
            if expected:
                written = ".".join(str(one) for one in variable.segments)
                _add(path, source, variable.span.index, expected, written, faults)


def _expected(variable: Variable, names: _Names) -> str:
    """What should have stood there; empty where it is right or cannot be known."""
    root, *rest = variable.segments
    if root in PLAIN_NAMES or root in names.unknown:
        return ""
    below = names.known.get(str(root))
    if below is None:
        roots = sorted({*names.known, *PLAIN_NAMES})
        return f"one of {', '.join(roots)}, or a name that the template assigns"
    name = rest[0] if rest else None
    if not isinstance(name, str) or name in below:
        return ""
    return f"one of {', '.join(f'{root}.{one}' for one in sorted(below))}" if below else f"no {root}"


def _add(path: Path, source: str, index: int, expected: str, got: str, faults: Faults) -> None:
    line = source.count("\n", 0, index) + 1
    column = index - source.rfind("\n", 0, index)
    faults.add_inside(path, line, column, expected, shown(got))


def _check_mjml(
    path: Path, source: str, parsed: Parsed, names: _Names, faults: Faults, layouts: Layouts
) -> None:
    for element in _ELEMENT.finditer(source):
        if element[1] not in _ELEMENTS:
            _add(path, source, element.start(), "an element of MJML", element[1], faults)
    for data in (names.full, {}):
        try:
            skeleton, values = parsed.skeleton(data)
            layouts.of(skeleton, values)
        except LiquidError as error:
            if data:
                line = line_of(error) or 1
                faults.add_inside(
                    path, line, _column_of(error), "a template that can be rendered", what_of(error)
                )
            return
        except ContentError as error:
            said = str(error.__cause__ or error)
            faults.add(path, "MJML: every element closed, inside mj-body a section and a column", shown(said))
            return


def _names(catalogue: Catalogue, path: Path, template: Template, faults: Faults) -> _Names:
    words = {key: "text" for strings in template.strings.values() for key in strings}
    known: dict[str, Mapping[str, object]] = {
        "slots": {name: _SAMPLES[kind] for name, kind in _slots(catalogue, template)},
        "strings": words,
        "profile": {
            one.id: _SAMPLES.get(one.type, "text") for one in catalogue.attributes if one.source != "context"
        },
        "links": dict.fromkeys(LINKS, "https://shop.example/"),
    }
    rests: dict[str, list[Path]] = {
        "slots": [("placements",), ("journeys",), UNREAD],
        "strings": [(*path, "strings")],
        "profile": [("attributes",), UNREAD],
    }
    unknown = frozenset(root for root, paths in rests.items() if any(map(faults.unknown.touches, paths)))
    return _Names(known, {**known, "locale": template.locale, "now": "2026-01-01T00:00:00Z"}, unknown)


def _slots(catalogue: Catalogue, template: Template) -> Iterator[tuple[str, str]]:
    """Slots of the placements that journeys send in this template; of all of its channel if none does."""
    sends = [
        step.send.placement
        for journey in catalogue.journeys
        for step in journey.steps
        if step.send is not None and step.send.template == template.id
    ]
    for placement in catalogue.placements:
        if placement.id in sends or (not sends and placement.channel == template.channel):
            yield from placement.slots.items()
