from typing import final

@final
class Questions: ...
