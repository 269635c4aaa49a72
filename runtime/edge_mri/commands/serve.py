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
    grouped(heading) for heading in ("Answers", "Access", "How it runs", "Limits")
)


@click.command("serve", cls=GroupedCommand)
@_answer(
    "--model", type=MODEL, metavar="MODEL", help="An ONNX file.  [default: the packaged model]"
)
@_answer(
    "--no-reject",
    "reject",
    flag_value=False,
    default=True,
    help="Classify every image, also those that the model would reject.",
)
@signature_option(_answer)
@_answer(
    "--trust-pixels",
    is_flag=True,
    help="Ignore DICOM headers that name another modality or body part, as in infer.",
)
@_listen(
    "--host",
    default=ServeConfig.host,
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on; one that other machines reach needs --token-file.",
)
@_listen(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="Port to listen on; 0: any free one.",
)
@_listen(
    "--token-file",
    type=PATH,
    metavar="FILE",
    help="Require a bearer token; FILE holds one token per line, and is read at the start.",
)
@_listen("--certificate", type=PATH, metavar="FILE.pem", help="Use TLS; needs --private-key.")
@_listen("--private-key", type=PATH, metavar="FILE.pem", help="Key of --certificate.")
@_listen(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Accept this host name in requests, besides localhost and IP addresses.",
)
@_listen(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="Accept requests from web pages of this origin, such as https://viewer.example.",
)
@device_option(_work)
@_work("--low-power", is_flag=True, help="Use two threads, no busy waiting, keep no spare memory.")
@_work(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Threads that decode and infer, at least 2.  [default: the cores available to this "
    "process]",
)
@_work(
    "--stop-seconds",
    type=click.IntRange(1),
    default=ServeConfig.stop_seconds,
    show_default=True,
    metavar="N",
    help="Seconds to finish accepted requests after a signal to stop.",
)
@_limit(
    "--max-files",
    type=click.IntRange(1),
    default=ServeConfig.max_files,
    show_default=True,
    metavar="N",
    help="Refuse a request with more files.",
)
@_limit(
    "--max-request-bytes",
    type=click.IntRange(1),
    default=ServeConfig.max_request_bytes,
    show_default=True,
    metavar="N",
    help="Refuse a request with more bytes.",
)
@_limit(
    "--queue-files",
    type=click.IntRange(1),
    default=ServeConfig.queue_files,
    show_default=True,
    metavar="N",
    help="Answer 429 (try again later) while N files wait.",
)
@_limit(
    "--queue-bytes",
    type=click.IntRange(1),
    default=ServeConfig.queue_bytes,
    show_default=True,
    metavar="N",
    help="Answer 429 (try again later) while requests hold N bytes.",
)
@limit_options(_limit)
def command(**options: Any) -> None:
    r"""Classify images over HTTP, and on a web page.

    POST /v1/predict takes image files, as a form or one as the body, and returns the records of
    infer --format json; ?heatmap=1 adds pictures of the model's map. / is a web page: drop images
    there, and their records appear. /openapi.json describes the API. /healthz and /readyz report
    the state, /metrics gives Prometheus metrics.

    Only this machine can connect unless --host says otherwise. No image is written to a disk, and
    no image's name to the log on stderr. SIGINT and SIGTERM finish the accepted requests and end
    the service; a second signal ends it at once.

    Exit code: 0 when a signal stopped it; 2 when it cannot start.
    """
    code = serve(ServeConfig(**options))
    if code:
        raise SystemExit(code)
