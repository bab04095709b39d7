"""Random CEL expressions of each type, as text, over the attributes of a palette."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from hypothesis import strategies as st

from tests.properties.chance import Chance

Maker = Callable[[int], str]
Names = Mapping[str, Sequence[str]]

INTS: Final = [0, 1, -1, 2, 7, 42, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 10**18]
FLOATS: Final = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    0.2,
    7.0,
    42.0,
    1e-300,
    5e-324,
    1e308,
    -1e308,
    2.0**53,
    2.0**63,
    -(2.0**63),
]
STRINGS: Final = [
    "",
    "a",
    "ab",
    "abc",
    "b",
    "A",
    "é",
    "e\u0301",
    "漢字",
    "😀",
    "\uffff",
    "a\u0000b",
    'q"\\\n',
]
TIMES: Final = [
    "2026-11-23T12:00:00Z",
    "2026-11-23T12:00:00.001Z",
    "2026-11-23T13:00:00+01:00",
    "1970-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
]
DURATIONS: Final = ["0s", "1ms", "-1ms", "1h", "1h30m", "-36h", "1.5s", "2400000h"]
COMPARISONS: Final = ["==", "!=", "<", "<=", ">", ">="]
#: Patterns that RE2 and Python read alike, and one that is none.
PATTERNS: Final = ["", "a", "^a", "b$", "[ab]+c", "a.c", "(?i)A", "é|漢", "^$", "a|b|c", "."]

ints = st.sampled_from(INTS) | st.integers(-(2**63), 2**63 - 1)
floats = st.sampled_from(FLOATS) | st.floats(allow_nan=False, allow_infinity=False)
strings = st.sampled_from(STRINGS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


class Expressions:
    """Draws expressions. `names`: by type, the attributes that may be read, as `profile.x` or `context.x`."""

    def __init__(self, chance: Chance, names: Names, segments: Sequence[str] = ()) -> None:
        self.chance = chance
        self.names = names
        self.segments = segments

    def one_of(self, *makers: Maker) -> Maker:
        return self.chance.pick(makers)

    def read(self, kind: str) -> str:
        return self.chance.pick(self.names[kind])

    def truth(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.bool_literal, self.bool_read, self.bool_read, self.has, self.segment)(0)
        return self.one_of(
            *(
                self.conjunction,
                self.conjunction,
                self.negation,
                self.bool_choice,
                self.numbers,
                self.numbers,
            ),
            *(self.texts, self.moments, self.spans, self.bools, self.membership, self.membership),
            *(self.text_test, self.has, self.segment, self.bool_read),
        )(depth)

    def bool_literal(self, _depth: int) -> str:
        return self.chance.pick(["true", "false"])

    def bool_read(self, _depth: int) -> str:
        return self.read("bool")

    def has(self, _depth: int) -> str:
        return f"has({self.read(self.chance.pick(sorted(self.names)))})"

    def segment(self, _depth: int) -> str:
        return f"segment.{self.chance.pick(self.segments)}" if self.segments else "true"

    def conjunction(self, depth: int) -> str:
        operator = self.chance.pick([" && ", " || "])
        terms = [self.truth(depth - 1) for _ in range(self.chance.whole(2, 3))]
        return f"({operator.join(terms)})"

    def negation(self, depth: int) -> str:
        return f"!{self.truth(depth - 1)}"

    def bool_choice(self, depth: int) -> str:
        return self.choice(self.truth, depth)

    def choice(self, maker: Maker, depth: int) -> str:
        return f"({self.truth(depth - 1)} ? {maker(depth - 1)} : {maker(depth - 1)})"

    def compare(self, left: Maker, right: Maker, depth: int) -> str:
        operator = self.chance.pick(COMPARISONS)
        return f"({left(depth - 1)} {operator} {right(depth - 1)})"

    def numbers(self, depth: int) -> str:
        return self.compare(self.one_of(self.whole, self.real), self.one_of(self.whole, self.real), depth)

    def texts(self, depth: int) -> str:
        return self.compare(self.text, self.text, depth)

    def moments(self, depth: int) -> str:
        return self.compare(self.timestamp, self.timestamp, depth)

    def spans(self, depth: int) -> str:
        return self.compare(self.duration, self.duration, depth)

    def bools(self, depth: int) -> str:
        return self.compare(self.truth, self.truth, depth)

    def membership(self, depth: int) -> str:
        if self.chance.flag():
            return f"({self.text(depth - 1)} in {self.listing(depth - 1)})"
        kinds: list[tuple[Maker, list[Maker]]] = [
            (self.whole, [self.int_literal, self.float_literal]),
            (self.real, [self.float_literal, self.int_literal]),
            (self.text, [self.string_literal]),
            (self.truth, [self.bool_literal]),
            (self.timestamp, [self.timestamp_literal]),
        ]
        maker, literals = self.chance.pick(kinds)
        items = [self.one_of(*literals)(0) for _ in range(self.chance.whole(1, 3))]
        return f"({maker(depth - 1)} in [{', '.join(items)}])"

    def text_test(self, depth: int) -> str:
        test = self.chance.pick(["contains", "startsWith", "endsWith"])
        return f"{self.text(depth - 1)}.{test}({self.text(depth - 1)})"

    def whole(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.int_literal, self.int_read, self.int_read)(0)
        return self.one_of(
            self.int_read, self.int_literal, self.int_arithmetic, self.int_minus, self.size, self.int_choice
        )(depth)

    def int_literal(self, _depth: int) -> str:
        return str(self.chance.draw(ints))

    def int_read(self, _depth: int) -> str:
        return self.read("int")

    def int_arithmetic(self, depth: int) -> str:
        operator = self.chance.pick("+-*/%")
        return f"({self.whole(depth - 1)} {operator} {self.whole(depth - 1)})"

    def int_minus(self, depth: int) -> str:
        return f"-({self.whole(depth - 1)})"

    def int_choice(self, depth: int) -> str:
        return self.choice(self.whole, depth)

    def size(self, depth: int) -> str:
        target = self.one_of(self.text, self.listing)(depth - 1)
        return f"size({target})" if self.chance.flag() else f"{target}.size()"

    def real(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.float_literal, self.float_read, self.float_read)(0)
        return self.one_of(
            self.float_read, self.float_literal, self.float_arithmetic, self.float_minus, self.float_choice
        )(depth)

    def float_literal(self, _depth: int) -> str:
        return repr(self.chance.draw(floats))

    def float_read(self, _depth: int) -> str:
        return self.read("float")

    def float_arithmetic(self, depth: int) -> str:
        return f"({self.real(depth - 1)} {self.chance.pick('+-*/')} {self.real(depth - 1)})"

    def float_minus(self, depth: int) -> str:
        return f"-({self.real(depth - 1)})"

    def float_choice(self, depth: int) -> str:
        return self.choice(self.real, depth)

    def text(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.string_literal, self.string_read, self.string_read)(0)
        return self.one_of(self.string_read, self.string_read, self.string_literal, self.string_choice)(depth)

    def string_literal(self, _depth: int) -> str:
        return string_literal(self.chance.draw(strings))

    def string_read(self, _depth: int) -> str:
        return self.read("string")

    def string_choice(self, depth: int) -> str:
        return self.choice(self.text, depth)

    def listing(self, depth: int) -> str:
        if depth > 0 and self.chance.whole(0, 4) == 0:
            return self.choice(self.listing, depth)
        return self.read("strings")

    def timestamp(self, depth: int) -> str:
        if depth <= 0:
            return self.one_of(self.timestamp_literal, self.timestamp_read, self.now)(0)
        return self.one_of(
            self.timestamp_literal, self.timestamp_read, self.now, self.later, self.timestamp_choice
        )(depth)

    def timestamp_literal(self, _depth: int) -> str:
        return f'timestamp("{self.chance.pick(TIMES)}")'

    def timestamp_read(self, _depth: int) -> str:
        return self.read("timestamp")

    def now(self, _depth: int) -> str:
        return "now"

    def later(self, depth: int) -> str:
        moment, span = self.timestamp(depth - 1), self.duration(depth - 1)
        order: str = self.chance.pick(["({0} + {1})", "({1} + {0})", "({0} - {1})"])
        return order.format(moment, span)

    def timestamp_choice(self, depth: int) -> str:
        return self.choice(self.timestamp, depth)

    def duration(self, depth: int) -> str:
        if depth > 0 and self.chance.flag():
            return f"({self.timestamp(depth - 1)} - {self.timestamp(depth - 1)})"
        return f'duration("{self.chance.pick(DURATIONS)}")'


class General(Expressions):
    """Draws what the tables cannot hold as a whole: strings made, lists gone through, conversions."""

    def __init__(self, chance: Chance, names: Names, segments: Sequence[str] = ()) -> None:
        super().__init__(chance, names, segments)
        self.variables: list[str] = []

    def truth(self, depth: int) -> str:
        if depth <= 0 or self.chance.once_in(3):
            return super().truth(depth)
        return self.one_of(
            *(self.matching, self.matching, self.built, self.quantified, self.quantified, self.counted),
            *(self.indexed, self.whole_from, self.moment_part, self.bound, self.listed, self.odd),
        )(depth)

    def entry(self, depth: int) -> str:
        """A string: an attribute, a literal, a variable, or made of others."""
        if self.variables and self.chance.flag():
            return self.chance.pick(self.variables)
        if depth > 0 and self.chance.once_in(3):
            return self.one_of(self.joined, self.number_text)(depth - 1)
        return self.one_of(self.string_read, self.string_literal)(0)

    def joined(self, depth: int) -> str:
        return f"({self.entry(depth)} + {self.entry(depth)})"

    def number_text(self, _depth: int) -> str:
        return f"string({self.one_of(self.int_read, self.bool_read)(0)})"

    def matching(self, depth: int) -> str:
        pattern = string_literal(self.chance.pick(PATTERNS))
        if self.chance.once_in(5):
            pattern = self.string_read(0)
        return f"{self.entry(depth)}.matches({pattern})"

    def built(self, depth: int) -> str:
        return self.compare(self.joined, self.entry, depth)

    def listing_of_strings(self, depth: int) -> str:
        if self.chance.once_in(4):
            return f"[{self.entry(depth)}, {self.entry(depth)}]"
        return self.read("strings")

    def quantified(self, depth: int) -> str:
        macro = self.chance.pick(["all", "exists", "exists_one"])
        source = self.listing_of_strings(depth - 1)
        return f"{source}.{macro}({self.predicate(depth)})"

    def predicate(self, depth: int) -> str:
        """A variable, and a bool about it."""
        name = f"v{len(self.variables)}"
        self.variables.append(name)
        about = self.one_of(
            lambda depth: f"{name} == {self.entry(depth)}",
            lambda depth: f"{name}.startsWith({self.entry(depth)})",
            lambda depth: f"size({name}) > {self.chance.whole(0, 2)}",
            self.truth,
        )(depth - 1)
        self.variables.pop()
        return f"{name}, {about}"

    def counted(self, depth: int) -> str:
        source = self.listing_of_strings(depth - 1)
        made = self.chance.pick(["filter", "map"])
        if made == "filter":
            return f"(size({source}.filter({self.predicate(depth)})) > {self.chance.whole(0, 2)})"
        return f'({source}.map(v, v + "!") == {self.listing_of_strings(depth - 1)})'

    def indexed(self, depth: int) -> str:
        if self.chance.flag():
            return f"({self.read('strings')}[{self.chance.whole(0, 2)}] == {self.entry(depth - 1)})"
        held = f'{{"a": {self.entry(depth - 1)}, {self.entry(0)}: "x"}}'
        return f"({held}[{self.entry(0)}] == {self.entry(depth - 1)})"

    def whole_from(self, depth: int) -> str:
        made = self.one_of(
            lambda depth: f"int({self.entry(depth)})",
            lambda depth: f"int({self.float_read(0)})",
            lambda depth: f"int({self.timestamp_read(0)})",
        )(depth - 1)
        return f"({made} {self.chance.pick(COMPARISONS)} {self.int_read(0)})"

    def moment_part(self, _depth: int) -> str:
        part = self.chance.pick(["getHours", "getFullYear", "getDayOfWeek", "getMonth", "getMilliseconds"])
        zone = self.chance.pick(["", '"+02:00"', '"-11:30"', '"UTC"'])
        moment = self.one_of(self.timestamp_read, self.now)(0)
        return f"({moment}.{part}({zone}) <= {self.chance.whole(0, 12)})"

    def bound(self, depth: int) -> str:
        name = f"v{len(self.variables)}"
        value = self.entry(depth - 1)
        self.variables.append(name)
        body = self.truth(depth - 1)
        self.variables.pop()
        return f"cel.bind({name}, {value}, {body})"

    def listed(self, depth: int) -> str:
        return f"({self.entry(depth - 1)} in [{self.entry(0)}, {self.entry(depth - 1)}])"

    def odd(self, depth: int) -> str:
        """What only its value tells: types, and values of any type."""
        entry = self.entry(depth - 1)
        return self.chance.pick(
            [
                f"(type({entry}) == string)",
                f"(dyn({entry}) == {self.int_read(0)})",
                f"dyn({entry}).matches(dyn({self.read('bool')}))",
                f"bool({entry})",
                f"(uint({self.int_read(0)}) > 1u)",
                f'(duration({self.string_read(0)}) > duration("1s"))',
            ]
        )


def string_literal(text: str) -> str:
    """A CEL literal: quotes, backslashes and control characters escaped."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return f"\\u{ord(character):04x}" if ord(character) < 32 or ord(character) == 127 else character


def condition(chance: Chance, names: Names, segments: Sequence[str] = (), depth: int = 3) -> str:
    """A bool expression nested at most so deep."""
    return Expressions(chance, names, segments).truth(chance.whole(0, depth))


def general_condition(chance: Chance, names: Names, segments: Sequence[str] = (), depth: int = 3) -> str:
    """A bool expression of which the general evaluator runs some part, as a rule."""
    return General(chance, names, segments).truth(chance.whole(1, depth))
