from typing import final

@final
class Output:
    def __new__(cls) -> Output: ...
