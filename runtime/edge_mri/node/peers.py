"""Who may send to a node, where it sends, and the certificates of both.

A title alone is no proof of who speaks: it is what the peer calls itself. An address, or a
certificate that `--tls-ca` has signed, is more.
"""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from edge_mri.errors import OptionError

ANYBODY = "*"
_LONGEST_TITLE = 16
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def application_title(text: str) -> str:
    """Return an application entity title without the spaces around it.

    Raises:
        OptionError: DICOM has no such title.
    """
    title = text.strip()
    if not 0 < len(title) <= _LONGEST_TITLE or not title.isascii() or not title.isprintable():
        raise OptionError(
            f"AE title {text!r}; expected 1 to {_LONGEST_TITLE} printable ASCII characters"
        )
    if "\\" in title:
        raise OptionError(f"AE title {text!r}; expected one without a backslash")
    return title


@dataclass(frozen=True)
class Peer:
    """Somebody who may send.

    Attributes:
        title: What it calls itself; `*`: anything.
        network: Where it speaks from; None: anywhere.
    """

    title: str
    network: _Network | None = None

    @classmethod
    def parse(cls, text: str) -> "Peer":
        """Read `TITLE`, `TITLE@ADDRESS` or `TITLE@ADDRESS/BITS`; raises `OptionError`."""
        title, at, address = text.rpartition("@")
        if not at:
            return cls(application_title(text))
        try:
            return cls(application_title(title), ipaddress.ip_network(address, strict=False))
        except ValueError as error:
            if isinstance(error, OptionError):
                raise
            raise OptionError(
                f"--allow {text!r}: {address!r} is no address; expected TITLE@ADDRESS, such as "
                "SCANNER@192.0.2.7 or SCANNER@192.0.2.0/24"
            ) from error

    def is_it(self, title: str, address: str) -> bool:
        """Say whether this is who calls itself so and speaks from there."""
        if self.title not in (ANYBODY, title):
            return False
        return self.network is None or plain_address(address) in self.network


def plain_address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address; one of IPv4 that comes as IPv6 as what it is."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


@dataclass(frozen=True)
class Destination:
    """Where reports go."""

    title: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Read `TITLE@HOST:PORT`, an IPv6 host in brackets; raises `OptionError`."""
        title, at, address = text.rpartition("@")
        host, colon, port = address.rpartition(":")
        if not at or not colon or not host or not (port.isascii() and port.isdigit()):
            raise OptionError(
                f"--destination {text!r}; expected TITLE@HOST:PORT, such as PACS@192.0.2.1:104"
            )
        if not 0 < int(port) < 2**16:
            raise OptionError(f"--destination {text!r}: expected a port from 1 to 65535")
        return cls(application_title(title), host.strip("[]"), int(port))


@dataclass(frozen=True)
class Tls:
    """The certificates of a node.

    Attributes:
        certificate: Its own, PEM, with those that lead to the authority.
        key: Its private key, PEM.
        authority: Who signs its peers' certificates, PEM; None: peers need none, and a
            destination's is checked by the authorities that the system knows.
    """

    certificate: Path
    key: Path
    authority: Path | None = None

    def of_server(self) -> ssl.SSLContext:
        """Return what peers that connect are met with.

        Raises:
            OptionError: A file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        return self._loaded(context)

    def of_client(self) -> ssl.SSLContext:
        """Return what a destination is met with: its name must be in its certificate.

        Raises:
            OptionError: A file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authority is None:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return self._loaded(context)

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        file = self.certificate
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.authority is not None:
                file = self.authority
                context.load_verify_locations(self.authority)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            reason = error.strerror or type(error).__name__
            raise OptionError(f"{file} or its key cannot be used for TLS: {reason}") from error
        return context
