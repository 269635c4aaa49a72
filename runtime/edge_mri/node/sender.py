"""What is to be sent, until the destination has it: a thread that tries again, ever more rarely.

A destination that does not answer, or has no room, is tried for as long as it takes. An object that
it refuses for another reason several times is given up, and said so: others wait behind it.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import (
    ComprehensiveSRStorage,
    SecondaryCaptureImageStorage,
)

from edge_mri.node.config import NodeConfig
from edge_mri.node.journal import Journal, Outgoing
from edge_mri.node.spool import Spool

FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 300.0
MOST_REFUSALS = 5
_ANSWER_S = 60.0
_LEAVING_S = 10.0
_TAKEN = (0x0000, 0x0111, 0xB000, 0xB006, 0xB007)  # also one it had, or takes with a change
_NO_SUCH_KIND = 0x0122
_NO_ROOM = range(0xA700, 0xA800)


class Sender:
    """Sends while it is entered.

    Args:
        config: Where to; a node without a destination has no sender.
        journal: What is to be sent.
        spool: Where that lies.
        say: Tells people.
    """

    def __init__(
        self, config: NodeConfig, journal: Journal, spool: Spool, say: Callable[[str], None]
    ) -> None:
        assert config.target is not None
        self._config, self._to = config, config.target
        self._tls = config.tls.of_client() if config.tls and config.destination_tls else None
        self._journal, self._spool, self._say = journal, spool, say
        self._reason = ""
        self._wake, self._ends = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def __enter__(self) -> "Sender":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._wake.set()
        self._thread.join(_LEAVING_S)

    def wake(self) -> None:
        """Say that there is more to send."""
        self._wake.set()

    def _run(self) -> None:
        wait = FIRST_WAIT_S
        while not self._ends.is_set():
            self._wake.clear()
            try:
                waiting = self._journal.outgoing()
                if not waiting:
                    self._wake.wait()
                    continue
                if self._send(waiting):
                    wait = FIRST_WAIT_S
                    continue
            except Exception as error:  # whatever it is, what waits is there for the next try
                self._reason = type(error).__name__
            self._say(
                f"{self._to.title} did not take what waits: {self._reason}; again in {wait:.0f} s"
            )
            self._ends.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _send(self, waiting: list[Outgoing]) -> bool:
        """Send objects over one association; say whether all have been taken."""
        entity: Any = AE(ae_title=self._config.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _ANSWER_S
        entity.connection_timeout = _ANSWER_S
        syntaxes = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        for kind in (ComprehensiveSRStorage, SecondaryCaptureImageStorage):
            for syntax in syntaxes:
                entity.add_requested_context(kind, syntax)
        to = self._to
        tls = None if self._tls is None else (self._tls, to.host)
        association = entity.associate(to.host, to.port, ae_title=to.title, tls_args=tls)
        if not association.is_established:
            self._reason = self._why_not(association)
            return False
        self._reason = "it ended the association"
        taken = 0
        try:
            for one in waiting:
                if self._ends.is_set() or not association.is_established:
                    break
                status = self._status(association, one)
                if status is not None and status not in _TAKEN:
                    self._reason = f"it answers with status {status:04X}"
                if status is None or status in _NO_ROOM:
                    break
                taken += self._is_done(one, status)
        finally:
            if association.is_established:
                association.release()
        if taken:
            self._say(f"sent {taken} objects to {to.title}")
        return taken == len(waiting) or self._ends.is_set()

    def _status(self, association: Any, one: Outgoing) -> int | None:
        """Send an object; return what the destination says of it, None where it says nothing."""
        try:
            answer = association.send_c_store(pydicom.dcmread(self._spool.outgoing / one.file))
        except FileNotFoundError:  # nothing is left to send
            return _TAKEN[0]
        except (OSError, ValueError, RuntimeError):  # it takes no such kind, or is gone
            return _NO_SUCH_KIND if association.is_established else None
        status = answer.get("Status")
        return None if status is None else int(status)

    def _why_not(self, association: Any) -> str:
        """Say what an administrator may look at where there is no association."""
        if association.is_rejected:
            own, called = self._config.ae_title, self._to.title
            return f"it rejects the association (it must know {own}, and be called {called})"
        if association.acceptor.primitive is None:
            return "it does not answer (address, port, TLS)"
        return "it takes neither reports nor secondary captures"

    def _is_done(self, one: Outgoing, status: int) -> bool:
        """Say whether an object need not be sent again, and forget it then."""
        if status not in _TAKEN:
            self._journal.refused(one.number)
            if one.refused + 1 < MOST_REFUSALS:
                return False
            self._say(f"{self._to.title} refused an object (status {status:04X}): given up")
        self._forget(one, self._spool.outgoing / one.file)
        return True

    def _forget(self, one: Outgoing, path: Path) -> None:
        self._journal.sent(one.number)
        size = path.stat().st_size if path.exists() else 0
        path.unlink(missing_ok=True)
        self._spool.weigh(-size)
