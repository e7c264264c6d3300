"""Every exception that kubevip raises on purpose, under one root.

Foreign errors (of the API client, of the kernel) are translated where they enter, with the original
as ``__cause__``. Each docstring says what the caller can do about it.
"""

from collections.abc import Sequence
from typing import Any


class KubeVipError(Exception):
    """The root: catching it catches everything kubevip raises on purpose."""


class ConfigError(KubeVipError):
    """Settings that can't be used. Nothing was touched; *problems* lists all of them, a sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class UnknownBackend(KubeVipError, KeyError):
    """No installed distribution registers a backend of that name."""

    # A KeyError would put its message in quotes.
    __str__ = Exception.__str__


class BrokenBackend(KubeVipError):
    """A backend is registered but can't be used: it doesn't import, is no ``Backend``, or its name is taken twice."""


class UnknownPoolSource(KubeVipError, KeyError):
    """No installed distribution registers a source of pools of that name."""

    __str__ = Exception.__str__


class BrokenPoolSource(KubeVipError):
    """A source of pools is registered but can't be used."""


class LeadershipLost(KubeVipError):
    """Leadership may be lost: whatever it protected has to stop. Campaign again by entering a new ``hold()``."""


class NetworkError(KubeVipError):
    """The kernel refused an address, a link or a frame; ``errno`` is its number."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class LinkNotFound(NetworkError):
    """No interface of that name. It may appear later: the caller can wait for it."""


class TooLate(NetworkError):
    """It was not done, because the moment up to which it was right has passed. Look at it anew."""


class ApiError(KubeVipError):
    """The API server answered with an error: *status* is the HTTP code, *reason* the Status object's."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", **context: Any) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.context = context


class ApiUnavailable(ApiError):
    """No answer, or none that counts (5xx, 429, a cut connection). Try again later; nothing is known of the write."""

    retry_after: float | None = None


class NotFound(ApiError):
    """There is no such object (404)."""


class Conflict(ApiError):
    """The object has changed since it was read, or exists already (409). Read it and decide again."""


class LeaseConflict(Conflict):
    """Somebody else wrote the Lease first."""


class ResourceExpired(ApiError):
    """The resource version is too old to go on from (410). List again."""


class Unauthorized(ApiError):
    """The API server doesn't know the credentials (401)."""


class Forbidden(ApiError):
    """The credentials lack a right (403); the message names it as verb, resource and namespace."""


class Invalid(ApiError):
    """The API server found the object or the request wrong (400, 415, 422). Trying again won't help."""


class IpamError(KubeVipError):
    """A request for an address can't be met now. Another configuration, or an address that is released, may do it."""


class NoPool(IpamError):
    """There is no pool for the namespace, or what is written for it can't be used."""


class NoFamily(IpamError):
    """The pool has no addresses of a family that is required."""


class PoolExhausted(IpamError):
    """All addresses of the pool are in use."""


class AddressTaken(IpamError):
    """Another IPAM has somebody else down for an address that a Service has."""


class ExternalPool(IpamError):
    """*pool* belongs to another IPAM, which has to be asked."""

    def __init__(self, pool: Any) -> None:
        super().__init__(f"{pool.key} is a pool of {pool.source}")
        self.pool = pool
