from typing import final

@final
class Pool:
    def __new__(cls) -> Pool: ...
