from typing import final

from core.slots import Slot

@final
class Total(Slot): ...

@final
class Buckets(Slot): ...

@final
class Impressions(Slot): ...
