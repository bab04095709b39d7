"""Device, browser and operating system from a User-Agent: the few words that rules need, no more.

Order matters: every browser claims to be several others, so the rarer name is looked for first.
"""

from functools import lru_cache
from typing import Final, NamedTuple

USER_AGENT_LENGTH_MAX: Final = 512
CACHED_MAX: Final = 4096

_BOTS: Final = (
    "bot", "crawl", "spider", "slurp", "mediapartners", "facebookexternalhit", "headless",
    "preview", "monitor", "curl/", "wget/", "python-", "go-http", "okhttp", "libwww",
    "lighthouse", "pingdom", "aiohttp", "axios/", "httpunit", "findlinks", "whatsapp", "coccoc",
    "index", "check", "archive", "search", "scrap", "fetch", "feed", "uptime", "validator",
)  # fmt: skip
_ADDRESSES: Final = ("http:", "https:", "www.", "@")
_BROWSERS: Final = (
    ("edg/", "edge"), ("edga/", "edge"), ("edgios/", "edge"), ("edge/", "edge"), ("opr/", "opera"),
    ("opera", "opera"), ("samsungbrowser/", "samsung"), ("yabrowser/", "yandex"),
    ("ucbrowser/", "uc"), ("firefox/", "firefox"), ("fxios/", "firefox"), ("crios/", "chrome"),
    ("chrome/", "chrome"), ("chromium/", "chrome"), ("msie ", "ie"), ("trident/", "ie"),
    ("safari/", "safari"),
)  # fmt: skip
_SYSTEMS: Final = (
    ("windows phone", "windows"), ("windows", "windows"), ("iphone", "ios"), ("ipad", "ios"),
    ("ipod", "ios"), ("android", "android"), ("cros", "chromeos"), ("mac os x", "macos"),
    ("macintosh", "macos"), ("linux", "linux"),
)  # fmt: skip
_TVS: Final = (
    "smart-tv", "smarttv", "appletv", "googletv", "hbbtv", "netcast", "bravia", "roku", "crkey",
    "tizen",
)  # fmt: skip
_TABLETS: Final = ("ipad", "tablet", "kindle", "silk/", "playbook")
_PHONES: Final = ("mobi", "iphone", "ipod", "phone", "blackberry", "opera mini")


class UserAgent(NamedTuple):
    """Each one word; empty if it cannot be told. `device`: desktop, mobile, tablet, tv, bot."""

    device: str
    browser: str
    os: str


@lru_cache(maxsize=CACHED_MAX)
def read_user_agent(header: bytes) -> UserAgent:
    """What the header says. Answers are remembered: visitors come with few kinds of browsers."""
    text = header[:USER_AGENT_LENGTH_MAX].decode("latin-1").lower()
    if not text:
        return UserAgent("", "", "")
    return UserAgent(_device(text), _first(text, _BROWSERS), _first(text, _SYSTEMS))


def _device(text: str) -> str:
    # A crawler says where to complain; a person's browser has no address in its name.
    if any(word in text for word in _ADDRESSES) or any(word in text for word in _BOTS):
        return "bot"
    if any(word in text for word in _TVS):
        return "tv"
    # Android tablets are those that do not say that they are mobile.
    if any(word in text for word in _TABLETS) or ("android" in text and "mobi" not in text):
        return "tablet"
    return "mobile" if any(word in text for word in _PHONES) else "desktop"


def _first(text: str, words: tuple[tuple[str, str], ...]) -> str:
    return next((name for word, name in words if word in text), "")
