"""`edge-mri serve`: classify over HTTP, and a page for people. What it does is `edge_mri.serve`."""

from typing import Any

import click

from edge_mri.commands.option_groups import GroupedCommand, grouped
from edge_mri.commands.options import (
    MODEL,
    PATH,
    device_option,
    limit_options,
    signature_option,
)
from edge_mri.serve.config import PORT, ServeConfig
from edge_mri.serve.service import serve

_answer, _listen, _work, _limit = (
    grouped(heading) for heading in ("Answers", "Who may ask", "How it runs", "Limits")
)


@click.command("serve", cls=GroupedCommand)
@_answer("--model", type=MODEL, metavar="MODEL", help="An ONNX file.  [default: the shipped one]")
@_answer(
    "--no-reject",
    "reject",
    flag_value=False,
    default=True,
    help="Answer every image, also those the model would rather not.",
)
@signature_option(_answer)
@_answer("--trust-pixels", is_flag=True, help="Judge an image by its pixels alone, as in infer.")
@_listen(
    "--host",
    default=ServeConfig.host,
    show_default=True,
    metavar="ADDRESS",
    help="Where it listens; another than this machine's own needs --token-file.",
)
@_listen(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="0: any that is free.",
)
@_listen("--token-file", type=PATH, metavar="FILE", help="Ask each client for a token of a line.")
@_listen("--certificate", type=PATH, metavar="FILE.pem", help="For TLS, with --private-key.")
@_listen("--private-key", type=PATH, metavar="FILE.pem", help="Of the certificate.")
@_listen(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A name of this machine by which clients ask, beside localhost and plain addresses.",
)
@_listen(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="A foreign page that may ask, such as https://viewer.example.",
)
@device_option(_work)
@_work("--low-power", is_flag=True, help="No spinning, no memory held in reserve.")
@_work(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads that decode and infer, 2 at least.  [default: the cores this process has]",
)
@_work(
    "--stop-seconds",
    type=click.IntRange(1),
    default=ServeConfig.stop_seconds,
    show_default=True,
    metavar="N",
    help="How long a signal to stop waits for the answers to what was taken.",
)
@_limit(
    "--max-files",
    type=click.IntRange(1),
    default=ServeConfig.max_files,
    show_default=True,
    metavar="N",
    help="Refuse a request of more files.",
)
@_limit(
    "--max-request-bytes",
    type=click.IntRange(1),
    default=ServeConfig.max_request_bytes,
    show_default=True,
    metavar="N",
    help="Refuse a request of more bytes.",
)
@_limit(
    "--queue-files",
    type=click.IntRange(1),
    default=ServeConfig.queue_files,
    show_default=True,
    metavar="N",
    help="Refuse for now what comes while so many files wait.",
)
@_limit(
    "--queue-bytes",
    type=click.IntRange(1),
    default=ServeConfig.queue_bytes,
    show_default=True,
    metavar="N",
    help="Refuse for now what comes while so many bytes are held.",
)
@limit_options(_limit)
def command(**options: Any) -> None:
    r"""Classify images over HTTP, and on a page in the browser.

    POST /v1/predict takes image files, as a form or one as the body, and gives the records of
    infer --format json; ?heatmap=1 adds pictures of the model's map. / is a page for people: drop
    images, and see the records come in. /openapi.json describes it, /healthz, /readyz and
    /metrics say how it is.

    It listens for this machine alone unless told otherwise. No image is written to a disk, and no
    name of one into the log on stderr. SIGINT and SIGTERM answer what was taken and end it; a
    second one ends it at once.

    Exit code: 0 when a signal stopped it; 2 where it cannot begin.
    """
    code = serve(ServeConfig(**options))
    if code:
        raise SystemExit(code)
