"""Templates and messages for tests of e-mail."""

from collections.abc import Mapping
from typing import Any

from core.bundle import Outbound, Template
from hub.delivery.ports import Addressed

NOW_MS = 1_795_434_962_000
DOMAIN = "shop.example"

MJML = """<mjml><mj-head><mj-style inline="inline">.lead { color: red }</mj-style></mj-head><mj-body>
<mj-section><mj-column>
<mj-text css-class="lead"><h1>{{ strings.hello }}</h1><p>{{ slots.body }}</p></mj-text>
{% if slots.image %}<mj-image src="{{ slots.image }}" alt="{{ slots.title }}" />{% endif %}
{% for n in (1..2) %}<mj-button href="{{ slots.link }}&n={{ n }}">Go {{ n }}</mj-button>{% endfor %}
<mj-text><a href="{{ links.unsubscribe }}">Unsubscribe</a>
<a href="{{ links.preferences }}">Choose</a></mj-text>
</mj-column></mj-section></mj-body></mjml>"""

STRINGS = {
    "en": {
        "hello": "Hello {{ profile.first_name | default: 'you' }}!",
        "subject": "Your cart",
        "hint": "Two",
    },
    "de": {"hello": "Hallo {{ profile.first_name | default: 'du' }}!", "subject": "Dein Korb"},
}


def template(**changes: Any) -> Template:
    values: dict[str, Any] = {
        "id": "cart",
        "channel": "email",
        "sender": "Trail & Peak <hello@shop.example>",
        "reply_to": "help@shop.example",
        "subject": "{{ strings.subject }}",
        "preheader": "{{ strings.hint }} & more",
        "mjml": MJML,
        "text": "",
        "locale": "en",
        "strings": STRINGS,
    }
    return Template(**{**values, **changes})


def message(master: Template | None = None, number: int = 1, **changes: Any) -> Addressed:
    values: dict[str, Any] = {
        "message_id": f"{number:032x}",
        "recipient": "ada@example.com",
        "channel": "email",
        "placement": "email.cart",
        "template": master or template(),
        "blocks": blocks(body="Boots & socks", link="https://shop.example/p?a=1", title="A boot"),
        "profile": {"first_name": "Ada"},
        "locale": "en",
        "outbound": Outbound(),
        "now_ms": NOW_MS,
    }
    return Addressed(**{**values, **changes})


def blocks(**values: Any) -> Mapping[str, Mapping[str, Any]]:
    return {slot: {"block": f"{slot}-block", "value": value} for slot, value in values.items()}
