"""Keys that the hub's tests share."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SEALING_KEY = X25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
IDENTIFIER_KEY = bytes(range(2, 34))
