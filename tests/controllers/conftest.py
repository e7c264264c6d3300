"""The fixtures that kubevip gives to test suites."""

from kubevip.testing.fixtures import leases, plug, segment

__all__ = ["leases", "plug", "segment"]
