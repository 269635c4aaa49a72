"""`edge-mri node`: a DICOM node beside the scanner. What it does is `edge_mri.node`."""

from pathlib import Path
from typing import Any

import click

from edge_mri.commands.option_groups import GroupedCommand, grouped
from edge_mri.commands.options import MODEL, PATH, signature_option
from edge_mri.errors import OptionError
from edge_mri.node.config import NodeConfig
from edge_mri.node.echo import echo
from edge_mri.node.peers import Tls

_receive, _write, _send, _answer, _work = (
    grouped(heading)
    for heading in ("Receiving", "What is written", "Sending back", "Answers", "How it runs")
)


@click.command("node", cls=GroupedCommand)
@_receive(
    "--spool",
    type=PATH,
    required=True,
    metavar="DIR",
    help="Where images lie until they are judged, and answers until they are sent.",
)
@_receive("--host", default=NodeConfig.host, metavar="ADDRESS", show_default=True)
@_receive(
    "--port", type=click.IntRange(0, 65535), default=NodeConfig.port, metavar="N", show_default=True
)
@_receive("--ae-title", default=NodeConfig.ae_title, metavar="TITLE", show_default=True)
@_receive(
    "--allow",
    multiple=True,
    metavar="TITLE[@ADDRESS]",
    help="Who may send, such as SCANNER@192.0.2.7; may be repeated; * is any title.  "
    "[default: anybody on this machine, if --host is its own]",
)
@_receive("--tls-cert", type=PATH, metavar="FILE", help="Speak TLS, with this certificate.")
@_receive("--tls-key", type=PATH, metavar="FILE", help="Its private key.")
@_receive(
    "--tls-ca", type=PATH, metavar="FILE", help="Peers must have a certificate that this signs."
)
@_receive(
    "--settle",
    "settle_s",
    type=click.FloatRange(0),
    default=NodeConfig.settle_s,
    metavar="SECONDS",
    show_default=True,
    help="From the end of a series' association to its judgement.",
)
@_receive(
    "--quiet",
    "quiet_s",
    type=click.FloatRange(0),
    default=NodeConfig.quiet_s,
    metavar="SECONDS",
    show_default=True,
    help="Without an image, after which a series is judged though its association is open.",
)
@_receive(
    "--max-spool-bytes",
    type=click.IntRange(1),
    default=NodeConfig.max_spool_bytes,
    metavar="N",
    show_default=True,
    help="Refuse images beyond that; their sender may send them again.",
)
@_write(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="JSON lines.  [default: results.jsonl in the spool]",
)
@_send(
    "--destination",
    metavar="TITLE@HOST:PORT",
    help="Send a report of each series there, and its heatmaps.",
)
@_send("--destination-tls", is_flag=True, help="By TLS, with --tls-cert.")
@_send(
    "--heatmaps",
    type=click.IntRange(0, 1000),
    default=NodeConfig.heatmaps,
    metavar="N",
    show_default=True,
    help="Of the most suspicious slices of a series.",
)
@_answer("--model", type=MODEL, metavar="MODEL", help="An ONNX file.  [default: the shipped one]")
@signature_option(_answer)
@_answer("--trust-pixels", is_flag=True, help="Judge an image by its pixels alone.")
@_work("--threads", type=click.IntRange(1), metavar="N", help="That decode and infer.")
@_work("--low-power", is_flag=True, help="One thread, no spinning, no memory held in reserve.")
@_work(
    "--echo",
    "asks",
    is_flag=True,
    help="Start nothing; ask the node that runs with these options whether it answers.",
)
def command(
    asks: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    **options: Any,
) -> None:
    """Receive MR series by DICOM, judge them, and send back what was found.

    For C-ECHO and C-STORE. An image is on the disk before its sender is told that it is taken. When
    the association that brought a series ends, or the series is quiet, it is judged: a record of
    each image and a summary of the volume are appended to a file of JSON lines, in which UIDs are
    hashed and nothing of the patient is told. A --destination gets a structured report and a
    secondary capture series with heatmaps, in the patient's study, and what it does not take is
    tried again. An object of more bytes than EDGE_MRI_MAX_BYTES says, 256 MiB, is refused.

    Kill it at any moment: no image that it took is lost, and none is judged twice. SIGTERM and
    SIGINT stop it in order.

    Exit code: 0 when stopped by a signal; 1 where --echo gets no answer; 2 when it cannot begin or
    go on.
    """
    if (tls_cert is None) != (tls_key is None) or (tls_ca is not None and tls_cert is None):
        raise OptionError("TLS needs both --tls-cert and --tls-key; --tls-ca goes with them")
    tls = None
    if tls_cert is not None and tls_key is not None:
        tls = Tls(tls_cert, tls_key, tls_ca)
    config = NodeConfig(tls=tls, **options)
    if not asks:
        from edge_mri.node.node import run  # which brings onnxruntime and highdicom

        run(config)
    elif not echo(config):
        raise SystemExit(1)
