"""What a service is asked for: `edge-mri serve`'s options under their own names."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from edge_mri.errors import OptionError
from edge_mri.images import Limits
from edge_mri.images.pixels.limits import VARIABLES
from edge_mri.process.workers import available_threads

PORT = 8350

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """The options.

    Attributes:
        model: An ONNX file; None for the packaged model.
        reject: Whether images are rejected as the contract says.
        require_signature: The public key that the model must be signed for.
        trust_pixels: Whether what a file's header says of modality and body part does not count.
        device: `auto`, `cpu` or `cuda`.
        low_power: Keep the device cool rather than fast.
        threads: That decode and infer; None for the cores this process has.
        host: The address to listen on.
        port: 0 for any that is free.
        token_file: A token a line, one of which a client must show; None: nobody needs one.
        certificate: For TLS, PEM; together with `private_key`.
        private_key: Its private key, PEM.
        allow_host: Names under which clients reach it, beside `localhost` and plain addresses.
        allow_origin: Origins of foreign pages that may ask, such as `https://viewer.example`.
        max_files: Of one request.
        max_request_bytes: Of one request's body.
        queue_files: That wait for an answer, of all requests.
        queue_bytes: Of all bodies that are held at a time.
        stop_seconds: How long a signal to stop waits for what was taken.
        max_pixels: Of one image or volume.
        max_bytes: Of one file.
        max_frames: Of one file.
        max_decoded_bytes: Of the frames of one file together.
        max_seconds: Of decoding one file.
    """

    model: Path | None = None
    reject: bool = True
    require_signature: Path | None = None
    trust_pixels: bool = False
    device: str = "auto"
    low_power: bool = False
    threads: int | None = None
    host: str = "127.0.0.1"
    port: int = PORT
    token_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    allow_host: tuple[str, ...] = ()
    allow_origin: tuple[str, ...] = ()
    max_files: int = 1000
    max_request_bytes: int = 512 * 2**20
    queue_files: int = 10_000
    queue_bytes: int = 2**30
    stop_seconds: int = 60
    max_pixels: int = Limits.max_pixels
    max_bytes: int = Limits.max_bytes
    max_frames: int = Limits.max_frames
    max_decoded_bytes: int = Limits.max_decoded_bytes
    max_seconds: int = Limits.max_seconds

    def __post_init__(self) -> None:
        if self.token_file is None and not self.is_loopback:
            raise OptionError(
                f"--host {self.host} lets other machines ask: name who may with --token-file FILE "
                "(a line such as `openssl rand -hex 32` gives), or listen on 127.0.0.1"
            )
        if (self.certificate is None) != (self.private_key is None):
            raise OptionError("--certificate and --private-key go together")
        for name in self.allow_host:
            if not _NAME.fullmatch(name):
                raise OptionError(
                    f"--allow-host {name}: expected a name alone, without https:// and port, such "
                    "as mri-box.hospital.example"
                )
        for origin in self.allow_origin:
            scheme, _, rest = origin.partition("://")
            if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
                raise OptionError(
                    f"--allow-origin {origin}: expected an origin, such as https://viewer.example"
                )
        if self.queue_bytes < self.max_request_bytes:
            raise OptionError(
                f"--queue-bytes {self.queue_bytes} holds no request of --max-request-bytes "
                f"{self.max_request_bytes}: give it as many at least"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether this machine alone can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def limits(self) -> Limits:
        """What an input may cost."""
        return Limits(**{name: getattr(self, name) for name in VARIABLES})

    @property
    def workers(self) -> int:
        """How many threads decode and infer."""
        return self.threads or (1 if self.low_power else available_threads())
