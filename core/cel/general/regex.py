"""`matches()`: regular expressions in time linear in the text, by RE2.

RE2 is imported when the first pattern comes.
"""

import functools
from collections.abc import Callable
from typing import Final

from core.errors import EvaluationError

PATTERN_LENGTH_MAX: Final = 1_024
PATTERN_BYTES_MAX: Final = 1024 * 1024  # of a compiled pattern
PATTERNS_KEPT: Final = 256

#: Says whether a pattern occurs anywhere in a text.
Pattern = Callable[[str], bool]


def matches(text: str, pattern: str) -> bool:
    """Say whether the pattern occurs anywhere in the text."""
    return _kept(pattern)(text)


def compiled(pattern: str) -> Pattern:
    """A pattern made ready. Raises EvaluationError where it is none of RE2, or too long or large."""
    import re2

    if len(pattern) > PATTERN_LENGTH_MAX:
        raise EvaluationError(
            expected=f"a pattern of at most {PATTERN_LENGTH_MAX} characters", got="a longer one"
        )
    options = re2.Options()
    options.max_mem = PATTERN_BYTES_MAX
    options.log_errors = False
    options.never_capture = True
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        raise EvaluationError(expected="a regular expression of RE2", got="another pattern") from error
    # Of bytes it takes half the time: places in a str would be counted in characters.
    return lambda text: search(text.encode()) is not None


_kept = functools.lru_cache(PATTERNS_KEPT)(compiled)
