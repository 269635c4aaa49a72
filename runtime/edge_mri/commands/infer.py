"""`edge-mri infer`: classify files and folders of images."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TextIO, cast

import click

from edge_mri.atomic import atomic_path
from edge_mri.classifier import Classifier
from edge_mri.errors import EdgeMriError, NoImagesError, OptionError, OutputError
from edge_mri.images import ImageFiles, Limits
from edge_mri.images.files import STDIN
from edge_mri.images.limits import BYTES_VARIABLE, PIXELS_VARIABLE
from edge_mri.images.quiet import native_stderr_silenced
from edge_mri.output import WRITERS, Writer, csv_columns, jsonl_columns, write_csv
from edge_mri.prediction import Prediction
from edge_mri.progress import NoProgress, Progress, TerminalProgress
from edge_mri.providers import DEVICES
from edge_mri.record_file import RecordFile
from edge_mri.resume import FORMATS as RESUMABLE
from edge_mri.resume import Done
from edge_mri.signals import Stop, stop_on_signals
from edge_mri.volumes import Volume, VolumeSummaries
from edge_mri.workers import available_threads

SOME_FAILED = 1
ENGINES = ("local", "ray")
SORTED_FOLDER = 10_000  # a larger folder is not sorted, so that memory stays flat
_SHOWN_VOLUMES = 10


@click.command("infer")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
@click.option(
    "--model", type=click.Path(path_type=Path), help="An ONNX file.  [default: the one that ships]"
)
@click.option(
    "--no-reject",
    "reject",
    flag_value=False,
    default=True,
    help="Answer every image, also those the model would rather not.",
)
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option(
    "--providers",
    help="Execution providers of onnxruntime in place of a device, such as openvino,cpu.",
)
@click.option(
    "--low-power", is_flag=True, help="One thread, no spinning, no memory held in reserve."
)
@click.option(
    "--threads", type=click.IntRange(1), help="Threads.  [default: the cores this process has]"
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Images per inference call.  [default: what suits the device]",
)
@click.option(
    "--format", "format_", type=click.Choice(list(WRITERS)), default="table", show_default=True
)
@click.option(
    "--heatmaps",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write each image with the model's map over it: an explanation, not evidence.",
)
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write one HTML page for people: pictures, and a table to sort and filter.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the records to this file.  [default: stdout]",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the --output of a run that ended early (jsonl, csv)."
)
@click.option("--audit", is_flag=True, help="With each record hashes, versions, provider and time.")
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="local",
    show_default=True,
    help="What spreads the work; ray: over a cluster.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=Limits.max_pixels,
    show_default=True,
    envvar=PIXELS_VARIABLE,
    show_envvar=True,
    help="Refuse an image or a volume of more pixels.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=Limits.max_bytes,
    show_default=True,
    envvar=BYTES_VARIABLE,
    show_envvar=True,
    help="Refuse a file of more bytes.",
)
@click.option(
    "--volumes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a summary of each volume and series to this file, as JSON lines.",
)
def command(
    paths: tuple[Path, ...],
    model: Path | None,
    reject: bool,
    device: str,
    providers: str | None,
    low_power: bool,
    threads: int | None,
    batch_size: int | None,
    format_: str,
    heatmaps: Path | None,
    report_file: Path | None,
    output: Path | None,
    resume: bool,
    audit: bool,
    engine: str,
    max_pixels: int,
    max_bytes: int,
    volumes: Path | None,
) -> None:
    """Classify image files, and the images below folders.

    A PATH is a file, a folder, a pattern in quotes such as '**/*.png', or - for a list of paths on
    stdin, separated by newlines or null characters. JPEG, PNG, TIFF, BMP and WebP; DICOM with the
    extra [dicom], NIfTI with [nifti]. Every page, frame and slice is a record.

    Records go to stdout or to a file, progress and a summary to stderr. A file that cannot be
    used becomes a record with status `error`, and the rest goes on. An image that the model knows
    it should not judge becomes one with status `rejected`: `foreign`, no brain MR slice as it
    knows them, or `undecided`, too close to call.

    JSON lines and CSV go into the --output file record by record, and --resume goes on where it
    ends; a table or JSON appears when it is complete. SIGINT and SIGTERM finish the record at hand.

    Exit code: 0; 1 when some files failed; 2 on wrong use; 130 or 143 when stopped by a signal. A
    rejected image is no failure.
    """
    if resume and (output is None or format_ not in RESUMABLE):
        raise OptionError("--resume needs --output FILE and --format jsonl or csv")
    for option, asked in (("--volumes", volumes), ("--report", report_file)):
        if resume and asked is not None:
            raise OptionError(f"{option} sums up a whole run: it does not go with --resume")
    for option, asked in (("--heatmaps", heatmaps), ("--report", report_file)):
        if engine != "local" and asked is not None:
            raise OptionError(f"{option} is drawn here: it does not go with --engine {engine}")
    Limits(max_pixels, max_bytes).set_for_process()
    stdin = sys.stdin.buffer if STDIN in paths else None
    files = ImageFiles(paths, volumes=True, sort_up_to=SORTED_FOLDER, stdin=stdin)
    found = iter(files)
    first = next(found, None)
    if first is None:
        raise NoImagesError(paths, files.suffixes)
    classifier = Classifier.load(
        model,
        device=device,
        providers=[name for name in (providers or "").split(",") if name],
        low_power=low_power,
        reject=reject,
    )
    done = _done(output, format_, audit, classifier) if resume and output else Done()
    todo: Iterable[Path] = (path for path in chain((first,), found) if not done.take(str(path)))
    workers = threads or (1 if low_power else available_threads())
    finish, report = None, None
    if heatmaps is not None or report_file is not None:
        from edge_mri.views import Views

        views = Views.of(classifier, heatmaps, report_file)
        finish, report = views.finish, views.report
    if engine == "ray":
        from edge_mri.ray_engine import stream_on_ray

        records: Iterable[Prediction] = stream_on_ray(
            classifier, todo, batch_size=batch_size, audit=audit
        )
    else:
        records = classifier.stream(
            todo, threads=workers, batch_size=batch_size, finish=finish, audit=audit
        )
    if report is not None:
        records = report.gathered(records)
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    most = _SHOWN_VOLUMES + 1 if report is None else report.most_volumes
    summaries = VolumeSummaries(classifier.contract.tumor_threshold, None if volumes else most)
    with (
        native_stderr_silenced(),
        report or nullcontext(),
        stop_on_signals() as stop,
        _opened(output, format_, done) as stream,
    ):
        rows_are_progress = format_ == "table" and stream is sys.stdout and stream.isatty()
        shown = sys.stderr.isatty() and not rows_are_progress
        progress: Progress = TerminalProgress() if shown else NoProgress()
        total = 0
        if shown and not files.once:
            counted_files = ImageFiles(paths, volumes=True, sort_up_to=SORTED_FOLDER)
            total = max(sum(1 for _ in counted_files) - done.records, 0)
        with progress.bar("images", total) as step:
            counted = _counted(summaries.through(stop.until(records)), counts, step)
            _writer(format_, audit, done)(counted, stream, classifier.contract.labels)
        if report is not None:
            report.write(summaries.volumes(), complete=stop.signal is None)
    _summarise(counts, files, time.perf_counter() - started, classifier, workers)
    _tell_volumes(list(islice(summaries.volumes(), _SHOWN_VOLUMES + 1)))
    if volumes is not None:
        with atomic_path(volumes) as temporary:
            lines = (json.dumps(volume.to_dict()) + "\n" for volume in summaries.volumes())
            with temporary.open("w", encoding="ascii") as file:
                file.writelines(lines)
    if stop.signal is not None:
        _tell_stopped(stop, output, format_)
        raise SystemExit(stop.exit_code)
    if counts["error"]:
        raise SystemExit(SOME_FAILED)


def _done(path: Path, format_: str, audit: bool, classifier: Classifier) -> Done:
    """Read what `path` covers; refuse one that another model has begun, where that is told."""
    labels = classifier.contract.labels
    columns = jsonl_columns(audit) if format_ == "jsonl" else csv_columns(labels, audit)
    done = Done.read(path, format_, columns)
    if audit and done.first is not None:
        begun_by = (done.first.get("audit") or done.first)["model_sha256"]
        if begun_by != classifier.model_sha256:
            raise OutputError(path, "its records are by another model; write to another file")
    return done


def _writer(format_: str, audit: bool, done: Done) -> Writer:
    if format_ == "csv":
        return partial(write_csv, audit=audit, header=done.keep_bytes == 0)
    return WRITERS[format_]


@contextmanager
def _opened(path: Path | None, format_: str, done: Done) -> Iterator[TextIO]:
    """Open what the records go to; it takes file names that are no valid text."""
    if path is None:
        try:
            if hasattr(sys.stdout, "reconfigure"):
                sys.stdout.reconfigure(line_buffering=True)  # a kill loses no record
            yield sys.stdout
            sys.stdout.flush()
        except (BrokenPipeError, EdgeMriError):  # a reader that left: cli ends quietly
            raise
        except OSError as error:
            raise OutputError(Path("stdout"), error.strerror or str(error)) from error
    elif format_ in RESUMABLE:
        with RecordFile(path, done.keep_bytes) as file:
            yield cast(TextIO, file)
    else:
        with (
            atomic_path(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as whole,
        ):
            yield whole


def _counted(
    records: Iterable[Prediction], counts: Counter[str], step: Callable[[], None]
) -> Iterator[Prediction]:
    """Count the records that pass: status, why rejected, and the type where there is an answer."""
    for record in records:
        answer = record.type if record.status == "ok" else record.rejected
        counts.update(name for name in (record.status, answer) if name)
        step()
        yield record


def _summarise(
    counts: Counter[str], files: ImageFiles, seconds: float, classifier: Classifier, workers: int
) -> None:
    total = sum(counts[status] for status in ("ok", "rejected", "error"))
    contract = classifier.contract
    by_type = ", ".join(f"{name} {counts[name]}" for name in contract.labels.types)
    lines = [
        f"{total} images in {seconds:.1f} s ({total / seconds:.0f} images/s; {contract.name} "
        f"{contract.precision}, {classifier.device}, {workers} threads)",
        by_type,
        f"ok {counts['ok']}, rejected {counts['rejected']} (foreign {counts['foreign']}, "
        f"undecided {counts['undecided']}), errors {counts['error']}",
    ]
    if files.skipped:
        lines.append(f"skipped {files.skipped} other files (not {' '.join(files.suffixes)})")
    lines.append("For research use, not for diagnosis.")
    click.echo("\n".join(lines), err=True)


def _tell_volumes(volumes: list[Volume]) -> None:
    for volume in volumes[:_SHOWN_VOLUMES]:
        answer = volume.type or "no answer"
        if volume.tumor_probability is not None:
            answer += f", P(tumour) {volume.tumor_probability:.3f}"
        click.echo(f"volume {volume.path!r}: {volume.slices} slices, {answer}", err=True)
    if len(volumes) > _SHOWN_VOLUMES:
        click.echo("and more volumes: --volumes FILE lists them all", err=True)


def _tell_stopped(stop: Stop, output: Path | None, format_: str) -> None:
    more = "; --resume goes on" if output is not None and format_ in RESUMABLE else ""
    click.echo(f"Stopped by {stop.name}{more}.", err=True)
