"""SDKs that assign variants, with one experiment of two equal variants and no targeting, from a configuration
that is given: none of them asks a network. Each loop assigns each unit of a list, called as its SDK says, and
returns what the last one got.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

Loop = Callable[[Sequence[str]], Any]
NAME: Final = "home-hero"
SHARDS: Final = 10_000


def eppo() -> Loop:
    """Eppo's SDK, which is Rust; assignments are not logged."""
    import eppo_client

    def split(variant: str, start: int, end: int) -> dict[str, Any]:
        return {
            "variationKey": variant,
            "shards": [{"salt": NAME, "ranges": [{"start": start, "end": end}]}],
        }

    flag = {
        "key": NAME,
        "enabled": True,
        "variationType": "STRING",
        "variations": {name: {"key": name, "value": name} for name in ("a", "b")},
        "totalShards": SHARDS,
        "allocations": [
            {
                "key": "all",
                "rules": [],
                "splits": [split("a", 0, SHARDS // 2), split("b", SHARDS // 2, SHARDS)],
                "doLog": False,
            }
        ],
    }
    flags = {
        "createdAt": "2026-11-01T00:00:00.000Z",
        "format": "SERVER",
        "environment": {"name": "benchmark"},
        "flags": {NAME: flag},
    }
    client = eppo_client.init(
        eppo_client.ClientConfig(
            api_key="none",
            assignment_logger=eppo_client.AssignmentLogger(),
            poll_interval_seconds=None,
            initial_configuration=eppo_client.Configuration(flags_configuration=json.dumps(flags).encode()),
        )
    )
    assign = client.get_string_assignment

    def loop(units: Sequence[str]) -> str:
        found = ""
        for unit in units:
            found = assign(NAME, unit, {}, "none")
        return found

    return loop


def growthbook() -> Loop:
    """GrowthBook's SDK, in Python: one instance, whose attributes are set for each unit."""
    from growthbook import Experiment, GrowthBook

    sdk = GrowthBook(attributes={})
    experiment = Experiment(key=NAME, variations=["a", "b"], hashVersion=2)

    def loop(units: Sequence[str]) -> str:
        found = ""
        for unit in units:
            sdk.set_attributes({"id": unit})
            found = sdk.run(experiment).value
        return found

    return loop


def unleash() -> Loop:
    """Unleash's engine, which is Rust behind JSON."""
    from yggdrasil_engine.engine import UnleashEngine

    engine = UnleashEngine()
    variants = [
        {"name": name, "weight": 500, "stickiness": "default", "payload": {"type": "string", "value": name}}
        for name in ("a", "b")
    ]
    strategy = {"name": "default", "parameters": {}, "constraints": []}
    feature = {"name": NAME, "enabled": True, "strategies": [strategy], "variants": variants}
    warnings = engine.take_state(json.dumps({"version": 2, "features": [feature]}))
    assert not warnings, warnings
    check = engine.check_variant

    def loop(units: Sequence[str]) -> str:
        found = ""
        for unit in units:
            found = check(NAME, {"userId": unit}).variant.name
        return found

    return loop
