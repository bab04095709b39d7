"""Rule engines that people use, holding the rules of a workload; each call takes a profile as a dict and
returns the list of the rules that hold, ascending.

Each engine is called in the fastest way found that gives the list: all rules in one call where it has such a
call, compiled in advance, and without the events and metrics that its SDK would send.
"""

import json
from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

from benchmarks.peers import languages
from benchmarks.workload import Profile, Rule

Match = Callable[[Any], list[int]]


def nodes_of(rules: Sequence[Rule]) -> list[languages.Node]:
    return [languages.read_rule(rule.python) for rule in rules]


def datalogic(rules: Sequence[Rule]) -> tuple[Match, Match]:
    """datalogic-py: one rule that merges the numbers of those that hold, from a dict; and the same from data
    that `parsed` made beforehand, its nearest to a packed record.
    """
    import datalogic_py

    engine = datalogic_py.Engine()
    numbered = [
        {"if": [languages.json_logic(node), [number], []]} for number, node in enumerate(nodes_of(rules))
    ]
    rule, session = engine.compile({"merge": numbered}), engine.session()
    return (
        lambda profile: session.evaluate(rule, profile),
        lambda handle: session.evaluate_data(rule, handle),
    )


def parsed(profiles: Sequence[Profile]) -> list[Any]:
    """Profiles as datalogic-py keeps data between calls."""
    import datalogic_py

    return [datalogic_py.DataHandle(profile) for profile in profiles]


def zen(rules: Sequence[Rule]) -> Match:
    """zen-engine: one compiled expression, a list with a bool a rule."""
    import zen as engine

    text = ", ".join(languages.zen(node) for node in nodes_of(rules))
    compiled, numbers = engine.compile_expression(f"[{text}]"), range(len(rules))
    return lambda profile: list(compress(numbers, compiled.evaluate(profile)))


def zen_table(rules: Sequence[Rule]) -> Match:
    """zen-engine: a decision table with a row a rule that collects those that hold, loaded in advance."""
    import zen as engine

    rows = [
        {"_id": str(number), "when": languages.zen(node), "rule": str(number)}
        for number, node in enumerate(nodes_of(rules))
    ]
    table = {
        "hitPolicy": "collect",
        "inputs": [{"id": "when", "name": "when"}],
        "outputs": [{"id": "rule", "name": "rule", "field": "rule"}],
        "rules": rows,
    }
    nodes = [
        {"id": "in", "type": "inputNode", "name": "in"},
        {"id": "table", "type": "decisionTableNode", "name": "table", "content": table},
        {"id": "out", "type": "outputNode", "name": "out"},
    ]
    edges = [
        {"id": "first", "sourceId": "in", "targetId": "table"},
        {"id": "second", "sourceId": "table", "targetId": "out"},
    ]
    content = engine.ZenDecisionContent(json.dumps({"nodes": nodes, "edges": edges}))
    decision = engine.ZenEngine().create_decision(content)
    return lambda profile: [row["rule"] for row in decision.evaluate(profile)["result"]]


def growthbook(rules: Sequence[Rule]) -> Match:
    """The GrowthBook SDK's evaluator of conditions, in Python."""
    from growthbook.core import evalCondition

    conditions = [languages.growthbook(node) for node in nodes_of(rules)]

    def match(profile: Profile) -> list[int]:
        return [number for number, one in enumerate(conditions) if evalCondition(profile, one)]

    return match


def flagsmith(rules: Sequence[Rule]) -> Match:
    """Flagsmith's engine for evaluation at home, in Python: the segments of an identity."""
    from flag_engine.segments.evaluator import is_context_in_segment

    segments: list[Any] = [
        {"key": str(number), "name": str(number), "rules": [languages.flagsmith(node)]}
        for number, node in enumerate(nodes_of(rules))
    ]

    def match(profile: Profile) -> list[int]:
        identity = {"identifier": "p", "key": "p", "traits": profile}
        context: Any = {"environment": {"key": "e", "name": "e"}, "identity": identity}
        return [number for number, one in enumerate(segments) if is_context_in_segment(context, one)]

    return match


def unleash(rules: Sequence[Rule]) -> Match:
    """Unleash's engine, which is Rust behind JSON: a toggle a rule. It takes properties as strings."""
    from yggdrasil_engine.engine import UnleashEngine

    engine = UnleashEngine()
    features = [
        {"name": f"r{number}", "enabled": True, "strategies": languages.unleash(node)}
        for number, node in enumerate(nodes_of(rules))
    ]
    warnings = engine.take_state(json.dumps({"version": 2, "features": features}))
    assert not warnings, warnings
    names = [(number, f"r{number}") for number in range(len(rules))]

    def match(profile: Profile) -> list[int]:
        properties = {name: spelled(value) for name, value in profile.items()}
        context = {"userId": "p", "properties": properties}
        return [number for number, name in names if engine.check_enabled(name, context).is_enabled]

    return match


def spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
