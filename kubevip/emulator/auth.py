"""Whom a request comes from, and the certificate that the server shows."""

import base64
import ssl
from collections.abc import Mapping
from pathlib import Path

import attrs

from kubevip.emulator import status
from kubevip.emulator.rbac import ANONYMOUS, User
from kubevip.errors import ConfigError

_BEARER = "bearer "


@attrs.frozen
class Authenticator:
    """Knows users by their bearer tokens. Without tokens everybody is the administrator."""

    tokens: Mapping[str, User] | None
    anonymous: bool
    """Whether requests without a token are let in, as nobody in particular."""

    def identify(self, headers: Mapping[str, str]) -> User:
        """The user of a request; raises Unauthorized."""
        if self.tokens is None:
            return ADMINISTRATOR
        credentials = headers.get("Authorization", "")
        if not credentials and self.anonymous:
            return ANONYMOUS
        if not credentials.lower().startswith(_BEARER):
            raise status.unauthorized()
        user = self.tokens.get(credentials[len(_BEARER) :].strip())
        if user is None:
            raise status.unauthorized()
        return user


ADMINISTRATOR = User("admin", ("system:masters",))


@attrs.frozen
class Certificate:
    """What the server shows to clients, and the authority that they check it with."""

    context: ssl.SSLContext
    authority: bytes
    """PEM."""

    @property
    def authority_data(self) -> str:
        """The authority as kubeconfigs hold it."""
        return base64.b64encode(self.authority).decode()

    @classmethod
    def load(cls, certificate: Path, key: Path, authority: Path | None = None) -> "Certificate":
        """From PEM files; a certificate without an *authority* has to be its own. Raises ConfigError."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(certificate, key)
            return cls(context, (authority or certificate).read_bytes())
        except OSError as error:
            raise ConfigError([f"TLS: {certificate} and {key} can't be used: {error}"]) from error

    @classmethod
    def generate(cls, *hosts: str) -> "Certificate":
        """A new one for *hosts*, by a new authority; raises ConfigError where trustme is not installed."""
        try:
            import trustme
        except ImportError as error:
            advice = "it makes the certificate: pip install kubevip[tls], or give a certificate and its key"
            raise ConfigError([f"TLS: trustme is not installed; {advice}"]) from error
        authority = trustme.CA()
        issued = authority.issue_cert(*hosts)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issued.configure_cert(context)
        return cls(context, authority.cert_pem.bytes())
