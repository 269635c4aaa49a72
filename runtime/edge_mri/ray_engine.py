"""A stream of files over the workers of a Ray cluster, by Ray Data.

Each worker opens the model once; files must be readable under the same paths everywhere. Records,
their order and their errors are those of a local run. A worker that dies is replaced and its files
are asked again, by Ray. The cluster is the one that `RAY_ADDRESS` names, else a local one.
"""

import logging
import os
import pickle
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import ray
import ray.data

from edge_mri.answers.prediction import Prediction
from edge_mri.classifier import Classifier
from edge_mri.file_batch import begin_files
from edge_mri.images import Limits
from edge_mri.process.workers import one_core_each
from edge_mri.remote.url import Url, located

WINDOW = 100_000  # files that the driver holds at a time
BATCH = 64


class Worker:
    """What runs in a worker process: a classifier of its own, asked about batches of files."""

    def __init__(self, classifier: Classifier, folder: str, limits: Limits, audit: bool) -> None:
        limits.set_for_process()  # a worker's environment is the cluster's, not the caller's
        with suppress(OSError):  # a folder that is not here matters to relative paths alone
            os.chdir(folder)
        self._begin = partial(begin_files, classifier, audit=audit)

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[bytes]]]:
        """Answer files whose names come encoded, a row a part: Arrow takes no broken text."""
        with one_core_each():
            for answer in self._begin(
                [located(os.fsdecode(bytes(name))) for name in batch["path"]]
            ):
                yield {"records": [pickle.dumps(answer())]}


def stream_on_ray(
    classifier: Classifier,
    paths: Iterable[str | os.PathLike[str] | Url],
    *,
    batch_size: int | None = None,
    audit: bool = False,
) -> Generator[Prediction, None, None]:
    """Classify files on the workers of a cluster, in their order, under this process's limits.

    Args:
        classifier: Pickled to the workers, which open its model file again.
        paths: Image files or URLs; relative paths are taken from here.
        batch_size: Files that a worker takes at a time; None for `BATCH`.
        audit: Let each record say where it comes from.
    """
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    limits = Limits.from_environment()
    workers = max(int(ray.cluster_resources().get("CPU", 1)), 1)
    names = iter(paths)
    while window := [{"path": _encoded(name)} for name in islice(names, WINDOW)]:
        answers = ray.data.from_items(window).map_batches(
            Worker,
            fn_constructor_args=(classifier, str(Path.cwd()), limits, audit),
            batch_size=batch_size or BATCH,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=workers),
            num_cpus=1,
        )
        for row in answers.iter_rows():
            yield from pickle.loads(row["records"])


def _encoded(name: str | os.PathLike[str] | Url) -> bytes:
    return os.fsencode(name.address if isinstance(name, Url) else name)
