"""What a node was asked for; the options of `edge-mri node` under their own names."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from edge_mri.errors import OptionError
from edge_mri.node.peers import Destination, Peer, Tls, application_title

RESULTS = "results.jsonl"


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """A node.

    Attributes:
        spool: Its folder, for this user alone: images until they are judged, answers until they
            are sent.
        output: The file of JSON lines; None: `results.jsonl` in the spool.
        host: The address that it listens on.
        port: Its port; 0: any that is free.
        ae_title: Its application entity title.
        allow: Who may send, `TITLE` or `TITLE@ADDRESS`; empty: anybody on this machine.
        tls: Certificates; None: no TLS.
        destination: Where reports go, `TITLE@HOST:PORT`; None: nowhere.
        destination_tls: Whether the destination is spoken to by TLS.
        heatmaps: The most pictures that are sent of a series.
        settle_s: Seconds from the end of a series' association to its judgement.
        quiet_s: Seconds without an image after which a series is judged though its association
            is still open.
        max_spool_bytes: How much the spool may hold before images are refused.
        model: An ONNX file; None for the packaged model.
        require_signature: See `Classifier.load`.
        trust_pixels: See `Classifier.load`.
        threads: That decode and infer; None for the cores this process has.
        low_power: Keep the device cool rather than fast.
    """

    spool: Path
    output: Path | None = None
    host: str = "127.0.0.1"
    port: int = 11112
    ae_title: str = "EDGE_MRI"
    allow: tuple[str, ...] = ()
    tls: Tls | None = None
    destination: str | None = None
    destination_tls: bool = False
    heatmaps: int = 12
    settle_s: float = 2.0
    quiet_s: float = 30.0
    max_spool_bytes: int = 20 * 2**30
    model: Path | None = None
    require_signature: Path | None = None
    trust_pixels: bool = False
    threads: int | None = None
    low_power: bool = False

    def __post_init__(self) -> None:
        application_title(self.ae_title)
        if self.output == Path("-"):
            raise OptionError("--output needs a file: after a kill it is gone on with")
        _ = self.peers, self.target  # refuse what cannot be read
        if not self.allow and not self.is_local:
            raise OptionError(
                f"--host {self.host} listens to other machines; name who may send: "
                "--allow TITLE@ADDRESS, or --allow '*' for anybody"
            )
        if self.destination_tls and (self.destination is None or self.tls is None):
            raise OptionError("--destination-tls needs --destination and --tls-cert")

    @property
    def results(self) -> Path:
        """The file of JSON lines."""
        return self.output or self.spool / RESULTS

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Who may send."""
        return tuple(map(Peer.parse, self.allow))

    @property
    def target(self) -> Destination | None:
        """Where reports go."""
        return None if self.destination is None else Destination.parse(self.destination)

    @property
    def is_local(self) -> bool:
        """Whether it listens to this machine alone."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
