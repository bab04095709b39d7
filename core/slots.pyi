from typing import final

from typing_extensions import disjoint_base

@disjoint_base
class Slot: ...

@final
class Plain(Slot): ...

@final
class Text: ...

@final
class Strings(Slot): ...

@final
class Consenting(Slot): ...

@final
class Scored(Slot): ...
