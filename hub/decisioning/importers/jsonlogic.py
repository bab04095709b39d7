"""JsonLogic's rules in CEL, over what a rule is given in `data`.

A rule is a value, not only a condition, so what it makes is no error where JsonLogic has none. JsonLogic
takes JavaScript's values: null, false, 0, "" and [] are false, texts that are numbers are numbers, and
arithmetic is that of doubles. What a part of a rule is for certain (`kind`) saves the coercions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise
from typing import Any, Final

from hub.decisioning.importers import leaves
from hub.decisioning.importers.verdicts import NOTHING, Case, MalformedError, from_json
from hub.decisioning.importers.writing import FALSE, TRUE, OutsideError, Ref, finished, literal, negated, path

ROOT: Final = "data"
NESTING_MAX: Final = 24
FALSY: Final = '[null, false, 0, "", []]'
_EMPTY: Final = '[null, ""]'
BOOL, NUMBER, TEXT, LIST, ANY = "bool", "number", "text", "list", "any"
_MACROS: Final = frozenset({"map", "filter", "all", "none", "some"})


@dataclass(slots=True, frozen=True)
class Part:
    """A value's text, an expression that can stand anywhere, and its kind if that is certain."""

    text: str
    kind: str = ANY


def translate(rule: Any) -> str:
    """The rule in CEL. Raises OutsideError."""
    return finished(_Translator(ROOT, 0).part(rule).text)


class _Translator:
    """`data` is the name of what `var` looks into: the rule's data, or the entry of a list around it."""

    def __init__(self, data: str, depth: int) -> None:
        if depth > NESTING_MAX:
            raise OutsideError(f"a rule nested more than {NESTING_MAX} deep")
        self.data = data
        self.depth = depth

    def part(self, rule: Any) -> Part:
        if isinstance(rule, list):
            return Part(f"[{', '.join(self.deeper(one).text for one in rule)}]", LIST)
        if not isinstance(rule, dict):
            return _constant(rule)
        if len(rule) != 1:
            raise OutsideError("an object that is no rule")
        ((name, written),) = rule.items()
        arguments = written if isinstance(written, list) else [written]
        if name in _MACROS:
            return self.over_list(name, arguments)
        special = _SPECIAL.get(name)
        if special is not None:
            return special(self, arguments)
        plain = _PLAIN.get(name)
        if plain is None:
            raise OutsideError(
                f"the operator `{name}`" if name in _KNOWN_OUTSIDE else "an operator of one's own"
            )
        return plain([self.deeper(argument) for argument in arguments])

    def deeper(self, rule: Any) -> Part:
        return _Translator(self.data, self.depth + 1).part(rule)

    # ---- What looks into the data

    def variable(self, arguments: Sequence[Any]) -> Part:
        name = arguments[0] if arguments else ""
        default = self.deeper(arguments[1]) if len(arguments) > 1 else _constant(None)
        if isinstance(name, dict | list):
            raise OutsideError("a variable whose name is computed")
        if name is None or name == "":
            return Part(self.data)
        ref = self.look_up(str(name))
        return Part(f"({negated(ref.missing)} ? {ref.text} : {default.text})")

    def look_up(self, name: str) -> Ref:
        """A path of keys, or of indexes where what it leads through is a list."""
        keys = name.split(".")
        if not any(key.isdigit() for key in keys):
            return path(self.data, keys, root_is_map=False)
        text, missing = self.data, []
        for key in keys:
            inner = f"type({text}) == list && size({text}) > {key}" if key.isdigit() else FALSE
            missing.append(f"!({inner} || type({text}) == map && {literal(key)} in {text})")
            text = f"(type({text}) == list ? {text}[{key}] : {text}[{literal(key)}])"
        return Ref(text, f"({' || '.join(missing)})")

    def missing(self, arguments: Sequence[Any]) -> Part:
        names = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else arguments
        if any(isinstance(name, dict | list) for name in names):
            return self.missing_of(self.deeper(arguments[0] if len(arguments) == 1 else list(arguments)))
        parts = []
        for name in names:
            ref = self.look_up(str(name))
            parts.append(f"({ref.missing} || {ref.text} in {_EMPTY} ? [{literal(name)}] : [])")
        return Part(f"({' + '.join(parts)})" if len(parts) > 1 else "".join(parts) or "[]", LIST)

    def missing_of(self, names: Part) -> Part:
        """Names that are computed can have no dots."""
        test = f"type({self.data}) != map || !(name in {self.data}) || {self.data}[name] in {_EMPTY}"
        return Part(f"{_as_list(names)}.filter(name, {test})", LIST)

    def missing_some(self, arguments: Sequence[Any]) -> Part:
        if len(arguments) != 2 or not isinstance(arguments[1], list) or not isinstance(arguments[0], int):
            raise OutsideError("`missing_some` of names that are computed")
        needed, names = arguments
        absent = self.missing(names).text
        return Part(
            f"cel.bind(absent, {absent}, {len(names)} - size(absent) >= {needed} ? [] : absent)", LIST
        )

    # ---- What chooses, and what goes over lists

    def conditional(self, arguments: Sequence[Any]) -> Part:
        parts = [self.deeper(argument) for argument in arguments]
        if len(parts) % 2 == 0:
            parts.append(_constant(None))
        result = parts[-1]
        for at in range(len(parts) - 3, -1, -2):
            kind = parts[at + 1].kind if parts[at + 1].kind == result.kind else ANY
            result = Part(f"({_truth(parts[at])} ? {parts[at + 1].text} : {result.text})", kind)
        return result

    def either(self, arguments: Sequence[Any]) -> Part:
        return _chosen([self.deeper(argument) for argument in arguments], until=True)

    def both(self, arguments: Sequence[Any]) -> Part:
        return _chosen([self.deeper(argument) for argument in arguments], until=False)

    def over_list(self, name: str, arguments: Sequence[Any]) -> Part:
        if len(arguments) != 2:
            raise OutsideError(f"`{name}` without a list and a rule for its entries")
        group = _list_or_empty(self.deeper(arguments[0]))
        entry = f"e{self.depth}"
        body = _Translator(entry, self.depth + 1).part(arguments[1])
        if name == "map":
            return Part(f"{group}.map({entry}, {body.text})", LIST)
        if name == "filter":
            return Part(f"{group}.filter({entry}, {_truth(body)})", LIST)
        if name == "some":
            return Part(f"{group}.exists({entry}, {_truth(body)})", BOOL)
        if name == "none":
            return Part(f"!{group}.exists({entry}, {_truth(body)})", BOOL)
        return Part(f"(size({group}) > 0 && {group}.all({entry}, {_truth(body)}))", BOOL)


def _constant(value: Any) -> Part:
    kinds = {bool: BOOL, int: NUMBER, float: NUMBER, str: TEXT}
    return Part(literal(value), kinds.get(type(value), ANY))


def _truth(part: Part) -> str:
    """Whether a value counts as true, as a bool."""
    return part.text if part.kind == BOOL else f"!({part.text} in {FALSY})"


def _chosen(parts: list[Part], *, until: bool) -> Part:
    """`or` and `and`: the first value that decides, else the last."""
    if not parts:
        return _constant(None)
    if all(part.kind == BOOL for part in parts):
        return Part(f"({(' || ' if until else ' && ').join(part.text for part in parts)})", BOOL)
    result = parts[-1]
    for part in reversed(parts[:-1]):
        kind = part.kind if part.kind == result.kind else ANY
        yes, no = (part, result) if until else (result, part)
        result = Part(f"({_truth(part)} ? {yes.text} : {no.text})", kind)
    return result


def _number(part: Part) -> str:
    """A value as JavaScript's Number() of it, a double; NaN where it is none."""
    if part.kind == NUMBER:
        return f"double({part.text})"
    value = part.text
    text = f'(v in ["", null, false] ? 0.0 : v.matches("{leaves.NUMERIC}") ? double(v) : double("NaN"))'
    if part.kind == TEXT:
        return f"cel.bind(v, {value}, {text})"
    other = (
        '(v in [null, false] ? 0.0 : v == true ? 1.0 : type(v) in [list, map] ? double("NaN") : double(v))'
    )
    return f"cel.bind(v, {value}, type(v) == string ? {text} : {other})"


def _as_list(part: Part) -> str:
    return part.text if part.kind == LIST else f"cel.bind(l, {part.text}, type(l) == list ? l : [l])"


def _list_or_empty(part: Part) -> str:
    return part.text if part.kind == LIST else f"cel.bind(l, {part.text}, type(l) == list ? l : [])"


def _text(part: Part) -> str:
    if part.kind == TEXT:
        return part.text
    if part.kind in (NUMBER, BOOL):
        return f"string({part.text})"
    return f'cel.bind(v, {part.text}, v == null ? "" : string(v))'


def _negation(parts: list[Part]) -> Part:
    return Part(negated(_truth(parts[0])) if parts else TRUE, BOOL)


def _truth_of(parts: list[Part]) -> Part:
    return Part(_truth(parts[0]) if parts else FALSE, BOOL)


def _strictly_equal(parts: list[Part]) -> Part:
    one, other = _two(parts)
    return Part(f"({one.text} == {other.text})", BOOL)


def _loosely_equal(parts: list[Part]) -> Part:
    """`==` of JavaScript for the values that JSON has, without lists and objects beside other types."""
    one, other = _two(parts)
    if one.kind == other.kind and one.kind != ANY:
        return _strictly_equal(parts)
    if ANY not in (one.kind, other.kind):
        return Part(f"({_number(one)} == {_number(other)})", BOOL)
    alike = "a == null || b == null || type(a) == type(b) || type(a) in [list, map] || type(b) in [list, map]"
    test = f"{alike} ? a == b : {_number(Part('a'))} == {_number(Part('b'))}"
    return Part(f"cel.bind(a, {one.text}, cel.bind(b, {other.text}, {test}))", BOOL)


def _flipped(compare: Callable[[list[Part]], Part], parts: list[Part]) -> Part:
    return Part(negated(compare(parts).text), BOOL)


def _ordered(sign: str, parts: list[Part]) -> Part:
    """Texts are compared with texts, anything else as numbers; three values make a range."""
    if not 2 <= len(parts) <= 3:
        raise OutsideError("a comparison of other than two or three values")
    tests = [_in_order(sign, one, other) for one, other in pairwise(parts)]
    return Part(f"({' && '.join(tests)})", BOOL)


def _in_order(sign: str, one: Part, other: Part) -> str:
    if one.kind == other.kind == TEXT:
        return f"{one.text} {sign} {other.text}"
    if one.kind in (NUMBER, BOOL) or other.kind in (NUMBER, BOOL):
        return f"{_number(one)} {sign} {_number(other)}"
    numbers = f"{_number(Part('a'))} {sign} {_number(Part('b'))}"
    test = f"type(a) == string && type(b) == string ? a {sign} b : {numbers}"
    return f"cel.bind(a, {one.text}, cel.bind(b, {other.text}, {test}))"


def _two(parts: list[Part]) -> tuple[Part, Part]:
    if len(parts) != 2:
        raise OutsideError("a comparison of other than two values")
    return parts[0], parts[1]


def _chain(sign: str, parts: list[Part]) -> Part:
    if not parts:
        raise OutsideError(f"`{sign}` of nothing")
    numbers = [_number(part) for part in parts]
    if len(numbers) == 1:
        return Part(f"-{numbers[0]}" if sign == "-" else numbers[0], NUMBER)
    return Part(f"({reduce(lambda left, right: f'{left} {sign} {right}', numbers)})", NUMBER)


def _remainder(parts: list[Part]) -> Part:
    """Of whole numbers; CEL has no remainder of others, and is an error there."""
    one, other = _two(parts)
    whole = [f'cel.bind(n, {_number(part)}, n == double(int(n)) ? int(n) : int(""))' for part in (one, other)]
    return Part(f"({whole[0]} % {whole[1]})", NUMBER)


def _extreme(sign: str, parts: list[Part]) -> Part:
    if not parts:
        raise OutsideError("the largest or smallest of nothing")
    numbers = ", ".join(_number(part) for part in parts)
    return Part(f"cel.bind(n, [{numbers}], n.filter(x, n.all(y, x {sign} y))[0])", NUMBER)


def _inside(parts: list[Part]) -> Part:
    one, other = _two(parts)
    if other.kind == LIST:
        return Part(f"({one.text} in {other.text})", BOOL)
    if other.kind == TEXT:
        return Part(f"{other.text}.contains({_text(one)})", BOOL)
    test = f"type(h) == list ? n in h : type(h) == string && h.contains({_text(Part('n'))})"
    return Part(f"cel.bind(n, {one.text}, cel.bind(h, {other.text}, {test}))", BOOL)


def _concatenated(parts: list[Part]) -> Part:
    return Part(f"({' + '.join(_text(part) for part in parts)})" if parts else '""', TEXT)


def _merged(parts: list[Part]) -> Part:
    lists = [_as_list(part) if part.kind in (LIST, ANY) else f"[{part.text}]" for part in parts]
    return Part(f"({' + '.join(lists)})" if lists else "[]", LIST)


_PLAIN: Final[dict[str, Callable[[list[Part]], Part]]] = {
    "!": _negation,
    "!!": _truth_of,
    "==": _loosely_equal,
    "!=": partial(_flipped, _loosely_equal),
    "===": _strictly_equal,
    "!==": partial(_flipped, _strictly_equal),
    **{sign: partial(_ordered, sign) for sign in ("<", "<=", ">", ">=")},
    **{sign: partial(_chain, sign) for sign in ("+", "-", "*", "/")},
    "%": _remainder,
    "max": partial(_extreme, ">="),
    "min": partial(_extreme, "<="),
    "in": _inside,
    "cat": _concatenated,
    "merge": _merged,
}
_SPECIAL: Final[dict[str, Callable[[_Translator, Sequence[Any]], Part]]] = {
    "var": _Translator.variable,
    "missing": _Translator.missing,
    "missing_some": _Translator.missing_some,
    "if": _Translator.conditional,
    "?:": _Translator.conditional,
    "or": _Translator.either,
    "and": _Translator.both,
}
#: What JsonLogic has and CEL has nothing for.
_KNOWN_OUTSIDE: Final = frozenset({"substr", "reduce", "log"})


def cases(document: Any) -> Iterator[Case]:
    """The rules of a file: the shared suites' form, a list of cases and comments, or one rule."""
    if not isinstance(document, list):
        yield Case("rule", partial(translate, document))
        return
    for at, case in enumerate(document):
        if isinstance(case, str):
            continue
        if not isinstance(case, dict) or "rule" not in case:
            raise MalformedError(f'a case with "rule" at [{at}]')
        data = {ROOT: from_json(case.get("data"))}
        name = str(case.get("description", at))
        yield Case(
            name, partial(translate, case["rule"]), data, case.get("result", NOTHING), is_condition=False
        )
