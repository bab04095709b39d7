"""The language of templates: Liquid, without files, with limits, and with values that stay data.

Two environments read the same language. `HTML` escapes what it puts out, for MJML; `PLAIN` does not, for
subjects and plain text. A template can be rendered as text, or as a skeleton: control flow is followed, but
each value leaves a hole, so that whoever had the same parts shown shares one skeleton (`layout.py`).
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import wraps
from typing import Any, ClassVar, Final, TextIO, cast

import liquid
from babel.numbers import format_currency
from liquid import BoundTemplate, Environment, RenderContext, Token, TokenStream
from liquid.ast import Node
from liquid.builtin.expressions.logical import EqExpression, NeExpression
from liquid.builtin.expressions.primitive import Blank
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.comment_tag import CommentNode, CommentTag
from liquid.builtin.tags.echo_tag import EchoNode, EchoTag
from liquid.exceptions import (
    LiquidError,
    LiquidSyntaxError,
    OutputStreamLimitError,
    ResourceLimitError,
)
from liquid.expression import Expression
from liquid.extra import DateTime, Number
from liquid.filter import num_arg, with_context
from liquid.stringify import to_liquid_string

#: What templates may use. Files (`include`, `render`) and ways around escaping (`safe`, `escapejs`) are not
#: there.
TAGS: Final = frozenset(
    ("#", "assign", "break", "capture", "case", "comment", "continue", "cycle", "decrement", "doc", "echo",
     "for", "if", "ifchanged", "increment", "liquid", "raw", "tablerow", "unless")
)  # fmt: skip
FILTERS: Final = frozenset(
    ("abs", "append", "at_least", "at_most", "base64_decode", "base64_encode", "base64_url_safe_decode",
     "base64_url_safe_encode", "capitalize", "ceil", "compact", "concat", "date", "default",
     "divided_by", "downcase", "escape", "escape_once", "find", "find_index", "first", "floor", "has",
     "join", "last", "lstrip", "map", "minus", "modulo", "newline_to_br", "plus", "prepend", "reject",
     "remove", "remove_first", "remove_last", "replace", "replace_first", "replace_last", "reverse",
     "round", "rstrip", "size", "slice", "sort", "sort_natural", "split", "squish", "strip",
     "strip_html", "strip_newlines", "sum", "times", "truncate", "truncatewords", "uniq", "upcase",
     "url_decode", "url_encode", "where")
)  # fmt: skip
#: In the person's language and time zone, by babel.
LOCAL_FILTERS: Final = frozenset({"number", "money", "local_date"})

LOOPS_MAX: Final = 10_000
OUTPUT_LENGTH_MAX: Final = 512 * 1024  # code points
ASSIGNED_BYTES_MAX: Final = 1024 * 1024
RENDER_SECONDS_MAX: Final = 1.0

#: Names that `local_date`, `money` and `number` read from the context.
LOCALE_NAME: Final = "babel_locale"
TIME_ZONE_NAME: Final = "time_zone"
DEFAULT_BABEL: Final = "en"

# What stands for a value in a skeleton: letters and digits that nobody else can know, so that neither a
# template nor a person's data can hold one.
_NONCE: Final = secrets.token_hex(8)
HOLE: Final = re.compile(rf"hole{_NONCE}x([0-9]+)x")
#: The only markup that a filter makes around a person's words; anything else belongs to the skeleton.
_BREAK: Final = "<br />"
_OPEN_TAG: Final = re.compile(r"\{[{%]")
_CLOSED_TAG: Final = re.compile(r"\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)


def hole(number: int) -> str:
    """The hole of value `number`."""
    return f"hole{_NONCE}x{number}x"


def fill(skeleton: str, values: list[str]) -> str:
    """The skeleton with its values."""
    return HOLE.sub(lambda found: values[int(found[1])], skeleton)


class _Buffer:
    """Where a template writes; it takes so much and no more."""

    def __init__(self, room: int = OUTPUT_LENGTH_MAX) -> None:
        self.parts: list[str] = []
        self.room = room

    def write(self, text: str) -> int:
        self.room -= len(text)
        if self.room < 0:
            raise OutputStreamLimitError(
                f"expected at most {OUTPUT_LENGTH_MAX} characters, got more", token=None
            )
        self.parts.append(text)
        return len(text)

    def value(self, text: str) -> int:
        return self.write(text)

    def getvalue(self) -> str:
        return "".join(self.parts)


class _Skeleton(_Buffer):
    """Keeps values apart. What a block captures is written by a plain buffer, for filters may read it."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[str] = []

    def value(self, text: str) -> int:
        if "<" in text and "<" in text.replace(_BREAK, ""):
            return self.write(text)
        self.room -= len(text)
        self.values.append(str(text))
        return self.write(hole(len(self.values) - 1))


class _Context(RenderContext):
    """A rendering with an end: the time limit is looked at wherever something is put out or filtered."""

    __slots__ = ("ends_at",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ends_at = time.monotonic() + RENDER_SECONDS_MAX

    def check_time(self) -> None:
        if time.monotonic() > self.ends_at:
            raise ResourceLimitError(f"expected to be done in {RENDER_SECONDS_MAX} s, was not", token=None)

    def get_buffer(self, buf: TextIO | None = None) -> Any:
        return _Buffer(cast(_Buffer, buf).room if isinstance(buf, _Buffer) else OUTPUT_LENGTH_MAX)


class Template(BoundTemplate):
    """A parsed template."""

    context_class = _Context

    def text(self, data: Mapping[str, object]) -> str:
        """Render. Raises LiquidError."""
        buffer = _Buffer()
        self._render(data, buffer)
        return buffer.getvalue()

    def skeleton(self, data: Mapping[str, object]) -> tuple[str, list[str]]:
        """Text with holes, and the values that belong into them. Raises LiquidError."""
        buffer = _Skeleton()
        self._render(data, buffer)
        return buffer.getvalue(), buffer.values

    def _render(self, data: Mapping[str, object], buffer: _Buffer) -> None:
        context = self.context_class(self, globals=self.make_globals(data))
        try:
            self.render_with_context(context, cast(TextIO, buffer))
        except LiquidError:
            raise
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            # A filter was given what it does not expect; the words of the error may hold a person's data.
            raise LiquidError(f"a filter could not work ({type(error).__name__})", token=None) from error


class _OutputNode(OutputNode):
    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        cast(_Context, context).check_time()
        text = to_liquid_string(self.expression.evaluate(context), context.autoescape)
        return cast(_Buffer, buffer).value(text) if isinstance(buffer, _Buffer) else buffer.write(text)


class _Output(Output):
    node_class = _OutputNode


class _EchoNode(_OutputNode):
    __slots__ = ()
    __str__ = EchoNode.__str__


class _Echo(EchoTag):
    node_class = _EchoNode  # type: ignore[assignment]


class _Comment(CommentTag):
    """Refuses what opens a tag and never closes it, as the reference does."""

    def parse(self, stream: TokenStream) -> CommentNode:
        node = super().parse(stream)
        if _OPEN_TAG.search(_CLOSED_TAG.sub("", node.text or "")):
            raise LiquidSyntaxError("expected whole tags inside a comment, got an open one", token=node.token)
        return node


class _BlankEq(EqExpression):
    """`x == blank`, true of nothing at all too: what is missing, nil and false are blank."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        values = (self.left.evaluate(context), self.right.evaluate(context))
        other = values[1] if isinstance(values[0], Blank) else values[0]
        return other is None or other is False or liquid.is_undefined(other) or Blank(self.token) == other


class _BlankNe(NeExpression):
    """`x != blank`."""

    __slots__ = ()
    _same = _BlankEq.evaluate

    def evaluate(self, context: RenderContext) -> object:
        return not _BlankEq.evaluate(cast(_BlankEq, self), context)


def _limited(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses endless ranges and looks at the clock."""

    @wraps(function)
    def limited(left: object, *args: Any, **kwargs: Any) -> Any:
        for value in (left, *args):
            if isinstance(value, range) and len(value) > LOOPS_MAX:
                raise ResourceLimitError(f"expected a range of at most {LOOPS_MAX}, got more", token=None)
        result = function(left, *args, **kwargs)
        if isinstance(result, str) and len(result) > OUTPUT_LENGTH_MAX:
            raise ResourceLimitError(
                f"expected at most {OUTPUT_LENGTH_MAX} characters of a filter, got more", token=None
            )
        return result

    return limited


@with_context
def _money(left: object, currency: object, *, context: RenderContext) -> str:
    """An amount in a currency by its code, such as `EUR`, as the person's language writes it."""
    locale = context.resolve(LOCALE_NAME, default=DEFAULT_BABEL)
    amount = Decimal(str(num_arg(left, default=0)))
    return str(format_currency(amount, str(currency), locale=str(locale)))


class _Environment(Environment):
    loop_iteration_limit: ClassVar[int | None] = LOOPS_MAX
    local_namespace_limit: ClassVar[int | None] = ASSIGNED_BYTES_MAX
    output_stream_limit: ClassVar[int | None] = OUTPUT_LENGTH_MAX
    template_class = Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=False)
        pseudo = {"content", "illegal", "output"}
        self.tags = {name: tag for name, tag in self.tags.items() if name in TAGS | pseudo}
        for tag in (_Output, _Echo, _Comment):
            self.add_tag(tag)
        self.filters = {name: _limited(self.filters[name]) for name in FILTERS}
        self.filters["number"] = Number(locale_var=LOCALE_NAME)
        self.filters["money"] = _money
        self.filters["local_date"] = DateTime(locale_var=LOCALE_NAME, timezone_var=TIME_ZONE_NAME)

    def parse_template(self, source: str) -> Template:
        """Parse. Raises LiquidError with the place."""
        template = self.from_string(source)
        for expression in _expressions(template):
            _make_blank(expression)
        return cast(Template, template)


def _expressions(template: BoundTemplate) -> Iterator[Expression]:
    """Every expression of a template, inner ones too."""
    context = RenderContext(template)
    nodes: list[Node] = list(template.nodes)
    while nodes:
        node = nodes.pop()
        nodes.extend(node.children(context, include_partials=False))
        waiting = list(node.expressions())
        while waiting:
            expression = waiting.pop()
            waiting.extend(expression.children())
            yield expression


def _make_blank(expression: Expression) -> None:
    """Let `blank` be compared here: in the library's `==` nil, false and what is missing are not blank."""
    if isinstance(expression, EqExpression | NeExpression) and (
        isinstance(expression.left, Blank) or isinstance(expression.right, Blank)
    ):
        expression.__class__ = _BlankEq if isinstance(expression, EqExpression) else _BlankNe


HTML: Final = _Environment(autoescape=True)
PLAIN: Final = _Environment(autoescape=False)


def line_of(error: LiquidError) -> int:
    """Line of the template where an error is, from 1; 0 if it is not known."""
    token: Token | None = error.token
    if token is None or not token.source:
        return 0  # the end, where something was still open
    return token.source.count("\n", 0, token.start_index) + 1


def what_of(error: LiquidError) -> str:
    """What is wrong, without the place."""
    return str(error.message or type(error).__name__)
