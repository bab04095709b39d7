from typing import final

from core.bundle import Experiment
from core.slots import Slot

@final
class Assignments(Slot): ...

@final
class Sticky: ...

def sticky_experiments(experiments: list[Experiment]) -> dict[str, Sticky]: ...
