"""Messages to people: journeys, the outbox, hand-off to a sender (docs/decisions/0006-outbound.md)."""
