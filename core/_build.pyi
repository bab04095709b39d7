from typing import Literal

BUILD_MODE: Literal["release", "debug", "sanitize"]
