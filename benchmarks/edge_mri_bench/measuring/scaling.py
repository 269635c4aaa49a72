"""How the cost of a model grows: with the number of images, their resolution, the threads.

With the size of the network it is `sweep`.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge_mri.terminal.progress import Progress
from edge_mri_bench.backends.backends import Backend
from edge_mri_bench.backends.processes import start_infer
from edge_mri_bench.figures.physics import GREY_DECODE, LIMIT, grey_decode_cell
from edge_mri_bench.figures.pinning import pinned
from edge_mri_bench.figures.rounds import Rounds
from edge_mri_bench.figures.stages import END_TO_END, cells_of, inference
from edge_mri_bench.figures.statistics import summarise
from edge_mri_bench.measuring.throughput import time_folders
from edge_mri_bench.measuring.workload import phantom_files

RESOLUTIONS_PX = (64, 128, 256, 512, 1024)
_PHANTOMS = 12


def by_images(
    model: Path,
    files: Sequence[Path],
    counts: Sequence[int],
    folder: Path,
    progress: Progress,
    *,
    limit_s: float,
    rows: list[dict[str, Any]],
) -> list[str]:
    """Run `edge-mri infer` on folders of 10, 100, … images: seconds, and peak memory.

    The folders hold hard links to copies of the same few files, which therefore stay in the page
    cache.

    Args:
        model: The ONNX file.
        files: What is copied.
        counts: Images per folder, rising.
        folder: Where the folders are made.
        progress: Told of each folder.
        limit_s: A folder that would take longer, at the pace of the one before, is left out.
        rows: Given a row for each folder, as soon as it is done: the last ones take long.

    Returns:
        Which folders are left out, and why.
    """
    left_out = []
    copies = _copies(files, folder / "originals")
    with progress.bar("folders", len(counts)) as step:
        for count in counts:
            expected_s = count / rows[-1]["images_per_second"] if rows else 0.0
            if expected_s > limit_s:
                left_out.append(
                    f"a folder of {count:,} images: it would take about {expected_s:,.0f} s, "
                    f"the cap of this effort is {limit_s:,.0f} s"
                )
                step()
                continue
            place = _linked(copies, count, folder / f"{count}")
            with pinned(1):
                ended = start_infer(model, [place], threads=1)
            rows.append(
                {
                    "images": count,
                    "seconds": round(ended.total_s, 4),
                    "images_per_second": round(count / ended.total_s, 1),
                    "peak_bytes": ended.peak_bytes,
                }
            )
            step()
    return left_out


def _copies(files: Sequence[Path], folder: Path) -> list[Path]:
    """Copy files to a folder, since those given may lie where no links can be made."""
    folder.mkdir(parents=True)
    copies = [folder / f"{number}{file.suffix}" for number, file in enumerate(files)]
    for file, copy in zip(files, copies, strict=True):
        shutil.copyfile(file, copy)
    return copies


def _linked(files: Sequence[Path], count: int, folder: Path) -> Path:
    """Fill a folder with `count` links to the files, by turns."""
    folder.mkdir(parents=True)
    for number in range(count):
        source = files[number % len(files)]
        os.link(source, folder / f"{number:06d}{source.suffix}")
    return folder


def by_resolution(
    backend: Backend,
    folder: Path,
    rounds: int,
    calls: int,
    step: Callable[[], None],
    rows: list[dict[str, Any]],
) -> None:
    """Time phantoms of several sizes end to end, beside the bare decode of the same files.

    Args:
        backend: Opened.
        folder: Where the phantoms are drawn.
        rounds: Of each size.
        calls: In a round.
        step: Called after each size.
        rows: Given a row for each size, as soon as it is done.
    """
    for size in RESOLUTIONS_PX:
        files = phantom_files(folder / f"{size}", _PHANTOMS, size)
        with pinned(1):
            timed = Rounds([*cells_of("", backend, files, [1]), grey_decode_cell(files)], calls)
            timed.warm_up()
            timed.run(rounds)
        samples = timed.samples()
        rows.append(
            {
                "size_px": size,
                "end_to_end_ms": summarise(samples["", END_TO_END]).to_dict(),
                "inference_ms": summarise(samples["", inference(1)]).to_dict(),
                "grey_decode_ms": summarise(samples[LIMIT, GREY_DECODE]).to_dict(),
            }
        )
        step()


def by_threads(
    backend: Backend, files: Sequence[Path], most: int, rounds: int
) -> list[dict[str, Any]]:
    """Stream the same files on 1, 2, 4, … threads, as many cores each."""
    counts = sorted({1, most, *(2**power for power in range(1, most.bit_length()))})
    counts = [count for count in counts if count <= most]
    folders = time_folders({"": backend}, files, counts, rounds)
    return [
        {"threads": count, "per_image_ms": summarise(times).to_dict()}
        for (_, count), times in sorted(folders.per_image_ms.items())
    ]
