"""Pages that a link in a message leads to: unsubscribe, choose by purpose. No script, nothing about the
person but her masked address.
"""

from html import escape
from typing import Final

from hub.delivery.subscriptions import Preferences

_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 17px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 34rem; padding: 2rem 1.25rem }
h1 { font-size: 1.4rem; line-height: 1.25 }
button { font: inherit; font-weight: 600; padding: .7rem 1.4rem; border: 0; border-radius: .5rem;
  background: #1a56c4; color: #fff; cursor: pointer; width: 100%; margin: 1rem 0 }
button:focus-visible, input:focus-visible { outline: 3px solid #f5a623; outline-offset: 2px }
fieldset { border: 1px solid #8886; border-radius: .5rem; padding: .5rem 1rem; margin: 1rem 0 }
legend { padding: 0 .4rem; font-weight: 600 }
label { display: flex; gap: .8rem; align-items: flex-start; padding: .6rem 0; min-height: 1.5rem }
input[type=checkbox] { width: 1.4rem; height: 1.4rem; flex: none; margin: .1rem 0 0 }
small { display: block; opacity: .8 }
.said { border-left: .3rem solid #2e7d32; padding: .3rem .9rem; background: #2e7d3218 }
@media (prefers-color-scheme: dark) {
  body { background: #17181a; color: #eee }
  button { background: #4c8dff; color: #000 }
}
"""

#: What the purposes that always exist are for, in a person's words.
_PURPOSES: Final = {
    "email": ("News by e-mail", "Offers and reminders to this address."),
    "sms": ("News by text message", "Offers and reminders to your phone."),
    "personalization": ("A shop that fits me", "Pages and offers chosen by what you looked at."),
    "analytics": ("Statistics", "What you do on our pages helps us to make them better."),
    "ads": ("Advertising elsewhere", "Others show you what you looked at here."),
}


def unsubscribe_page(now: Preferences, preferences_url: str) -> str:
    """Asks; nothing has changed yet."""
    if now.unsubscribed:
        return unsubscribed_page(now, preferences_url)
    what = _channel(now)
    return _page(
        f"Stop {what}?",
        f"<h1>Stop {what}{_to(now)}?</h1>"
        '<form method=post><input type=hidden name="List-Unsubscribe" value="One-Click">'
        "<input type=hidden name=page value=yes><button type=submit>Unsubscribe</button></form>"
        f'<p><a href="{escape(preferences_url)}">Choose what you get instead</a></p>',
    )


def unsubscribed_page(now: Preferences, preferences_url: str) -> str:
    """It is done."""
    return _page(
        "Unsubscribed",
        f"<h1>Unsubscribed</h1><p class=said>We send no more {_channel(now)}{_to(now)}.</p>"
        f'<p><a href="{escape(preferences_url)}">Changed your mind? Choose what you get.</a></p>',
    )


def preferences_page(now: Preferences, *, saved: bool = False) -> str:
    """A box a purpose."""
    boxes = "".join(_box(name, granted) for name, granted in now.purposes.items())
    said = "<p class=said role=status>Saved.</p>" if saved else ""
    stopped = ""
    if now.unsubscribed:
        stopped = f"<p>You have unsubscribed: {_channel(now)} stay off until you choose them below.</p>"
    return _page(
        "Your choices",
        f"<h1>Your choices</h1>{said}<p>What may we do{_for(now)}?</p>{stopped}"
        f"<form method=post><fieldset><legend>I allow</legend>{boxes}</fieldset>"
        "<button type=submit>Save</button></form>",
    )


def unknown_page() -> str:
    """A link that is none of ours, or of a message that is too old."""
    return _page(
        "This link does not work",
        "<h1>This link does not work</h1><p>It was shortened or changed on its way, or its message is too "
        "old. Please use the link in a newer message.</p>",
    )


def _box(name: str, granted: bool) -> str:
    label, hint = _PURPOSES.get(name, (name.replace("_", " ").replace("-", " ").capitalize(), ""))
    checked = " checked" if granted else ""
    return (
        f'<label><input type=checkbox name=purpose value="{escape(name)}"{checked}>'
        f"<span>{escape(label)}<small>{escape(hint)}</small></span></label>"
    )


def _channel(now: Preferences) -> str:
    return {"email": "e-mails", "sms": "text messages"}.get(now.channel, f"{escape(now.channel)} messages")


def _to(now: Preferences) -> str:
    return f" to {escape(now.address)}" if now.address else ""


def _for(now: Preferences) -> str:
    return f" for {escape(now.address)}" if now.address else ""


def _page(title: str, inside: str) -> str:
    return (
        f"<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'><meta name=robots content=noindex>"
        f"<style>{_STYLE}</style></head><body><main>{inside}</main></body></html>\n"
    )
