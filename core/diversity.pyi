from typing import final

from core.bundle import Offer

@final
class Likenesses:
    def __new__(cls, offers: list[Offer]) -> Likenesses: ...
