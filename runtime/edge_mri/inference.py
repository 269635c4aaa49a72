"""A run of `edge-mri infer`: from paths to records, a summary and an exit code."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext, redirect_stdout
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from edge_mri.answers.prediction import Prediction
from edge_mri.answers.volumes import VolumeSummaries
from edge_mri.classifier import Classifier
from edge_mri.errors import NoImagesError, OptionError
from edge_mri.finishing import Finish
from edge_mri.images import ImageFiles, Limits
from edge_mri.images.files import STDIN
from edge_mri.images.pixels.acquired import ACQUIRED, Planes
from edge_mri.images.pixels.limits import VARIABLES
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.process.signals import Stop, stop_on_signals
from edge_mri.process.workers import available_threads
from edge_mri.records.dataset import Dataset
from edge_mri.records.destination import Destination
from edge_mri.records.output import format_for
from edge_mri.records.part_file import FORMATS as PART_FORMATS
from edge_mri.records.run_summary import SHOWN_VOLUMES, RunSummary, volume_lines, write_volumes
from edge_mri.remote.url import Place
from edge_mri.terminal.printable import show
from edge_mri.terminal.progress import NoProgress, Progress, TerminalProgress
from edge_mri.terminal.standard_streams import stdin_bytes

if TYPE_CHECKING:
    from edge_mri.records.result_files import ResultFiles

SOME_FAILED = 1
ENGINES = ("local", "ray")
STDOUT = Path("-")
SORTED_FOLDER = 10_000  # a larger folder is not sorted, so that memory stays flat


@dataclass(frozen=True, kw_only=True)
class InferConfig:
    """What a run was asked for; the options of `edge-mri infer` under their own names.

    Attributes:
        paths: Files, folders, patterns, URLs, or `-` for a list of paths on stdin.
        model: An ONNX file; None for the packaged model.
        reject: Whether images are rejected as the contract says.
        require_signature: The public key that the model must be signed for, see `Classifier.load`.
        trust_pixels: Whether what a file's header says of modality and body part does not count.
        planes: Which planes of a NIfTI volume are cut, see `edge_mri.images.pixels.acquired`.
        format: Of the records, one of `edge_mri.records.output.WRITERS`, of a dataset parquet or
            jsonl; None for what the suffix of `output` says, else a table, or parquet.
        output: Where they go; None or `-` for stdout.
        dataset: A folder or URL that they go to in parts, in place of a file.
        resume: Go on with an output that ended early.
        audit: With each record, where it comes from.
        heatmaps: A folder for maps over images.
        report: An HTML page.
        volumes: A file for summaries of volumes.
        device: `auto`, `cpu` or `cuda`.
        providers: Execution providers in place of a device.
        low_power: Keep the device cool rather than fast.
        threads: That decode and infer; None for the cores this process has.
        batch_size: Files that a thread takes at a time; None for what suits the device.
        engine: One of `ENGINES`.
        max_pixels: Of one image or volume.
        max_bytes: Of one file.
        max_frames: Of one file.
        max_decoded_bytes: Of the frames of one file together.
        max_seconds: Of decoding one file.
    """

    paths: tuple[Place, ...]
    model: Path | None = None
    reject: bool = True
    require_signature: Path | None = None
    trust_pixels: bool = False
    planes: Planes = ACQUIRED
    format: str | None = None
    output: Path | None = None
    dataset: Place | None = None
    resume: bool = False
    audit: bool = False
    heatmaps: Path | None = None
    report: Path | None = None
    volumes: Path | None = None
    device: str = "auto"
    providers: tuple[str, ...] = ()
    low_power: bool = False
    threads: int | None = None
    batch_size: int | None = None
    engine: str = "local"
    max_pixels: int = Limits.max_pixels
    max_bytes: int = Limits.max_bytes
    max_frames: int = Limits.max_frames
    max_decoded_bytes: int = Limits.max_decoded_bytes
    max_seconds: int = Limits.max_seconds

    def __post_init__(self) -> None:
        if self.dataset is None:
            _ = self.destination  # refuses what does not go together
        else:
            Dataset.require(self.dataset, self.dataset_format)
        for option, asked in (("--volumes", self.volumes), ("--report", self.report)):
            if self.resume and asked is not None:
                raise OptionError(f"{option} sums up a whole run: it does not go with --resume")
            if asked == STDOUT:
                raise OptionError(f"{option} needs a file: - is stdout, where the records go")
        drawn = {"--heatmaps": self.heatmaps, "--report": self.report}
        for option, asked in drawn.items():
            if self.engine != "local" and asked is not None:
                raise OptionError(
                    f"{option} is drawn here: it does not go with --engine {self.engine}"
                )
        for option, asked in (drawn | {"--volumes": self.volumes}).items():
            if self.dataset is not None and asked is not None:
                raise OptionError(
                    f"{option} needs all records in one place: it does not go with a dataset"
                )

    @property
    def limits(self) -> Limits:
        """What an input may cost."""
        return Limits(**{name: getattr(self, name) for name in VARIABLES})

    @property
    def destination(self) -> Destination:
        """Where the records go."""
        format_ = self.format or format_for(self._file)
        return Destination(self._file, format_, audit=self.audit, resume=self.resume)

    @property
    def dataset_format(self) -> str:
        """The format of a dataset's parts."""
        return self.format or PART_FORMATS[0]

    @property
    def results(self) -> "ResultFiles | None":
        """What it writes but stdout; None where it writes nothing else, and starts sooner."""
        if all(one is None for one in (self._file, self.report, self.volumes, self.heatmaps)):
            return None
        from edge_mri.records.result_files import ResultFiles

        return ResultFiles(
            output=self._file, report=self.report, volumes=self.volumes, heatmaps=self.heatmaps
        )

    @property
    def _file(self) -> Path | None:
        return None if self.output == STDOUT else self.output

    @property
    def workers(self) -> int:
        """How many threads decode and infer."""
        return self.threads or (1 if self.low_power else available_threads())


def infer(config: InferConfig) -> int:
    """Classify files, write their records and tell a summary on stderr.

    Returns:
        The exit code: 0; 1 when some files failed; 130 or 143 when a signal stopped it.

    Raises:
        EdgeMriError: It cannot begin, or cannot go on.
    """
    with ExitStack() as held:
        return _run(config, held)


def _run(config: InferConfig, held: ExitStack) -> int:
    """Do what `infer` says; `held` is let go of when it ends."""
    config.limits.set_for_process()
    files = _files(config)
    results = config.results
    if results is not None:
        results.refuse_read(files, config.model)
    found = iter(files)
    first = next(found, None)
    if first is None:
        raise NoImagesError(config.paths, files.suffixes)
    classifier = Classifier.load(
        config.model,
        device=config.device,
        providers=config.providers,
        low_power=config.low_power,
        reject=config.reject,
        require_signature=config.require_signature,
        trust_pixels=config.trust_pixels,
        planes=config.planes,
    )
    if config.dataset is not None:
        from edge_mri.dataset_run import DatasetRun

        run = DatasetRun(
            classifier=classifier,
            dataset=Dataset(
                config.dataset, config.dataset_format, classifier.contract.labels, config.audit
            ),
            engine=config.engine,
            resume=config.resume,
            threads=config.workers,
            task_files=config.batch_size,
        )
        return run(files, chain((first,), found))
    destination = config.destination
    if results is not None:
        held.enter_context(results.claimed())
        results.require_writable()
    done = destination.done(classifier)
    stop = Stop()
    todo = (path for path in stop.awaited(chain((first,), found)) if not done.take(str(path)))
    finish, report = None, None
    if config.heatmaps is not None or config.report is not None:
        from edge_mri.pictures.views import Views

        views = Views.of(classifier, config.heatmaps, config.report)
        finish, report = views.finish, views.report
    records: Iterator[Prediction] = held.enter_context(
        closing(_records(config, classifier, todo, files.would_wait, finish, stop))
    )
    if report is not None:
        records = report.gathered(records)
    summary = RunSummary(done)
    most = None if config.volumes else SHOWN_VOLUMES + 1
    if report is not None and most is not None:
        most = report.most_volumes
    contract = classifier.contract
    summaries = VolumeSummaries(most, contract.volumes, contract.labels)
    started = time.perf_counter()
    with native_stderr_silenced(), report or nullcontext(), stop_on_signals(stop):
        with destination.opened(done) as stream:
            progress, total = _progress(config, stream, files, stop, done.records)
            apart = redirect_stdout(sys.stderr) if config.engine == "ray" else nullcontext()
            with progress.bar("images", total) as step, apart, closing(stop.until(records)) as told:
                counted = summary.counted(summaries.through(told), step)
                destination.writer(done)(counted, stream, classifier.contract.labels)
        if report is not None:
            report.write(
                summaries.volumes(),
                complete=stop.signal is None,
                volumes_left_out=summaries.left_out,
            )
    seconds = time.perf_counter() - started
    lines = summary.lines(files, seconds, classifier, f"{config.workers} threads")
    show([*lines, *volume_lines(summaries)], err=True)
    if config.volumes is not None:
        write_volumes(summaries, config.volumes)
    if stop.signal is not None:
        show([stop.told(can_go_on=destination.can_go_on)], err=True)
        return stop.exit_code
    return SOME_FAILED if summary.errors else 0


def _files(config: InferConfig) -> ImageFiles[Place]:
    stdin = stdin_bytes() if STDIN in config.paths else None
    return ImageFiles(config.paths, volumes=True, sort_up_to=SORTED_FOLDER, stdin=stdin)


def _records(
    config: InferConfig,
    classifier: Classifier,
    todo: Iterable[Place],
    would_wait: Callable[[], bool],
    finish: Finish | None,
    stop: Stop,
) -> Generator[Prediction, None, None]:
    if config.engine == "ray":
        from edge_mri.ray_engine import stream_on_ray

        return stream_on_ray(classifier, todo, batch_size=config.batch_size, audit=config.audit)
    return classifier.stream(
        todo,
        threads=config.workers,
        batch_size=config.batch_size,
        finish=finish,
        audit=config.audit,
        would_wait=would_wait if STDIN in config.paths else None,
        stopped=lambda: stop.signal is not None,
    )


def _progress(
    config: InferConfig, stream: TextIO, files: ImageFiles[Place], stop: Stop, done: int
) -> tuple[Progress, int]:
    """Return what shows progress, and how many images there are to do; 0 where nobody counts.

    A signal ends the count, which may take long in a large tree.
    """
    is_table = config.destination.format == "table"
    rows_are_progress = is_table and stream is sys.stdout and stream.isatty()
    if not sys.stderr.isatty() or rows_are_progress:
        return NoProgress(), 0
    total = 0 if files.once else sum(1 for _ in stop.awaited(_files(config))) - done
    return TerminalProgress(), max(total, 0)
