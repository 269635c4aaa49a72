"""`edge-mri infer`: classify files and folders of images."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import click

from edge_mri.atomic import atomic_path
from edge_mri.classifier import Classifier
from edge_mri.errors import EdgeMriError, NoImagesError, OutputError
from edge_mri.images import SUFFIXES, ImageFiles
from edge_mri.output import WRITERS
from edge_mri.prediction import Prediction
from edge_mri.progress import NoProgress, Progress, TerminalProgress
from edge_mri.session import DEVICES, available_threads
from edge_mri.views import Views

SOME_FAILED = 1


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
    "--threads", type=click.IntRange(1), help="Threads.  [default: the cores this process has]"
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Images per inference call.",
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
def command(
    paths: tuple[Path, ...],
    model: Path | None,
    reject: bool,
    device: str,
    threads: int | None,
    batch_size: int,
    format_: str,
    heatmaps: Path | None,
    report_file: Path | None,
    output: Path | None,
) -> None:
    """Classify image files, and the images below folders.

    Records go to stdout or to a file, progress and a summary to stderr. A file that cannot be
    used becomes a record with status `error`, and the rest goes on. An image that the model knows
    it should not judge becomes one with status `rejected`: `foreign`, no brain MR slice as it
    knows them, or `undecided`, too close to call.

    Exit code: 0; 1 when some files failed; 2 on wrong use. A rejected image is no failure.
    """
    files = ImageFiles(paths)
    if next(iter(files), None) is None:
        raise NoImagesError(paths, SUFFIXES)
    classifier = Classifier.load(model, device=device, reject=reject)
    workers = threads or available_threads()
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    with ExitStack() as stack:
        views = Views.of(classifier, heatmaps, report_file)
        report = None if views.report is None else stack.enter_context(views.report)
        stream = stack.enter_context(_opened(output))
        records = classifier.stream(
            files, threads=workers, batch_size=batch_size, finish=views.finish
        )
        if report is not None:
            records = report.gathered(records)
        rows_are_progress = format_ == "table" and stream is sys.stdout and stream.isatty()
        shown = sys.stderr.isatty() and not rows_are_progress
        progress: Progress = TerminalProgress() if shown else NoProgress()
        with progress.bar("images", sum(1 for _ in files) if shown else 0) as step:
            counted = _counted(records, counts, step)
            WRITERS[format_](counted, stream, classifier.contract.labels)
        if report is not None:
            report.write()
    _summarise(counts, files.skipped, time.perf_counter() - started, classifier, workers)
    if counts["error"]:
        raise SystemExit(SOME_FAILED)


@contextmanager
def _opened(path: Path | None) -> Iterator[TextIO]:
    """Open what the records go to; it takes file names that are no valid text."""
    if path is None:
        try:
            yield sys.stdout
            sys.stdout.flush()
        except (BrokenPipeError, EdgeMriError):  # the reader has seen enough; click ends quietly
            raise
        except OSError as error:
            raise OutputError(Path("stdout"), error.strerror or str(error)) from error
        return
    with (
        atomic_path(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


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
    counts: Counter[str], skipped: int, seconds: float, classifier: Classifier, workers: int
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
    if skipped:
        lines.append(f"skipped {skipped} other files (not {' '.join(SUFFIXES)})")
    lines.append("For research use, not for diagnosis.")
    click.echo("\n".join(lines), err=True)
