"""What a mail server's refusal means: its reason, and whether the address is dead.

The words for reasons are those of the Sisimai project, whose collection of real bounces the tests judge by.
A reason is *hard* if nothing sent to that address later can arrive either: there is no such mailbox or
domain, or it says that it takes no mail. A full mailbox, a policy, a reputation, a server in trouble: all of
that passes.
"""

import re
from typing import Final, Literal

#: Where in the dialogue a refusal came; empty: not known.
Phase = Literal["", "connection", "sender", "recipient", "data"]

#: Reasons after which nothing is sent to the address again.
HARD: Final = frozenset({"userunknown", "hostunknown", "hasmoved", "notaccept"})
UNDEFINED: Final = "undefined"

_STATUS: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CODE: Final = re.compile(r"(?<![\d.-])([245][0-5]\d)(?=[ -])")

#: What an enhanced status says by itself (RFC 3463, RFC 7505, RFC 8616 and the register of IANA).
_BY_STATUS: Final = {
    "1.0": "userunknown",
    "1.1": "userunknown",
    "1.2": "hostunknown",
    "1.3": "syntaxerror",
    "1.4": "userunknown",
    "1.6": "hasmoved",
    "1.7": "rejected",
    "1.8": "rejected",
    "1.10": "notaccept",
    "2.0": "filtered",
    "2.1": "suspend",
    "2.2": "mailboxfull",
    "2.3": "exceedlimit",
    "2.4": "filtered",
    "3.0": "systemerror",
    "3.1": "systemfull",
    "3.2": "notaccept",
    "3.3": "systemerror",
    "3.4": "mesgtoobig",
    "4.1": "expired",
    "4.4": "hostunknown",
    "4.6": "networkerror",
    "4.7": "expired",
    "5.0": "mailererror",
    "6.0": "contenterror",
    "7.0": "securityerror",
    "7.1": "securityerror",
    "7.25": "requireptr",
    "7.26": "authfailure",
    "7.27": "notaccept",
}

#: Words that say more than a status; the first that is found is the reason. What passes comes before what
#: does not, for a message such as "user unknown or over quota" must not end a relation.
_BY_WORDS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (reason, re.compile("|".join(patterns), re.IGNORECASE))
    for reason, patterns in (
        (
            "mailboxfull",
            (
                (
                    r"(?:mail ?box|mailfile|mailfolder|inbox|disk|account)\W.{0,60}\b(?:full|over ?quota|"
                    r"exceed)"
                ),
                r"full (?:mail ?box|mailfile)",
                r"(?:over|out of|exceed\w*|beyond).{0,30}\b(?:quota|storage|allocat)|over ?quota",
                r"quota.{0,30}(?:exceed|full|violation|reached)|quotaexceeded",
                r"exceeds? (?:its |the )?(?:maximum |allowed |disk )?(?:mailbox )?(?:size|storage)",
                r"storage.{0,20}(?:exceed|quota)|insufficient (?:user |mailbox )?storage",
                r"too much mail data|メールボックスが一杯|容量を超えて",
            ),
        ),
        (
            "systemfull",
            (r"insufficient (?:disk|system) (?:space|storage)|no space left on device",),
        ),
        (
            "mesgtoobig",
            (
                r"(?:message|mail|size|data|it).{0,40}too (?:big|large)",
                r"(?:message|mail) size.{0,30}(?:exceed|limit)",
                r"exceeds? (?:the )?(?:maximum )?(?:message )?size limit|sizelimit|size limit",
            ),
        ),
        (
            "suspend",
            (
                (
                    r"(?:account|mail ?box|user|recipient|address).{0,60}(?:disabled|suspended|frozen|"
                    r"inactive|blocked|locked|discontinued|expired)"
                ),
                r"(?:disabled|suspended|inactive) (?:account|mail ?box|user|recipient)",
                r"not accepting messages from (?:you|anyone)",
            ),
        ),
        (
            "authfailure",
            (
                r"\b(?:spf|dkim|dmarc)\b.{0,80}(?:fail|policy|record|pass|check|reject)",
                r"(?:fail|not pass|does not).{0,40}\b(?:spf|dkim|dmarc)\b",
                r"unauthenticated (?:email|mail)|authentication information or fails",
            ),
        ),
        (
            "requireptr",
            (
                r"(?:reverse|ptr|rdns).{0,40}(?:dns|record|lookup|name|required|fail|not|resource)",
                r"(?:ip name lookup|hostname lookup|domain name lookup) failed",
                r"(?:no|without|bad|missing|dns) (?:a )?(?:valid )?(?:reverse|ptr|rdns)",
                r"no matches to nameserver query|cannot (?:find|resolve) your (?:host|ip|domain)",
                r"client host rejected: cannot find your",
            ),
        ),
        (
            "speeding",
            (
                r"receiving mail (?:at a rate|too quickly)",
                r"too many (?:recipients|messages|emails|mails) (?:this|per|in|from)",
                r"(?:rate|throttl)\w*.{0,20}(?:limit|exceed)",
            ),
        ),
        (
            "toomanyconn",
            (r"frequency limited|too many (?:concurrent |simultaneous )?(?:connections|sessions)",),
        ),
        (
            "norelaying",
            (
                r"relay(?:ing)? (?:access )?(?:denied|not (?:permitted|allowed)|prohibited)",
                r"(?:not permitted|unable|denied|not allowed|insecure).{0,20}\brelay|we do not relay",
                r"that domain isn't in my list of allowed rcpthosts|email address is not verified",
            ),
        ),
        (
            "spamdetected",
            (
                (
                    r"\b(?:spam|ube|junk|unsolicited)\b.{0,60}(?:detect|reject|content|message|mail|score|"
                    r"block|refus)"
                ),
                (
                    r"(?:detect|reject|classif|consider|look|identif|block|refus)\w*.{0,40}\b(?:spam|ube|"
                    r"junk|"
                    r"unsolicited)"
                ),
                r"spamassassin|content rejected",
            ),
        ),
        (
            "userunknown",
            (r"5\.4\.1.{0,120}recipient address rejected: access denied",),
        ),
        (
            "blocked",
            (
                r"black ?list|block ?list|\bdnsbl\b|\brbl\b|\(bl\)|spamhaus|barracudacentral|sorbs",
                r"spamcop",
                (
                    r"(?:\bip\b|client host|sender ip|your (?:server|host|address)|sending ip|access)"
                    r".{0,60}(?:blocked|banned|rejected|denied|refused|prohibited|bloquee)"
                ),
                (
                    r"(?:blocked|banned|rejected|denied|refused) .{0,40}(?:\bip\b|client host|your (?:server|"
                    r"host))"
                ),
                r"my name was rejected|helo.{0,40}(?:reject|invalid|denied)|open relay|reputation",
                r"no access from mail server|refused to talk to me",
                r"connection (?:refused|rejected) by policy",
            ),
        ),
        (
            "virusdetected",
            (r"\bvirus|malware|infected",),
        ),
        (
            "policyviolation",
            (
                (
                    r"(?:denied|rejected|refused|prohibited|violat\w*|blocked).{0,30}\b(?:polic(?:y|ies)|"
                    r"security reasons)"
                ),
                r"polic(?:y|ies).{0,30}(?:violat|reject|restrict|denied)|protocol violation",
                r"blocked because its content|attachment.{0,40}(?:not allowed|reject|block|type)",
            ),
        ),
        (
            "notcompliantrfc",
            (r"multiple addresses in from|not (?:rfc|compliant)|violat\w* (?:of )?rfc",),
        ),
        (
            "hasmoved",
            (
                (
                    r"(?:user|recipient|mailbox|account|address).{0,30}(?:has moved|no longer on server|"
                    r"has been replaced)"
                ),
            ),
        ),
        (
            "notaccept",
            (
                r"null mx|no smtp service",
                (
                    r"(?:host|domain|destination|system).{0,30}does(?: not|n't) (?:accept|"
                    r"receive) (?:any )?e?-?mail"
                ),
                r"couldn't find a mail exchanger",
            ),
        ),
        (
            "expired",
            (
                r"connection timed? ?out|timed? ?out (?:while|during|when|waiting)|: timed out",
                r"operation timed out|(?:retry|delivery) time(?:out)? (?:exceeded|expired)",
                r"retry timeout exceeded|(?:message|queue|delivery).{0,30}expired",
                r"delivery (?:time expired|attempts? (?:have )?failed)|too long in queue",
                r"could not (?:be delivered|deliver) for|not delivered within",
                r"did not accept our requests to connect|host is not responding|has been delayed",
                r"still (?:being )?(?:retried|undelivered)|not yet been delivered|will be retried",
                r"delivery not confirmed|unable to deliver this message after",
            ),
        ),
        (
            "networkerror",
            (r"dns (?:error|query failed|lookup)|nxdomain",),
        ),
        (
            "hostunknown",
            (
                (
                    r"(?:host|domain)(?: or domain name| name)? ?(?:is )?(?:unknown|not found|does not exist|"
                    r"lookup failed)"
                ),
                (
                    r"(?:unknown|no such|invalid|illegal|unrouteable|bad|non-?existent) (?:host|domain|"
                    r"destination)"
                ),
                r"unrouteable (?:address|mail domain)|illegal host/domain|couldn't find any host",
                r"destination (?:system|host|server).{0,20}(?:unknown|not found)|bad destination|no mx",
                r"unresolvable",
            ),
        ),
        (
            "networkerror",
            (
                r"loops? back|mail (?:loop|forwarding loop)|too many hops|hop count|routing loop",
                r"network (?:error|unreachable)|no route to host|no buffer space",
                r"connection (?:refused|reset|lost|dropped|closed)|establish an smtp connection",
                r"host is unreachable",
            ),
        ),
        (
            "filtered",
            (r"\b5\d\d : user unknown|due to recipient preferences",),
        ),
        (
            "userunknown",
            (
                (
                    r"(?:user|recipient|mail ?box|account|address|local-part|local part|"
                    r"名)s?(?: name)?\W{0,3}(?:<[^>]*>\W{0,3})?(?:is |was |are )?(?:unknown|"
                    r"not (?:found|known|exist|recognized|listed|a valid)|invalid|undeliverable)"
                ),
                (
                    r"(?:unknown|no such|invalid|non-?existent|bad) (?:local )?(?:user|recipient|mail ?box|"
                    r"account|address|person|local|virtual)"
                ),
                (
                    r"(?:user|recipient|mail ?box|account|address|person|member).{0,80}(?:does(?: not|n't)"
                    r" exist|doesn't have an?|no longer|cannot be found|not found|unavailable)"
                ),
                (
                    r"(?:there is )?no (?:mail ?box|account|user|recipient|one) (?:here )?(?:by|with|named|"
                    r"of|"
                    r"called)"
                ),
                r"recipnotfound|recipient not found|not our customer|not listed in.{0,40}directory",
                r"ユーザー.{0,60}見つかりません|リストにありません|recipient name is not recognized",
                r"please check if address is correct",
            ),
        ),
        (
            "rejected",
            (
                r"sender.{0,30}(?:reject|denied|refused|not)|not a member|not permitted to post",
                r"mail from",
            ),
        ),
        (
            "onhold",
            (r"\bgr[ae]y ?list",),
        ),
    )
)
#: What a server calls an unknown user once it has read the message is a filter of that user's.
_AFTER_DATA: Final = re.compile(
    r"end of data|reply to (?:the )?data|after (?:sending )?data|our (?:final )?data|end of message|"
    r"smtp command\s+data\b",
    re.IGNORECASE,
)
#: Sendmail's transcript shows DATA where a recipient was refused before, for it sends several commands at
#: once.
_NO_RECIPIENT: Final = re.compile(r"no valid recipients|need rcpt", re.IGNORECASE)
#: What a server calls an unknown user only once it has read the message is a filter of that user's.
_FILTER: Final = re.compile(r"user unknown|unknown user|no such user", re.IGNORECASE)
#: A transcript: the command (`>>> RCPT To:<...>`) before the first refusal (`<<< 550 ...`).
_TRANSCRIPT: Final = re.compile(r">>> *(\w+|\.)(?:(?!>>>|<<<)[\s\S]){0,400}<<< *[45]\d\d")
_COMMANDS: Final[dict[str, Phase]] = {"mail": "sender", "rcpt": "recipient", "data": "data", ".": "data"}


def status_of(text: str) -> str:
    """The enhanced status (RFC 3463) in a reply, such as `5.1.1`; empty if there is none."""
    found = _STATUS.search(text)
    return found[1] if found else ""


def code_of(text: str) -> int:
    """The reply code in a text, such as 550; 0 if there is none."""
    found = _CODE.search(text)
    return int(found[1]) if found else 0


def reason_of(status: str, code: int, text: str, phase: Phase = "") -> str:
    """The reason of a refusal.

    Parameters
    ----------
    status : enhanced status, such as 5.1.1; empty if there is none
    code : reply code, such as 550; 0 if there is none
    text : what the server said
    phase : where in the dialogue it said it
    """
    found = _by_words(text) or _BY_STATUS.get(status.partition(".")[2], "")
    if found == "userunknown" and phase == "data" and not status.startswith("5.1.") and _FILTER.search(text):
        return "filtered"
    if not found and phase == "recipient" and code in (550, 551, 553):
        # RFC 5321 gives these codes to mailboxes; whoever refuses for another cause says so.
        return "userunknown"
    return found or UNDEFINED


def phase_of(text: str) -> Phase:
    """Where in the dialogue a server refused, as a notice tells it; empty if it does not."""
    told = _TRANSCRIPT.search(text)
    if _NO_RECIPIENT.search(text):
        return "recipient"
    if told is not None:
        return _COMMANDS.get(told[1].lower(), "")
    return "data" if _AFTER_DATA.search(text) else ""


def _by_words(text: str) -> str:
    return next((reason for reason, words in _BY_WORDS if words.search(text)), "")
