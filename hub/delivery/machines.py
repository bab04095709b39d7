"""Who opened or clicked: a person's browser, or a program that reads mails for her."""

import re
from functools import lru_cache
from typing import Final

import crawleruseragents

USER_AGENT_LENGTH_MAX: Final = 512
KNOWN_MAX: Final = 4_096

#: What looks into mails before people do, and what fetches their pictures for them: beside the crawlers that
#: crawler-user-agents knows.
_MAIL_SCANNERS: Final = re.compile(
    r"GoogleImageProxy|ggpht\.com|YahooMailProxy|Barracuda|Mimecast|Proofpoint|urldefense|Symantec|MessageLabs|"
    r"Forcepoint|websense|TrendMicro|FireEye|Cisco(?:-| )?(?:Secure|IronPort|ESA)|IronPort|Sophos|"
    r"Cyren|Cloudmark|"
    r"Zscaler|Fortinet|FortiMail|Bitdefender|Kaspersky|Avanan|Agari|Vade|SpamTitan|MailGuard|Abnormal|"
    r"SafeLinks|"
    r"curl/|wget/|python-requests|python-urllib|aiohttp|httpx/|Go-http-client|okhttp|Java/|libwww|HeadlessChrome|"
    r"PhantomJS|Puppeteer|Playwright|axios/|node-fetch|Apache-HttpClient",
    re.IGNORECASE,
)


@lru_cache(KNOWN_MAX)
def is_machine(user_agent: str) -> bool:
    """Whether a user agent is a program's by its own words; one without words is."""
    if not user_agent.strip():
        return True
    return _MAIL_SCANNERS.search(user_agent) is not None or bool(crawleruseragents.is_crawler(user_agent))
