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
    help="Folder that keeps images until they are classified, and results until they are sent.",
)
@_receive(
    "--host",
    default=NodeConfig.host,
    metavar="ADDRESS",
    show_default=True,
    help="Address to listen on.",
)
@_receive(
    "--port",
    type=click.IntRange(0, 65535),
    default=NodeConfig.port,
    metavar="N",
    show_default=True,
    help="Port to listen on; 0: any free one.",
)
@_receive(
    "--ae-title",
    default=NodeConfig.ae_title,
    metavar="TITLE",
    show_default=True,
    help="Its application entity title.",
)
@_receive(
    "--allow",
    multiple=True,
    metavar="TITLE[@ADDRESS]",
    help="Who may send, such as SCANNER@192.0.2.7; may be repeated; * for any title.  "
    "[default: anybody on this machine, if --host is local]",
)
@_receive("--tls-cert", type=PATH, metavar="FILE", help="Use TLS, with this certificate.")
@_receive("--tls-key", type=PATH, metavar="FILE", help="Private key of --tls-cert.")
@_receive(
    "--tls-ca",
    type=PATH,
    metavar="FILE",
    help="Accept only peers with a certificate signed by this authority.",
)
@_receive(
    "--settle",
    "settle_s",
    type=click.FloatRange(0),
    default=NodeConfig.settle_s,
    metavar="SECONDS",
    show_default=True,
    help="Seconds to wait after a series' association ended before classifying it.",
)
@_receive(
    "--quiet",
    "quiet_s",
    type=click.FloatRange(0),
    default=NodeConfig.quiet_s,
    metavar="SECONDS",
    show_default=True,
    help="Classify a series after so many seconds without a new image, even if its association is "
    "still open.",
)
@_receive(
    "--max-spool-bytes",
    type=click.IntRange(1),
    default=NodeConfig.max_spool_bytes,
    metavar="N",
    show_default=True,
    help="Refuse images when the spool holds N bytes; the sender may send them again.",
)
@_write(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="File of JSON lines to append to.  [default: results.jsonl in the spool]",
)
@_send(
    "--destination",
    metavar="TITLE@HOST:PORT",
    help="Send a report per series there, with heatmaps.",
)
@_send("--destination-tls", is_flag=True, help="Send by TLS, with --tls-cert.")
@_send(
    "--heatmaps",
    type=click.IntRange(0, 1000),
    default=NodeConfig.heatmaps,
    metavar="N",
    show_default=True,
    help="Most heatmaps per series, of the slices with the highest P(tumour).",
)
@_answer(
    "--model", type=MODEL, metavar="MODEL", help="An ONNX file.  [default: the packaged model]"
)
@signature_option(_answer)
@_answer(
    "--trust-pixels",
    is_flag=True,
    help="Ignore DICOM headers that name another modality or body part, as in infer.",
)
@_work(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads that decode and infer.  [default: the cores available to this process]",
)
@_work("--low-power", is_flag=True, help="Use one thread, no busy waiting, keep no spare memory.")
@_work(
    "--echo",
    "asks",
    is_flag=True,
    help="Start nothing: send a C-ECHO to the node that runs with these options, and exit.",
)
def command(
    asks: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_ca: Path | None,
    **options: Any,
) -> None:
    """Receive DICOM from a scanner, classify each series, send the results back.

    Supports C-ECHO and C-STORE. An image is stored on disk before the sender gets its
    acknowledgement. A series is classified when its association has ended, or when no image has
    come for --quiet seconds. A record per image and a summary per volume are appended to a file of
    JSON lines, with hashed UIDs and without patient data. --destination gets a structured report
    and a secondary capture series with heatmaps, in the patient's study; what it does not accept is
    sent again later. An object larger than EDGE_MRI_MAX_BYTES (default 256 MiB) is refused.

    Kill it at any moment: no acknowledged image is lost, and none is classified twice. SIGTERM and
    SIGINT stop it in order.

    Exit code: 0 when stopped by a signal; 1 when --echo gets no answer; 2 when it cannot start or
    continue.
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
