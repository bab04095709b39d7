"""MJML to HTML, once for all who have the same parts shown.

A skeleton (`language.py`) is compiled by mrml, its styles are put inline by css-inline, and the result is cut
at its holes and links. A message is then those pieces joined, which costs a hundredth of compiling. A value
that the layout itself may depend on (a width, a colour, a class) goes into the skeleton before, so the
result is the same as compiling each message whole; tests hold the two beside each other.
"""

import html
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import css_inline
import mrml

from hub.delivery.email.language import HOLE, fill, hole
from hub.delivery.email.plain import text_of_html, tidy
from hub.errors import ContentError

HTML_LENGTH_MAX: Final = 1024 * 1024
LAYOUTS_MAX: Final = 256
#: What a link may open; anything else, such as `javascript:`, leads nowhere.
SCHEMES: Final = ("https://", "http://", "mailto:", "tel:", "sms:")
NOWHERE: Final = "#"

_TAG: Final = re.compile(r"<([A-Za-z][\w:-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_ATTRIBUTE: Final = re.compile(r"([\w:-]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_STYLE: Final = re.compile(r"<(mj-style|style|script)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)
_BY_ATTRIBUTE: Final = re.compile(r"<(mj-style|style)\b[^>]*>[^<]*\[", re.IGNORECASE)
#: Attributes that mrml and css-inline carry over as they are.
_CARRIED: Final = frozenset(
    {"href", "src", "alt", "title", "name", "rel", "target", "lang", "background-url"}
)
_HREF: Final = re.compile(r"(<a\b[^>]*?\shref=\")([^\"]*)(?=\")", re.IGNORECASE)
_BODY: Final = re.compile(r"<body\b[^>]*>", re.IGNORECASE)

# Values that every layout has beside the template's own, in this order, before them.
PREVIEW, LOCALE = 0, 1
OWN_VALUES: Final = 2
#: Mail programs fill a short preview with what follows; this keeps it empty.
_PREVIEW_FILL: Final = "&#847;&zwnj;&nbsp;" * 60
_PREVIEW: Final = (
    '<div style="display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;'
    'line-height:1px">{}</div>'
)

#: Gets a link's address, gives the address that the message shall hold.
Rewrite = Callable[[str], str]


@dataclass(frozen=True)
class Layout:
    """A compiled skeleton. Pieces: text, a value's number, or (as a tuple of both) the address of a link."""

    pieces: tuple[str | int | tuple[str | int, ...], ...]
    plain: tuple[str | int, ...]

    def html(self, values: list[str], rewrite: Rewrite) -> str:
        """The page. `values` are escaped for HTML."""
        out: list[str] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                out.append(piece)
            elif isinstance(piece, int):
                out.append(values[piece])
            else:
                out.append(_link(_join(piece, values), rewrite))
        return "".join(out)

    def text(self, values: list[str]) -> str:
        """The words of the page."""
        return tidy("".join(part if isinstance(part, str) else _bare(values[part]) for part in self.plain))


class Layouts:
    """Compiles skeletons and keeps the last ones. For any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Layout | tuple[int, ...]] = OrderedDict()
        self._lock = threading.Lock()
        self._inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
        self._fonts = mrml.RenderOptions(fonts={})

    def of(self, skeleton: str, values: list[str]) -> Layout:
        """The layout of an MJML skeleton. Raises ContentError where it is no MJML."""
        first = self._get(skeleton) or self._put(skeleton, self._look(skeleton))
        if isinstance(first, Layout):
            return first
        fixed = HOLE.sub(
            lambda found: values[int(found[1])] if int(found[1]) in first else found[0], skeleton
        )
        second = self._get(fixed) or self._put(fixed, self.compile(fixed))
        assert isinstance(second, Layout)
        return second

    def _look(self, skeleton: str) -> Layout | tuple[int, ...]:
        return shaping_values(skeleton) or self.compile(skeleton)

    def compile(self, skeleton: str) -> Layout:
        """Compile without looking at what is kept."""
        try:
            page = mrml.to_html(skeleton, render_options=self._fonts).content
            page = self._inliner.inline(page)
        except (OSError, ValueError) as error:
            # mrml and css-inline repeat the source, which may hold a person's words.
            raise ContentError(
                expected="a template that is MJML", got="something else", path="mjml"
            ) from error
        if len(page) > HTML_LENGTH_MAX:
            raise ContentError(
                expected=f"at most {HTML_LENGTH_MAX} characters of HTML", got=str(len(page)), path="mjml"
            )
        page = _shift(page).replace(' lang="und"', f' lang="{hole(LOCALE)}"')
        plain = text_of_html(page)
        page = _BODY.sub(lambda body: body[0] + hole(PREVIEW), page, count=1)
        return Layout(tuple(_pieces(page)), tuple(_cut(plain)))

    def _get(self, key: str) -> Layout | tuple[int, ...] | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def _put(self, key: str, value: Layout | tuple[int, ...]) -> Layout | tuple[int, ...]:
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > LAYOUTS_MAX:
                self._kept.popitem(last=False)
        return value


def preview(preheader: str) -> str:
    """The hidden first words of a page, which mail programs show beside the subject."""
    return _PREVIEW.format(html.escape(preheader) + _PREVIEW_FILL) if preheader else ""


def shaping_values(skeleton: str) -> tuple[int, ...]:
    """Numbers of the values that the layout may depend on."""
    if _BY_ATTRIBUTE.search(skeleton):
        return tuple(range(_count(skeleton)))
    found: set[int] = set()
    for block in _STYLE.finditer(skeleton):
        found.update(_holes(block[0]))
    for tag in _TAG.finditer(skeleton):
        if HOLE.search(tag[2]):
            rest = _ATTRIBUTE.sub(lambda one: "" if one[1].lower() in _CARRIED else one[0], tag[2])
            found.update(_holes(rest))
    return tuple(sorted(found))


def _holes(text: str) -> list[int]:
    return [int(found[1]) for found in HOLE.finditer(text)]


def _count(skeleton: str) -> int:
    return max(_holes(skeleton), default=-1) + 1


def _shift(page: str) -> str:
    """Make room for the values that every layout has."""
    return HOLE.sub(lambda found: hole(int(found[1]) + OWN_VALUES), page)


def _pieces(page: str) -> list[str | int | tuple[str | int, ...]]:
    pieces: list[str | int | tuple[str | int, ...]] = []
    end = 0
    for link in _HREF.finditer(page):
        pieces += _cut(page[end : link.end(1)])
        pieces.append(tuple(_cut(link[2])))
        end = link.end()
    return pieces + _cut(page[end:])


def _cut(text: str) -> list[str | int]:
    """Text and the numbers of its holes in turn."""
    parts = HOLE.split(text)
    return [int(part) if number % 2 else part for number, part in enumerate(parts) if part or number % 2]


def _join(parts: tuple[str | int, ...], values: list[str]) -> str:
    return "".join(part if isinstance(part, str) else values[part] for part in parts)


def _link(escaped: str, rewrite: Rewrite) -> str:
    address = html.unescape(escaped).strip()
    if not address.startswith(("#", "?", "/")) and not address.lower().startswith(SCHEMES):
        return NOWHERE
    return html.escape(rewrite(address))


def _bare(value: str) -> str:
    return html.unescape(value.replace("<br />", ""))


def compile_whole(layouts: Layouts, skeleton: str, values: list[str]) -> Layout:
    """As `Layouts.of`, but with every value in the source: what the quick way must equal."""
    return layouts.compile(fill(skeleton, values))
