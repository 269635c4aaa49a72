"""`edge-mri benchmark`: a model against PyTorch and other tools, on this machine."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from edge_mri.commands.options import PATH, path_option, seed_option
from edge_mri.storage.atomic import require_writable
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_bench.backends.backends import KINDS
from edge_mri_bench.benchmark import benchmark
from edge_mri_bench.config import EFFORTS, BenchmarkConfig
from edge_mri_bench.figures.cpu_kinds import ARM, AVX2, VNNI
from edge_mri_bench.figures.record import PARTIAL, Record, read_record, write_record
from edge_mri_bench.telling.comparison import compare
from edge_mri_bench.telling.floor import AUTO, floor_text, judge_floor, require_floor
from edge_mri_bench.telling.markdown import markdown, write_markdown

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def floor_of(value: str) -> float | str:
    """Return a number above 0, or `auto`; a type of option that every click takes."""
    if value == AUTO:
        return AUTO
    try:
        floor = float(value)
    except ValueError:
        floor = 0.0
    if not 0 < floor < float("inf"):
        raise click.BadParameter(f"{value!r} is neither a number above 0 nor {AUTO}")
    return floor


@click.command("benchmark")
@click.argument("models", nargs=-1, type=PATH, metavar="[MODEL]…")
@path_option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    help="PyTorch original of a model; may be given several times. Needs the extra [train].",
)
@click.option(
    "--arch",
    "named",
    multiple=True,
    metavar="MODULE:FUNCTION",
    help="Function that builds a checkpoint's network, if it is your own; its code is executed.",
)
@path_option(
    "--data",
    multiple=True,
    metavar="DIR",
    help="Images, in class folders if they have labels; may be given several times.  "
    "[default: phantoms, speed alone]",
)
@click.option(
    "--time-phantoms", is_flag=True, help="Time 512 px phantoms; --data then only scores answers."
)
@click.option(
    "--backend",
    "backends",
    multiple=True,
    type=click.Choice(list(KINDS)),
    help="Backend to measure; may be given several times.  [default: all]",
)
@click.option(
    "--effort",
    type=click.Choice(list(EFFORTS)),
    default="normal",
    show_default=True,
    help="How much to measure.",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    default=1,
    metavar="N",
    show_default=True,
    help="Threads per call.",
)
@seed_option("Seed of the order of the calls.")
@path_option("--json", "json_file", help="Write the record as JSON.")
@path_option(
    "--markdown",
    "markdown_file",
    help="Write tables; in a file with the marks <!-- benchmark: start --> and end, only what is "
    "between them changes.",
)
@path_option("--html", "html_file", help="Write one page with plots.")
@path_option("--plots", metavar="DIR", help="Write the plots as SVG files.")
@path_option(
    "--compare",
    "baseline_file",
    help="Compare with an earlier record; absolute times are compared only on the same machine.",
)
@path_option(
    "--from-record",
    "source",
    help="Measure nothing: write the outputs of this record again.",
)
@click.option(
    "--floor",
    type=floor_of,
    metavar="X|auto",
    help="Exit with 1 when INT8 is surely less than X times as fast end to end as eager "
    f"MobileNetV2; auto: the limit for this kind of CPU, {VNNI.floor:g} with VNNI, {AVX2.floor:g} "
    f"with AVX2 alone, {ARM.floor:g} on ARM and others.",
)
def command(
    models: tuple[Path, ...],
    checkpoints: tuple[Path, ...],
    json_file: Path | None,
    markdown_file: Path | None,
    html_file: Path | None,
    plots: Path | None,
    baseline_file: Path | None,
    source: Path | None,
    floor: float | str | None,
    **options: Any,
) -> None:
    """Measure MODEL against PyTorch and other tools; without MODEL, the packaged model.

    An FP32 file, an INT8 file and a checkpoint of the same network belong together. What cannot be
    measured here is left out, with the reason. Markdown goes to stdout unless --markdown is given.

    Exit code: 0; 1 below the floor; 2 for a usage error; 130 when interrupted, with a partial
    record.
    """
    progress = TerminalProgress()
    plot_file = plots and plots / "benchmark.svg"
    for path in (json_file, markdown_file, html_file, plot_file):
        if path is not None:
            require_writable(path)
    baseline = read_record(baseline_file) if baseline_file else None

    def save(record: Record) -> None:
        if json_file:
            write_record(record, json_file)

    if source:
        record = read_record(source)
        save(record)
    else:
        config = BenchmarkConfig(models=models, checkpoints=checkpoints, **options)
        with _terminable():
            record = benchmark(config, progress, save)
    ended_early = record["status"] == PARTIAL and not source
    if floor is not None and not ended_early:
        record["floor"] = judge_floor(record, floor)
        save(record)
    compared = compare(record, baseline) if baseline else None
    text = markdown(record, compared)
    if markdown_file:
        write_markdown(text, markdown_file)
    else:
        click.echo(text, nl=False)
    if html_file or plots:
        from edge_mri_bench.telling.page import write_benchmark_page, write_plots

        if html_file:
            write_benchmark_page(record, html_file, compared)
        if plots:
            write_plots(record, plots)
    progress.say("For research use, not for diagnosis.")
    if ended_early:
        raise SystemExit(INTERRUPTED)
    if floor is not None:
        require_floor(record["floor"])
        progress.say(f"{floor_text(record['floor'])}.")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does: with a record."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
