"""Ports for whole systems under test."""

import os

from examples.shop.addresses import Ports, is_free

ATTEMPTS_MAX = 100


def free_ports() -> Ports:
    """A base whose ports are all free, below those that the kernel gives out itself."""
    for _ in range(ATTEMPTS_MAX):
        ports = Ports(10_000 + int.from_bytes(os.urandom(2)) % 20_000)
        if all(is_free(port) for port in ports.all()):
            return ports
    raise AssertionError("no free ports")
