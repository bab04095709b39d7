"""`matches()`: regular expressions in time linear in the text, by RE2.

RE2 is imported when the first pattern comes, so that an edge does without it.
"""

import functools
from collections.abc import Callable
from typing import Final

from core.errors import EvaluationError

PATTERN_LENGTH_MAX: Final = 1_024
PATTERN_BYTES_MAX: Final = 1024 * 1024  # of a compiled pattern
PATTERNS_KEPT: Final = 256


def matches(text: str, pattern: str) -> bool:
    """Say whether the pattern occurs anywhere in the text."""
    if len(pattern) > PATTERN_LENGTH_MAX:
        raise EvaluationError(
            expected=f"a pattern of at most {PATTERN_LENGTH_MAX} characters", got="a longer one"
        )
    return _compiled(pattern)(text)


@functools.lru_cache(PATTERNS_KEPT)
def _compiled(pattern: str) -> Callable[[str], bool]:
    import re2

    options = re2.Options()
    options.max_mem = PATTERN_BYTES_MAX
    options.log_errors = False
    options.never_capture = True
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        raise EvaluationError("the pattern is no regular expression of RE2") from error
    return lambda text: search(text) is not None
