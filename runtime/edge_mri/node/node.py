"""The process of a node: start, receive and judge until a signal comes, an orderly stop."""

import os
import sqlite3
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from edge_mri.classifier import Classifier
from edge_mri.errors import ImageError, OptionError, OutputError
from edge_mri.images import Limits
from edge_mri.node.captures import captures
from edge_mri.node.config import NodeConfig
from edge_mri.node.evidence import Evidence
from edge_mri.node.instance import SERIES, Instance
from edge_mri.node.journal import Journal
from edge_mri.node.judge import Judge, Judgement
from edge_mri.node.receiver import Receiver
from edge_mri.node.reports import report
from edge_mri.node.result_lines import ResultLines, sync_folder
from edge_mri.node.sender import Sender
from edge_mri.node.spool import Spool
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.process.signals import Stop, stop_on_signals
from edge_mri.storage.claim import claimed
from edge_mri.terminal.printable import show

JOURNAL = "journal.sqlite"
MOST_A_PART = 4096
"""So many images are judged together; more of a series are another part."""
_GLANCE_S = 0.25
_SWEEP_EVERY = 240  # glances


def run(config: NodeConfig) -> None:
    """Receive and judge until SIGINT or SIGTERM.

    Raises:
        EdgeMriError: It cannot begin, such as while another node has the spool, or go on.
    """
    with ExitStack() as held:
        held.enter_context(_only_one(config))
        classifier = Classifier.load(
            config.model,
            device="cpu",
            low_power=config.low_power,
            require_signature=config.require_signature,
            trust_pixels=config.trust_pixels,
        )
        try:
            _Node(config, classifier, held).run()
        except sqlite3.Error as error:
            raise OutputError(config.spool / JOURNAL, str(error)) from error


class _Node:
    def __init__(self, config: NodeConfig, classifier: Classifier, held: ExitStack) -> None:
        self._config = config
        self._journal = Journal(config.spool / JOURNAL)
        held.callback(self._journal.close)
        self._lines = ResultLines(config.results, self._journal)
        self._lines.catch_up()
        self._lines.planned("")  # tells now where it cannot be written
        self._spool = Spool(config.spool, self._journal, config.max_spool_bytes)
        shown = 0 if config.destination is None else max(config.heatmaps, 1)
        self._judge = Judge(classifier, config.threads, shown)
        self._limits = Limits.from_environment()
        self._stop = Stop()
        self._sender: Sender | None = None

    def run(self) -> None:
        config, stop = self._config, self._stop
        with ExitStack() as stack:
            stack.enter_context(native_stderr_silenced())
            stack.enter_context(_threads_told())
            stack.enter_context(stop_on_signals(stop))
            if config.destination is not None:
                sender = Sender(config, self._journal, self._spool, say)
                self._sender = stack.enter_context(sender)
            receiver = stack.enter_context(Receiver(config, self._spool, say))
            say(f"{config.ae_title} listens on {config.host} port {receiver.port}")
            glances = 0
            while stop.signal is None:
                for series in self._spool.ready(config.settle_s, config.quiet_s):
                    self._judge_series(series)
                    if stop.signal is not None:
                        break
                else:
                    self._spool.wake.wait(_GLANCE_S)
                    self._spool.wake.clear()
                glances += 1
                if glances % _SWEEP_EVERY == 0:
                    self._spool.sweep()
            say(f"stops by {stop.name}; what is not judged yet is when it starts again")

    def _judge_series(self, series: str) -> None:
        images = []
        for path in sorted(self._spool.images(series))[:MOST_A_PART]:
            instance = self._instance(path)
            if instance is not None and instance.key == path.stem and instance.series == series:
                images.append((path, instance))
            else:  # it was another when it came
                self._spool.set_aside(series, path.stem)
                say(f"an image of series {series[:SERIES]} is damaged on the disk: set aside")
        if not images:
            return
        say(f"judges series {series[:SERIES]}, {len(images)} images")
        parts, earlier = self._journal.earlier(series)
        judgement = self._judge(images, parts, earlier, lambda: self._stop.signal is not None)
        if judgement is None:
            return
        files = self._answers(judgement) if self._config.destination else []
        lines = self._lines.planned(judgement.text)
        self._journal.commit(series, judgement.part, judgement.judged, lines, files)
        self._spool.weigh(sum(size for _, size in files))
        self._lines.catch_up()
        self._spool.forget(series, [one.key for one in judgement.instances])
        said = "; ".join(one.told() for one in judgement.volumes) or "no volume"
        say(f"judged series {series[:SERIES]}: {said}")
        if self._sender is not None:
            self._sender.wake()

    def _instance(self, path: Path) -> Instance | None:
        try:
            return Instance.of(path, self._limits)
        except ImageError:
            return None

    def _answers(self, judgement: Judgement) -> list[tuple[str, int]]:
        """Write what is to be sent, durably; return the names of the files and their bytes."""
        classifier = self._judge.classifier
        first = judgement.suspicious[0].instance if judgement.suspicious else judgement.instances[0]
        path = self._spool.path(first.series, first.key)
        written = []
        try:
            evidence = Evidence(path, self._limits)
            answers = [report(judgement, classifier, evidence)]
            if self._config.heatmaps:
                answers.extend(captures(judgement, classifier, evidence))
            for answer in answers:
                target = self._spool.outgoing / f"{uuid.uuid4().hex}.dcm"
                with target.open("wb") as file:
                    answer.save_as(file)
                    file.flush()
                    os.fsync(file.fileno())
                written.append((target.name, target.stat().st_size))
            sync_folder(self._spool.outgoing)
        except OSError as error:
            if isinstance(error, ImageError):
                raise
            raise OutputError.of(self._spool.outgoing, error) from error
        except Exception as error:  # a header that highdicom or pydicom cannot repeat
            kind = type(error).__name__
            say(f"no report on series {judgement.series[:SERIES]}: its header is odd ({kind})")
            return []
        return written


@contextmanager
def _only_one(config: NodeConfig) -> Iterator[None]:
    """Keep other nodes from the spool, and other runs from the results."""
    with ExitStack() as claims:
        try:
            claims.enter_context(claimed(config.spool / JOURNAL))
        except OutputError as error:
            if "another run" not in str(error):
                raise
            raise OptionError(
                f"--spool {config.spool}: another node runs on it; stop that one, or name another"
            ) from error
        claims.enter_context(claimed(config.results))
        yield


@contextmanager
def _threads_told() -> Iterator[None]:
    """Tell of a thread's fault in a line that quotes nothing: it may be a patient's."""
    before = threading.excepthook
    threading.excepthook = lambda fault: say(f"a connection failed ({fault.exc_type.__name__})")
    try:
        yield
    finally:
        threading.excepthook = before


def say(text: str) -> None:
    """Tell people a line, with the time, on stderr."""
    if sys.stderr is not None:
        show([f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}"], err=True)
