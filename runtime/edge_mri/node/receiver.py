"""C-ECHO and C-STORE: who may speak, and what is taken.

pynetdicom writes what comes straight to a file, so that memory holds a few kilobytes a peer. It
puts that where temporary files go and says what to do so in a setting: both are set for the whole
process, which a node has for itself.
"""

import socket
import tempfile
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from edge_mri.errors import ImageError, SystemRefusalError
from edge_mri.images import Limits
from edge_mri.node.config import NodeConfig
from edge_mri.node.instance import Instance
from edge_mri.node.peers import plain_address
from edge_mri.node.spool import Kept, Spool
from edge_mri.node.syntaxes import KINDS, readable
from edge_mri.process.quiet import keep_pydicom_quiet

MOST_PEERS = 10
"""Associations at a time."""
IDLE_S = 60.0
_GREETING_S = 30.0
_LEAVING_S = 10.0  # what an association may still take when the node stops

_SUCCESS, _NO_ROOM, _MISMATCH, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
_REJECTED, _BY_USER, _UNKNOWN_CALLER = 1, 1, 3

Say = Callable[[str], None]


class Receiver:
    """Listens while it is entered.

    Args:
        config: Where, and to whom.
        spool: Takes the images.
        say: Tells people.
    """

    def __init__(self, config: NodeConfig, spool: Spool, say: Say) -> None:
        self._config, self._spool, self._say = config, spool, say
        self._limits = Limits.from_environment()
        self._peers = config.peers
        self._received: WeakKeyDictionary[threading.Thread, int] = WeakKeyDictionary()
        self._server: Any = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> "Receiver":
        config = self._config
        keep_pydicom_quiet("pynetdicom", "highdicom")
        _config.LOG_HANDLER_LEVEL = "none"
        _config.STORE_RECV_CHUNKED_DATASET = True
        tempfile.tempdir = str(self._spool.incoming)
        entity: Any = AE(ae_title=config.ae_title)
        entity.maximum_associations = MOST_PEERS
        entity.acse_timeout = _GREETING_S
        entity.dimse_timeout = entity.network_timeout = IDLE_S
        entity.require_called_aet = True
        entity.add_supported_context(Verification)
        for kind in KINDS:
            entity.add_supported_context(kind, readable())
        handlers = [
            (evt.EVT_REQUESTED, self._greet),
            (evt.EVT_REJECTED, self._tell_of_rejection),
            (evt.EVT_PDU_RECV, self._weigh),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_CONN_CLOSE, self._end),
        ]
        try:
            self._server = entity.make_server(
                (config.host, config.port),
                evt_handlers=handlers,
                ssl_context=_Handshakes(config.tls.of_server()) if config.tls else None,
                server_class=_Server,
            )
        except OSError as error:
            where = f"cannot listen on {config.host} port {config.port}"
            raise SystemRefusalError(error.strerror or str(error), where) from error
        entity._servers.append(self._server)  # as `start_server` does: `shutdown` takes it out
        thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        associations = self._server.active_associations
        self._server.shutdown()
        until = time.monotonic() + _LEAVING_S
        for one in associations:
            one.join(max(until - time.monotonic(), 0))
            if one.is_alive():
                one.abort()
        tempfile.tempdir = None

    def _greet(self, event: Any) -> None:
        """Reject who may not speak."""
        title = str(event.assoc.requestor.primitive.calling_ae_title).strip()
        address = event.assoc.requestor.address
        if not self._may_speak(title, address):
            self._say(f"rejected an association from {address}: not one of --allow")
            event.assoc.acse.send_reject(_REJECTED, _BY_USER, _UNKNOWN_CALLER)
            event.assoc.kill()

    def _tell_of_rejection(self, event: Any) -> None:
        """Tell why pynetdicom has rejected one that may speak."""
        requestor = event.assoc.requestor
        reason = f"more than {MOST_PEERS} at a time"
        if str(requestor.primitive.called_ae_title).strip() != self._config.ae_title.strip():
            reason = f"it calls another AE title than {self._config.ae_title.strip()}"
        self._say(f"rejected an association from {requestor.address}: {reason}")

    def _may_speak(self, title: str, address: str) -> bool:
        here = plain_address(address).is_loopback
        if here and (not self._peers or title == self._config.ae_title):  # its health check
            return True
        return any(peer.is_it(title, address) for peer in self._peers)

    def _weigh(self, event: Any) -> None:
        """Break with a peer whose object becomes larger than a file may be."""
        count = self._received.get(event.assoc, 0) + event.pdu.pdu_length
        self._received[event.assoc] = count
        if count > self._limits.max_bytes:
            self._received[event.assoc] = 0
            self._say(f"ended an association: an object of over {self._limits.max_bytes:,} bytes")
            event.assoc.abort()

    def _end(self, event: Any) -> None:
        self._spool.wake.set()

    def _store(self, event: Any) -> int:
        """Keep an image; what is returned is the status that its sender is told."""
        self._received[event.assoc] = 0
        path = event.dataset_path
        try:
            instance = Instance.of(path, self._limits)
            if instance.uid != event.request.AffectedSOPInstanceUID or instance.kind not in KINDS:
                self._say("refused an object: it is not what its sender says")
                return _MISMATCH
            kept = self._spool.keep(path, instance, event.assoc)
        except ImageError as error:
            self._say(f"refused an object: {error}")
            return _NOT_UNDERSTOOD
        except OSError as error:
            self._say(f"refused an image: {error.strerror or type(error).__name__}")
            return _NO_ROOM
        if kept is Kept.NO_ROOM:
            self._say("refused an image: the spool or its disk is full")
            return _NO_ROOM
        return _SUCCESS


class _Handshakes:
    """TLS whose handshake is the affair of an association's thread, not of all that wait."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def wrap_socket(self, plain: socket.socket, server_side: bool) -> Any:
        plain.settimeout(_GREETING_S)
        return self._context.wrap_socket(
            plain, server_side=server_side, do_handshake_on_connect=False
        )


class _Server(ThreadedAssociationServer):  # type: ignore[misc]  # of a package without types
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a peer that leaves while it connects is no news, and names nobody."""
