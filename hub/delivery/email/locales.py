"""Which words a person reads: her locale, her language, else the template's."""

import re
from functools import lru_cache
from typing import Any, Final

from babel import Locale, UnknownLocaleError

from core.bundle import Outbound, Template

DEFAULT_BABEL: Final = "en"
BABEL_NAMES_MAX: Final = 1024
_TAG: Final = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?(?:[-_]([A-Za-z]{2}))?(?:[-_.@].*)?")


def chain(locale: str) -> tuple[str, ...]:
    """A locale and what it is a kind of: `de_at` -> (`de-AT`, `de`); () for what is none."""
    found = _TAG.fullmatch(locale.strip())
    if found is None:
        return ()
    language, script, region = found[1].lower(), found[2], found[3]
    script = f"-{script.title()}" if script else ""
    tags = [f"{language}{script}-{region.upper()}"] if region else []
    if script:
        tags.append(language + script)
    return (*tags, language)


def locale_of(template: Template, locale: str) -> str:
    """The locale of a message: the nearest to the person's for which the template has words."""
    wanted = chain(locale)
    if not template.strings:
        return wanted[0] if wanted else template.locale
    for tag in wanted:
        if tag in template.strings:
            # The region stays, for numbers and dates: de-AT reads the words of de.
            return wanted[0]
    return template.locale


def strings_of(template: Template, locale: str) -> dict[str, str]:
    """All words of a template in a locale; what is not translated is in the template's own."""
    words: dict[str, str] = {}
    for tag in reversed((*chain(locale), *chain(template.locale))):
        words.update(template.strings.get(tag, {}))
    return words


def translated(value: Any, block: str, locale: str, outbound: Outbound) -> Any:
    """A decided block's value in the message's locale.

    A decided text is prefix, words and suffix joined. As authored they are under the empty locale, so an
    attribute's value stays while the words around it are translated.
    """
    ways = outbound.translations.get(block)
    found = [ways[tag] for tag in chain(locale) if tag in ways] if ways else []
    if ways is None or not found or not isinstance(value, str):
        return value
    own, prefix, suffix = (word or "" for word in ways.get("", (None, None, None)))
    inner = value
    if value.startswith(prefix) and value.endswith(suffix) and len(value) >= len(prefix) + len(suffix):
        inner = value[len(prefix) : len(value) - len(suffix)]
    words, before, after = (next((one[at] for one in found if one[at] is not None), None) for at in range(3))
    if words is not None and inner == own:
        inner = words
    return (prefix if before is None else before) + inner + (suffix if after is None else after)


@lru_cache(BABEL_NAMES_MAX)
def babel_name(locale: str) -> str:
    """A locale as babel names it; `en` where babel does not know it."""
    for tag in chain(locale):
        try:
            return str(Locale.parse(tag, sep="-"))
        except (UnknownLocaleError, ValueError):
            continue
    return DEFAULT_BABEL
