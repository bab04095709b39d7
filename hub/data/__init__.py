"""Events, identity, profiles, consent: what the hub knows, and how it comes to know it."""
