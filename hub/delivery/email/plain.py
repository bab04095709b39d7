"""The plain part of a message whose template has none: the words of its HTML, with links written out."""

import re
from html.parser import HTMLParser
from typing import Final

_UNSEEN: Final = frozenset({"head", "style", "script", "title", "template"})
_BLOCKS: Final = frozenset(
    ("address", "article", "aside", "blockquote", "center", "div", "dl", "dt", "dd", "footer", "form",
     "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre",
     "section", "table", "tbody", "tfoot", "thead", "tr", "ul")
)  # fmt: skip
_APART: Final = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"})
_VOID: Final = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
     "track", "wbr")
)  # fmt: skip
_SPACE: Final = re.compile(r"[ \t\r\n\f\xa0]+")
_LINE_ENDS: Final = re.compile(r"[ \t]+\n")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")
_HIDDEN: Final = re.compile(r"display\s*:\s*none")


def text_of_html(html: str) -> str:
    """The words of a page as lines: items with a dash, links with their address, pictures as their words."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return tidy("".join(reader.parts))


def tidy(text: str) -> str:
    """No spaces at ends of lines and never two empty lines."""
    return _EMPTY_LINES.sub("\n\n", _LINE_ENDS.sub("\n", text)).strip() + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: list[str] = []  # open elements inside one that is not seen, that one first
        self._links: list[tuple[str, int]] = []
        self._ended = 2  # how many line ends stand last

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if self._unseen or tag in _UNSEEN or _HIDDEN.search(given.get("style", "")):
            if tag not in _VOID:
                self._unseen.append(tag)
        elif tag == "br":
            self._new_lines(self._ended + 1)
        elif tag == "img":
            self._words(given.get("alt", ""))
        elif tag == "a":
            self._links.append((given.get("href", ""), len(self.parts)))
        else:
            self._break(tag)
            if tag == "li":
                self._words("- ")

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            if tag in self._unseen:
                del self._unseen[len(self._unseen) - 1 - self._unseen[::-1].index(tag) :]
        elif tag == "a" and self._links:
            self._end_link(*self._links.pop())
        else:
            self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._words(data)

    def _words(self, data: str) -> None:
        words = _SPACE.sub(" ", data)
        if self._ended or self.parts[-1].endswith(" "):
            words = words.lstrip(" ")
        if words:
            self.parts.append(words)
            self._ended = 0

    def _break(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._new_lines(2 if tag in _APART else 1)
        elif tag in ("td", "th"):
            self._words(" ")

    def _new_lines(self, count: int) -> None:
        """Make as many line ends stand last, if there are fewer."""
        missing = count - self._ended
        if missing > 0:
            self.parts.append("\n" * missing)
            self._ended = count

    def _end_link(self, address: str, begin: int) -> None:
        label = "".join(self.parts[begin:]).strip()
        shown = address.removeprefix("mailto:").removeprefix("tel:")
        if not address or address.startswith("#") or label == shown:
            return
        self._words(f" ({shown})" if label else shown)
