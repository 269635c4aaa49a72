"""One run of the service: from its socket and its model to the signal that stops it."""

import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import uvicorn

from edge_mri.classifier import Classifier
from edge_mri.errors import OptionError, SystemRefusalError
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.process.workers import one_core_each
from edge_mri.serve.application import Service
from edge_mri.serve.batching import Batcher
from edge_mri.serve.config import ServeConfig
from edge_mri.serve.connections import TimedProtocol
from edge_mri.serve.logbook import Metrics
from edge_mri.terminal.printable import show

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_BACKLOG = 2048


def serve(config: ServeConfig) -> int:
    """Answer requests until SIGINT or SIGTERM, then what was taken; a second signal ends at once.

    Returns:
        The exit code: 0.

    Raises:
        EdgeMriError: It cannot begin.
    """
    config.limits.set_for_process()
    classifier = Classifier.load(
        config.model,
        device=config.device,
        low_power=config.low_power,
        reject=config.reject,
        require_signature=config.require_signature,
        trust_pixels=config.trust_pixels,
    )
    metrics = Metrics(classifier.model_sha256, classifier.provider)
    _allow_connections()
    with (
        _listening(config) as listener,
        Batcher(classifier, config.workers, metrics.observe) as batcher,
    ):
        service = Service(config, classifier, batcher, metrics)
        server = _Server(_uvicorn(config, service), service)
        address = _address(config, listener)
        with native_stderr_silenced(), one_core_each():
            show(
                [f"edge-mri serves at {address}", "For research use, not for diagnosis."], err=True
            )
            server.run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """uvicorn, which leaves signals to us: its own would end the process with the signal."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        def take(number: int, frame: FrameType | None) -> None:
            for one in _SIGNALS:
                signal.signal(one, signal.SIG_DFL)
            self._service.is_stopping = True
            self.should_exit = True

        before = {}
        with suppress(ValueError):  # not the main thread
            before = {number: signal.signal(number, take) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _uvicorn(config: ServeConfig, service: Service) -> uvicorn.Config:
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # it quotes requests and errors
    uvicorn_config = uvicorn.Config(
        service.application(),
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=config.stop_seconds,
        ssl_certfile=config.certificate,
        ssl_keyfile=config.private_key and str(config.private_key),
    )
    try:
        uvicorn_config.load()
    except OSError as error:  # ssl.SSLError is one
        raise OptionError(
            f"--certificate {config.certificate}, --private-key {config.private_key}: "
            f"{error.strerror or error}; expected PEM files that belong together"
        ) from error
    return uvicorn_config


def _listening(config: ServeConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    try:
        return socket.create_server((config.host, config.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        number = getattr(error, "errno", None)
        reason = os.strerror(number) if number and number > 0 else str(error)
        raise SystemRefusalError(
            reason,
            f"cannot listen on {config.host} port {config.port}; name others with "
            "--host and --port",
        ) from error


def _address(config: ServeConfig, listener: socket.socket) -> str:
    scheme = "http" if config.certificate is None else "https"
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}"


def _allow_connections() -> None:
    """Allow as many open files as the system lets this process have: one a connection."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
