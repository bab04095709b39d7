"""What exists in every catalogue: purposes, context attributes, canonical events."""

from typing import Final

from core import bundle

#: Purpose and whether the Global Privacy Control header denies it; the order is that of the record's slots
#: 0 to 4.
PURPOSES: Final[tuple[tuple[str, bool], ...]] = (
    ("personalization", False),
    ("email", False),
    ("sms", False),
    ("analytics", False),
    ("ads", True),
)
NO_PURPOSE: Final = "none"
FIRST_FREE_SLOT: Final = 16
SLOT_COUNT_MAX: Final = 4_096

CONTEXT: Final[dict[str, int]] = {
    **dict.fromkeys(
        (
            "device", "browser", "os", "url", "path", "referrer", "referrer_domain",
            "country", "region", "city", "time_zone", "locale", "utm_source", "utm_medium", "utm_campaign",
        ),
        bundle.STRING,
    ),
    "gpc": bundle.BOOL,
}  # fmt: skip

IDENTIFY: Final = "Identify"

#: Segment's e-commerce specification, version 2.
ECOMMERCE_EVENTS: Final[tuple[str, ...]] = (
    "Products Searched",
    "Product List Viewed",
    "Product List Filtered",
    "Promotion Viewed",
    "Promotion Clicked",
    "Product Clicked",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Cart Viewed",
    "Checkout Started",
    "Checkout Step Viewed",
    "Checkout Step Completed",
    "Payment Info Entered",
    "Order Updated",
    "Order Completed",
    "Order Refunded",
    "Order Cancelled",
    "Coupon Entered",
    "Coupon Applied",
    "Coupon Denied",
    "Coupon Removed",
    "Product Added to Wishlist",
    "Product Removed from Wishlist",
    "Wishlist Product Added to Cart",
    "Product Shared",
    "Cart Shared",
    "Product Reviewed",
)
#: Segment's specification for e-mail.
EMAIL_EVENTS: Final[tuple[str, ...]] = (
    "Email Delivered",
    "Email Opened",
    "Email Link Clicked",
    "Email Bounced",
    "Email Marked as Spam",
    "Unsubscribed",
)
#: Events that Segment's other calls become, and Onevoice's own.
SYSTEM_EVENTS: Final[tuple[str, ...]] = (
    "Page Viewed",
    "Screen Viewed",
    IDENTIFY,
    "Group",
    "Alias",
    "Impression",
    "Exposure",
    "Offer Clicked",
    "Ticket Opened",
    "Ticket Closed",
)
EVENTS: Final[frozenset[str]] = frozenset((*ECOMMERCE_EVENTS, *EMAIL_EVENTS, *SYSTEM_EVENTS))
