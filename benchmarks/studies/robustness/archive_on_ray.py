"""An archive in object storage over a Ray cluster whose workers are killed, beside one process.

    python benchmarks/studies/robustness/archive_on_ray.py DIR [--images 100000] [--json FILE]

DIR has images, each of which is stored under many names. The S3 server is the one that
AWS_ENDPOINT_URL and the environment's credentials name. A local cluster of --workers workers
classifies all images into a dataset; --kills times one of them is killed with SIGKILL. Then the
parts are read: no image lost, none doubled. The first thousand are also classified by one process,
whose records must be the same.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray
import s3fs

from edge_mri.images import ImageFiles

_FOLDER = 1000  # images
_AT_ONCE = 2000  # objects of an upload


def store(fs: s3fs.S3FileSystem, sources: Sequence[Path], bucket: str, count: int) -> None:
    """Store images under `count` names, a thousand a folder, at `BUCKET/images/`."""
    contents = [path.read_bytes() for path in sources]
    numbers = iter(range(count))
    while some := list(islice(numbers, _AT_ONCE)):
        fs.pipe({name_of(bucket, one): contents[one % len(contents)] for one in some})


def name_of(bucket: str, number: int) -> str:
    """Return the name of an image in the storage."""
    return f"{bucket}/images/{number // _FOLDER:04d}/{number:07d}.jpg"


def rows(fs: s3fs.S3FileSystem, folder: str) -> list[dict[str, Any]]:
    """Read all records of a dataset."""
    found = []
    for part in fs.ls(folder, detail=False):
        if part.endswith(".parquet"):
            found += pq.read_table(BytesIO(fs.cat_file(part))).to_pylist()
    return found


def workers() -> list[int]:
    """Return the processes of this process's cluster that do a task right now."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                title = (folder / "cmdline").read_bytes()
                ours = _parent(_parent(int(folder.name))) == os.getpid()
            except OSError:
                continue
            if title.startswith(b"ray::_do") and ours:
                found.append(int(folder.name))
    return found


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def kill_workers(
    run: "subprocess.Popen[bytes]", fs: s3fs.S3FileSystem, folder: str, kills: int, parts: int
) -> int:
    """Kill a worker each time that so many more parts are there; return how often."""
    done, after = 0, parts
    while run.poll() is None and done < kills:
        time.sleep(1)
        victims = workers()
        if victims and _parts(fs, folder) >= after:
            os.kill(victims[0], signal.SIGKILL)
            done, after = done + 1, after + parts
    return done


def _parts(fs: s3fs.S3FileSystem, folder: str) -> int:
    try:
        return len(fs.ls(folder, refresh=True))
    except FileNotFoundError:
        return 0


def _infer(*options: object) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "edge_mri", "infer", *map(str, options)], check=True)
    return time.perf_counter() - begun


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return what was found, as JSON values."""
    bucket, count, task = options.bucket, options.images, options.task
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    figures: dict[str, Any] = {"images": count, "workers": options.workers, "task_files": task}
    if not fs.exists(bucket):
        fs.mkdir(bucket)
    if not fs.exists(name_of(bucket, count - 1)):
        begun = time.perf_counter()
        store(fs, sorted(ImageFiles([options.folder])), bucket, count)
        figures["stored_s"] = time.perf_counter() - begun
    begun = time.perf_counter()
    from edge_mri.remote.listing import below
    from edge_mri.remote.url import Url

    figures["listed"] = sum(1 for _ in below(Url(f"s3://{bucket}/images")))
    figures["listed_s"] = time.perf_counter() - begun
    name = f"{bucket}/{int(time.time())}"
    some = f"s3://{bucket}/images/0000"
    figures["one_process_s"] = _infer(some, "-o", f"s3://{name}/one/", "--batch-size", task)
    figures["one_thread_s"] = _infer(
        some, "-o", f"s3://{name}/single/", "--batch-size", task, "--threads", 1
    )
    alone = rows(fs, f"{name}/one")
    figures["one_process_images"] = len(alone)
    context = ray.init(num_cpus=options.workers, log_to_driver=False, include_dashboard=False)
    environment = os.environ | {"RAY_ADDRESS": context.address_info["address"]}
    command = ["infer", f"s3://{bucket}/images", "-o", f"s3://{name}/all/", "--engine", "ray"]
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "edge_mri", *command, "--batch-size", str(task)], env=environment
    ) as run:
        parts = max(count // task // (options.kills + 1), 1)
        figures["kills"] = kill_workers(run, fs, f"{name}/all", options.kills, parts)
        figures["exit_code"] = run.wait()
    figures["ray_s"] = time.perf_counter() - begun
    ray.shutdown()
    found = rows(fs, f"{name}/all")
    times = Counter(row["path"] for row in found)
    wanted = {f"s3://{name_of(bucket, number)}" for number in range(count)}
    known = {json.dumps(row, sort_keys=True) for row in found}
    figures |= {
        "records": len(found),
        "lost": len(wanted - set(times)),
        "doubled": sum(one > 1 for one in times.values()),
        "of_other_images": len(set(times) - wanted),
        "differ_from_one_process": sum(
            json.dumps(row, sort_keys=True) not in known for row in alone
        ),
        "ray_images_per_s": count / figures["ray_s"],
        "one_process_images_per_s": len(alone) / figures["one_process_s"],
        "one_thread_images_per_s": len(alone) / figures["one_thread_s"],
        "listed_per_s": figures["listed"] / figures["listed_s"],
    }
    return figures


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--task", type=int, default=1000)
    parser.add_argument("--bucket", default="archive")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = measure(options)
    text = json.dumps(figures, indent=2)
    print(text)  # noqa: T201
    if options.json:
        options.json.write_text(text + "\n", encoding="ascii")
    bad = ("lost", "doubled", "of_other_images", "differ_from_one_process")
    raise SystemExit(int(any(figures[name] for name in bad)))


if __name__ == "__main__":
    main()
