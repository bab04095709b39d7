"""The pages of the example's mailbox: the list, one mail as a person sees it, and its HTML in a frame of its
own, in which nothing runs."""

import html
import re
from datetime import UTC, datetime
from string import Template

from examples.shop.mails import Mail, is_loopback

#: Pictures come from this machine only: the shop's, and the hub's that tells of openings.
FRAME_POLICY = (
    "default-src 'none'; img-src http://127.0.0.1:* http://localhost:* data:; style-src 'unsafe-inline'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox; base-uri 'self'; form-action 'none'"
)
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
DKIM_SAYS = {
    "pass": "the signature holds",
    "fail": "the signature does not hold",
    "none": "not signed",
}
HEADERS_SHOWN = ("From", "Reply-To", "To", "Date", "Message-ID", "List-Unsubscribe", "List-Unsubscribe-Post")
REFRESH_SECONDS = 5

_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
$refresh<title>$title</title><link rel="stylesheet" href="/mailbox.css"></head><body>
<header><h1><a href="/">Mailbox of the sample shop</a></h1>
<p>Every mail ends here; none is delivered. The same as JSON: <a href="/messages">/messages</a></p></header>
<main>$main</main></body></html>"""
)
_ROW = Template(
    '<li><a href="/mail/$id"><span class="to">$to</span> <strong>$subject</strong> '
    '<span class="preheader">$preheader</span> <time datetime="$iso">$at</time></a></li>'
)
_MAIL = Template(
    """<article aria-labelledby="subject">
<h2 id="subject">$subject</h2>
<p class="preheader" id="preheader">$preheader</p>
<div class="actions">$actions</div>
<dl>$headers<dt>Envelope</dt><dd>from $envelope_from to $envelope_to</dd>
<dt>DKIM</dt><dd id="dkim" class="dkim-$dkim" data-dkim="$dkim">$dkim: $dkim_says</dd></dl>
$frame
<details$open><summary>Plain text</summary><pre id="text">$text</pre></details>
</article>"""
)
_FRAME = Template(
    '<iframe id="html" title="The mail as HTML" src="/mail/$id/html" '
    'sandbox="allow-popups allow-popups-to-escape-sandbox" referrerpolicy="no-referrer"></iframe>'
)
_BUTTON = Template(
    '<form method="post" action="/mail/$id/unsubscribe"><button type="submit" id="unsubscribe">Unsubscribe'
    "</button></form> <span>one click, as a mailbox does it (RFC 8058)</span>"
)


def list_page(mails: list[Mail]) -> str:
    """The newest mails; it looks again by itself."""
    rows = "".join(
        _ROW.substitute(
            id=mail.id,
            to=html.escape(", ".join(mail.envelope_to)),
            subject=html.escape(mail.subject or "(no subject)"),
            preheader=html.escape(mail.preheader),
            iso=_moment(mail).isoformat(),
            at=f"{_moment(mail):%H:%M:%S} UTC",
        )
        for mail in mails
    )
    main = f'<ol class="mails">{rows}</ol>' if rows else "<p>No mail yet.</p>"
    refresh = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">\n'
    return _PAGE.substitute(title="Mailbox of the sample shop", refresh=refresh, main=main)


def mail_page(mail: Mail, said: str = "") -> str:
    """One mail. `said`: what became of unsubscribing."""
    shown = [(name, mail.headers[name]) for name in HEADERS_SHOWN if name in mail.headers]
    main = _MAIL.substitute(
        subject=html.escape(mail.subject or "(no subject)"),
        preheader=html.escape(mail.preheader),
        actions=_actions(mail) + (f'<p role="status" id="said">{html.escape(said)}</p>' if said else ""),
        headers="".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in shown),
        envelope_from=html.escape(mail.envelope_from or "<>"),
        envelope_to=html.escape(", ".join(mail.envelope_to)),
        dkim=mail.dkim,
        dkim_says=DKIM_SAYS[mail.dkim],
        frame=_FRAME.substitute(id=mail.id) if mail.html else "",
        open="" if mail.html else " open",
        text=html.escape(mail.text),
    )
    return _PAGE.substitute(title=html.escape(mail.subject or "Mail"), refresh="", main=main)


def _actions(mail: Mail) -> str:
    if not mail.one_click:
        return "<span>This mail offers no unsubscribing by one click.</span>"
    if not is_loopback(mail.one_click):
        return "<span>Its unsubscribing leads away from this machine, where this mailbox does not go.</span>"
    return _BUTTON.substitute(id=mail.id)


def frame_page(mail: Mail) -> str:
    """The mail's HTML, whose links open beside the mailbox."""
    base = '<base target="_blank">'
    whole, count = re.subn(r"(?i)<head\b[^>]*>", lambda found: found[0] + base, mail.html, count=1)
    return whole if count else base + mail.html


def _moment(mail: Mail) -> datetime:
    return datetime.fromtimestamp(mail.received_at_ms / 1000, UTC)
