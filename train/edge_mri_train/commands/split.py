"""`edge-mri split`: a manifest that divides image sets with no group on two sides."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import click

from edge_mri.commands.options import PATH, path_option, seed_option
from edge_mri.errors import OptionError
from edge_mri.process.quiet import native_stderr_silenced
from edge_mri.storage.atomic import require_writable
from edge_mri.terminal.printable import show
from edge_mri.terminal.progress import TerminalProgress
from edge_mri_train.commands.options import id_options, layout_options
from edge_mri_train.data.grouping import IdSource
from edge_mri_train.data.image_sets import ImageSets
from edge_mri_train.data.manifest import DROPPED, Row, leave_out, read_left_out, write_manifest
from edge_mri_train.data.partition import partition
from edge_mri_train.data.split import TEST, TRAIN, VAL, SplitConfig
from edge_mri_train.errors import LeaveOutError


@click.command("split")
@click.argument("data", nargs=-1, required=True, type=PATH, metavar="DIR…|SETS.toml")
@layout_options
@id_options
@path_option("--out", required=True, metavar="FILE.csv", help="Manifest to write.")
@click.option(
    "--fractions",
    metavar="TRAIN,VAL[,TEST]",
    help="Share of each part; the sum is 1.  [default: 2/3 and 1/3]",
)
@click.option("--folds", type=click.IntRange(2), metavar="N", help="Split into N folds instead.")
@click.option(
    "--keep-test",
    is_flag=True,
    help="Keep test folders as the test set, and drop other images that duplicate theirs.",
)
@click.option(
    "--as-published",
    is_flag=True,
    help="With --keep-test: drop only images that duplicate another set's test images. Duplicates "
    "of the set's own test images stay, as in published figures.",
)
@path_option(
    "--leave-out",
    "faults",
    metavar="FILE.csv",
    help="Drop the files whose SHA-256 is in the column sha256, such as docs/label-faults.csv of "
    "the source. The rest is split as without it. With --keep-test, test images stay.",
)
@click.option(
    "--ungrouped",
    is_flag=True,
    help="Split image by image, ignoring groups. Leaks near duplicates; only for comparison with "
    "published random splits.",
)
@seed_option("Seed of the split.")
@native_stderr_silenced()
def command(
    data: tuple[Path, ...],
    labels: str | None,
    maps: tuple[str, ...],
    pattern: str | None,
    index: Path | None,
    groups: Path | None,
    group_pattern: str | None,
    out: Path,
    fractions: str | None,
    folds: int | None,
    keep_test: bool,
    as_published: bool,
    faults: Path | None,
    ungrouped: bool,
    seed: int,
) -> None:
    """Split image sets into training, validation and test by patient and near-duplicate group.

    Several sets with different layouts go into one SETS.toml, with a table [[set]] for each:
    folder, and any of map, index, pattern and group_pattern.

    Stratified by type and plane; the same images and seed give the same manifest.
    """
    config = replace(
        _config(fractions, folds, keep_test, seed),
        as_published=as_published,
        grouped=not ungrouped,
    )
    progress = TerminalProgress()
    ids = IdSource(groups, group_pattern)
    sets = ImageSets.of(data, labels, maps, index, pattern, progress, ids)
    samples = sets.samples(progress)
    if keep_test and not any(sample.split == TEST for sample in samples):
        raise OptionError("--keep-test keeps test folders, and there is none; leave it out")
    hashes = None if faults is None else read_left_out(faults)
    require_writable(out)
    rows = partition(samples, config, progress).rows
    if faults is not None and hashes is not None:
        rows, found = leave_out(rows, hashes, keep_test=keep_test)
        progress.say(_left_out(faults, found, keep_test=keep_test))
    write_manifest(rows, out, sets.space)
    show(_lines(rows, config))


def _config(fractions: str | None, folds: int | None, keep_test: bool, seed: int) -> SplitConfig:
    if folds is not None:
        if fractions is not None:
            raise OptionError("--folds and --fractions exclude each other; leave one out")
        return SplitConfig.folds(folds, seed, keep_test=keep_test)
    if fractions is None:
        return SplitConfig(seed=seed, keep_test=keep_test)
    try:
        shares = [float(share) for share in fractions.split(",")]
        named = dict(zip((TRAIN, VAL, TEST), shares, strict=len(shares) > 2))
    except ValueError as error:
        raise OptionError(
            f"--fractions {fractions!r}; expected two or three numbers such as 0.7,0.15,0.15"
        ) from error
    if keep_test and TEST in named:
        raise OptionError(
            "--keep-test takes the test images from their folders; give two fractions"
        )
    return SplitConfig(named, seed, keep_test)


def _lines(rows: list[Row], config: SplitConfig) -> list[str]:
    images = Counter(row.sample.split or "" for row in rows)
    groups = Counter(side for side, _ in {(row.sample.split or "", row.group) for row in rows})
    return [
        f"{side:<8} {images[side]:>7} images {groups[side]:>7} groups"
        for side in sorted({*config.fractions, *images})
    ]


def _left_out(faults: Path, found: Counter[str | None], *, keep_test: bool) -> str:
    """Say what a list left out; raises `LeaveOutError` where it is nothing."""
    stay, before = found[TEST] if keep_test else 0, found[DROPPED]
    now = found.total() - stay - before
    if not now + before:
        tests = f" but {stay} test images, which stay" if stay else ""
        raise LeaveOutError(
            faults,
            f"it names none of these images by its SHA-256{tests}; a column sha256 should hold "
            "what sha256sum prints for the files",
        )
    tests = f"; {stay} are test images and stay" if stay else ""
    return f"Of what {faults} names, {now} images are dropped, {before} were already{tests}."
