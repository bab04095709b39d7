"""Event names: the canonical ones, built in and declared, and their other spellings."""

from dataclasses import dataclass

from core.authoring import shown
from core.authoring.builtins import EVENTS
from core.compiler.work import Work


@dataclass(slots=True, frozen=True)
class Taxonomy:
    names: frozenset[str]
    aliases: dict[str, str]  # alias -> canonical name


def compile_taxonomy(work: Work) -> Taxonomy:
    """Join the declared events to the built-in ones."""
    names = EVENTS | work.objects["events"].keys()
    aliases: dict[str, str] = {}
    for path, event in work.ordered("events"):
        for at, alias in enumerate(event.aliases):
            where = (*path, "aliases", at)
            if alias in names:
                work.faults.add(where, "a name that is no canonical event name itself", shown(alias))
            elif alias in aliases:
                work.faults.add(
                    where, "an alias of one event only", f"{shown(alias)}, of {shown(aliases[alias])} too"
                )
            else:
                aliases[alias] = event.name
    return Taxonomy(names, dict(sorted(aliases.items())))
