"""A journey that the catalogue lacks: the story adds it to the running system by YAML alone."""

from typing import Final

#: Sent to whoever opens an account in the shop, a second later. Everything it needs is in it: placement,
#: offer, blocks in two languages; the master template is the shop's.
ADDED_JOURNEY: Final = """\
placements:
  - id: email.welcome
    owner: maya
    channel: email
    purpose: email
    answered_at: hub
    deadline: 1s
    slots: {subject: text, headline: text, text: text, image: url, link: url, cta: text}
    fallback:
      subject: welcome-subject
      headline: welcome-generic
      text: welcome-text
      image: welcome-image
      link: link-all
      cta: cta-discover

offers:
  - id: welcome
    owner: maya
    tags: [service]
    value: 1
    treatments:
      - id: welcome-mail
        placement: email.welcome
        blocks:
          subject: welcome-subject
          headline: welcome-headline
          text: welcome-text
          image: welcome-image
          link: link-all
          cta: cta-discover

blocks:
  - id: welcome-subject
    owner: maya
    type: text
    value: Welcome to Fjord & Field
    translations: {de: {value: Willkommen bei Fjord & Field}}
  - {id: welcome-generic, owner: maya, type: text, value: Welcome}
  - id: welcome-headline
    owner: maya
    type: text
    attribute: profile.first_name
    value: friend
    prefix: "Good to have you here, "
    suffix: "!"
    translations: {de: {prefix: "Schön, dass du da bist, ", value: du}}
  - id: welcome-text
    owner: maya
    type: text
    value: Here is what others begin with.
    translations: {de: {value: Damit fangen andere an.}}
  - {id: welcome-image, owner: maya, type: url, value: /static/mail/forest.png, tags: [imagery]}

journeys:
  - id: welcome
    owner: maya
    description: Greets whoever opens an account
    trigger: {event: Signed Up}
    steps:
      - {id: pause, wait: 24m}
      - {id: greet, send: {placement: email.welcome, template: shop-email}}
"""
ADDED_FILE: Final = "welcome.yaml"
