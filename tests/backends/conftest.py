"""The fixtures that kubevip gives to the authors of backends."""

from kubevip.testing.fixtures import leases, plug, segment

__all__ = ["leases", "plug", "segment"]
