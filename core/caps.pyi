from typing import final

from core.bundle import Cap, Offer

@final
class Caps:
    def __new__(cls, caps: list[Cap], offers: list[Offer]) -> Caps: ...
