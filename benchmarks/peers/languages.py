"""The workload's rules in the languages of other engines, translated from their Python.

A rule is an AND whose members are tests, negated tests, or ORs of tests; every profile of the workload has
all attributes, so that what these languages make of an absent one plays no part.
"""

import ast
import itertools
from dataclasses import dataclass
from typing import Any, Final

Json = Any


@dataclass(frozen=True)
class Test:
    """One condition: `below`, `above`, `between`, `differs`, `contains`, `one_of` or `true`."""

    kind: str
    name: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Group:
    """`and`, `or` or `not` of others."""

    kind: str
    members: tuple["Node", ...]


Node = Test | Group


def read_rule(python: str) -> Node:
    """A rule of the workload from its Python text."""
    return _node(ast.parse(python, mode="eval").body)


def _node(tree: ast.expr) -> Node:
    match tree:
        case ast.BoolOp(op=ast.And(), values=values):
            return Group("and", tuple(map(_node, values)))
        case ast.BoolOp(op=ast.Or(), values=values):
            return Group("or", tuple(map(_node, values)))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Group("not", (_node(operand),))
        case ast.Name(id=name):
            return Test("true", name)
        case ast.Compare(left=ast.Constant(value=low), ops=[ast.LtE(), ast.LtE()], comparators=[name, high]):
            return Test("between", _name(name), (low, ast.literal_eval(high)))
        case ast.Compare(left=ast.Constant(value=part), ops=[ast.In()], comparators=[ast.Name(id=name)]):
            return Test("contains", name, (part,))
        case ast.Compare(left=ast.Name(id=name), ops=[operator], comparators=[right]):
            value = ast.literal_eval(right)
            values = tuple(sorted(value)) if isinstance(operator, ast.In) else (value,)
            return Test(OPERATORS[type(operator)], name, values)
        case _:
            raise ValueError(f"expected a rule of the workload, got {ast.unparse(tree)}")


def _name(tree: ast.expr) -> str:
    assert isinstance(tree, ast.Name)
    return tree.id


OPERATORS: Final[dict[type[ast.cmpop], str]] = {
    ast.Lt: "below",
    ast.Gt: "above",
    ast.NotEq: "differs",
    ast.In: "one_of",
}


def json_logic(node: Node) -> Json:
    """JSONLogic, with its own `between`."""
    if isinstance(node, Group):
        if node.kind == "not":
            return {"!": [json_logic(node.members[0])]}
        return {node.kind: [json_logic(member) for member in node.members]}
    variable = {"var": node.name}
    match node.kind, node.values:
        case "below", (bound,):
            return {"<": [variable, bound]}
        case "above", (bound,):
            return {">": [variable, bound]}
        case "between", (low, high):
            return {"<=": [low, variable, high]}
        case "differs", (word,):
            return {"!==": [variable, word]}
        case "contains", (part,):
            return {"in": [part, variable]}
        case "one_of", words:
            return {"in": [variable, list(words)]}
        case _:
            return variable


def zen(node: Node) -> str:
    """The expression language of zen-engine, with its own intervals."""
    if isinstance(node, Group):
        if node.kind == "not":
            return f"not ({zen(node.members[0])})"
        return "(" + f" {node.kind} ".join(map(zen, node.members)) + ")"
    match node.kind, node.values:
        case "below", (bound,):
            return f"{node.name} < {bound}"
        case "above", (bound,):
            return f"{node.name} > {bound}"
        case "between", (low, high):
            return f"{node.name} in [{low}..{high}]"
        case "differs", (word,):
            return f"{node.name} != '{word}'"
        case "contains", (part,):
            return f"contains({node.name}, '{part}')"
        case "one_of", words:
            return f"{node.name} in [{', '.join(repr(word) for word in words)}]"
        case _:
            return node.name


def growthbook(node: Node) -> Json:
    """A condition of GrowthBook."""
    if isinstance(node, Group):
        if node.kind == "not":
            return {"$not": growthbook(node.members[0])}
        return {f"${node.kind}": [growthbook(member) for member in node.members]}
    match node.kind, node.values:
        case "below", (bound,):
            return {node.name: {"$lt": bound}}
        case "above", (bound,):
            return {node.name: {"$gt": bound}}
        case "between", (low, high):
            return {node.name: {"$gte": low, "$lte": high}}
        case "differs", (word,):
            return {node.name: {"$ne": word}}
        case "contains", (part,):
            return {node.name: {"$regex": part}}
        case "one_of", words:
            return {node.name: {"$in": list(words)}}
        case _:
            return {node.name: True}


def flagsmith(node: Node) -> Json:
    """A rule of a Flagsmith segment, under ALL, ANY or NONE. Conditions and nested rules of one rule
    both have to hold, whatever it is under, so that only an ALL has both.
    """
    if isinstance(node, Test):
        return {"type": "ALL", "conditions": _flagsmith_conditions(node)}
    plain = [_flagsmith_conditions(member) if isinstance(member, Test) else [] for member in node.members]
    apart = node.kind != "and" and any(len(conditions) != 1 for conditions in plain)
    rule: dict[str, Any] = {"type": FLAGSMITH_GROUPS[node.kind], "conditions": [], "rules": []}
    for member, conditions in zip(node.members, plain, strict=True):
        if conditions and not apart:
            rule["conditions"] += conditions
        else:
            rule["rules"].append(flagsmith(member))
    return rule


FLAGSMITH_GROUPS: Final = {"and": "ALL", "or": "ANY", "not": "NONE"}


def _flagsmith_conditions(test: Test) -> list[Json]:
    def condition(operator: str, value: Any) -> Json:
        return {"property": test.name, "operator": operator, "value": value}

    match test.kind, test.values:
        case "below", (bound,):
            return [condition("LESS_THAN", str(bound))]
        case "above", (bound,):
            return [condition("GREATER_THAN", str(bound))]
        case "between", (low, high):
            return [
                condition("GREATER_THAN_INCLUSIVE", str(low)),
                condition("LESS_THAN_INCLUSIVE", str(high)),
            ]
        case "differs", (word,):
            return [condition("NOT_EQUAL", word)]
        case "contains", (part,):
            return [condition("CONTAINS", part)]
        case "one_of", words:
            return [condition("IN", ",".join(words))]
        case _:
            return [condition("EQUAL", "true")]


def unleash(node: Node) -> list[Json]:
    """The strategies of an Unleash toggle: any of them, each an AND of constraints."""
    return [
        {"name": "default", "parameters": {}, "constraints": [one for part in parts for one in part]}
        for parts in _alternatives(node, holds=True)
    ]


def _alternatives(node: Node, *, holds: bool) -> list[list[list[Json]]]:
    """The node, or its negation, as an OR of ANDs."""
    if isinstance(node, Test):
        constraints = _unleash_constraints(node)
        if holds:
            return [[constraints]]
        return [[[{**one, "inverted": not one["inverted"]}]] for one in constraints]
    if node.kind == "not":
        return _alternatives(node.members[0], holds=not holds)
    inner = [_alternatives(member, holds=holds) for member in node.members]
    if (node.kind == "and") == holds:
        return [list(itertools.chain(*choice)) for choice in itertools.product(*inner)]
    return list(itertools.chain(*inner))


def _unleash_constraints(test: Test) -> list[Json]:
    def constraint(operator: str, value: Any, inverted: bool = False) -> Json:
        key = "values" if isinstance(value, list) else "value"
        return {"contextName": test.name, "operator": operator, key: value, "inverted": inverted}

    match test.kind, test.values:
        case "below", (bound,):
            return [constraint("NUM_LT", str(bound))]
        case "above", (bound,):
            return [constraint("NUM_GT", str(bound))]
        case "between", (low, high):
            return [constraint("NUM_GTE", str(low)), constraint("NUM_LTE", str(high))]
        case "differs", (word,):
            return [constraint("NOT_IN", [word])]
        case "contains", (part,):
            return [constraint("STR_CONTAINS", [part])]
        case "one_of", words:
            return [constraint("IN", list(words))]
        case _:
            return [constraint("IN", ["true"])]


def polars_expression(node: Node) -> Any:
    """An expression over a polars frame that has a column for each attribute."""
    import polars

    if isinstance(node, Group):
        members = [polars_expression(member) for member in node.members]
        if node.kind == "not":
            return ~members[0]
        return (polars.all_horizontal if node.kind == "and" else polars.any_horizontal)(members)
    column = polars.col(node.name)
    match node.kind, node.values:
        case "below", (bound,):
            return column < bound
        case "above", (bound,):
            return column > bound
        case "between", (low, high):
            return column.is_between(low, high)
        case "differs", (word,):
            return column != word
        case "contains", (part,):
            return column.str.contains(part, literal=True)
        case "one_of", words:
            return column.is_in(list(words))
        case _:
            return column
