"""What a benchmark is told, and how much is measured: three sizes of it."""

from dataclasses import dataclass
from pathlib import Path

from edge_mri.errors import OptionError
from edge_mri.process.workers import available_threads
from edge_mri_bench.backends.backends import check_names


@dataclass(frozen=True)
class Effort:
    """A size.

    Attributes:
        images: Images that are timed one by one.
        rounds: Interleaved rounds.
        calls: Calls of each thing in a round.
        batch_sizes: Of inference.
        starts: Fresh processes of each backend.
        folder_images: Images of a folder for throughput.
        folder_rounds: How often each folder is answered.
        compile: Whether PyTorch's compiler is tried, a minute or more for each network.
        counts: Folders whose cost and memory are measured, in images.
        counts_limit_s: A folder that would take longer is left out.
        resolutions: Whether the cost by resolution and by threads is measured.
        sweep: Whether other networks and input sizes are exported and timed.
    """

    images: int
    rounds: int
    calls: int
    batch_sizes: tuple[int, ...]
    starts: int
    folder_images: int
    folder_rounds: int
    compile: bool = False
    counts: tuple[int, ...] = ()
    counts_limit_s: float = 60.0
    resolutions: bool = False
    sweep: bool = False


EFFORTS = {
    "quick": Effort(
        images=12,
        rounds=10,
        calls=4,
        batch_sizes=(1, 8),
        starts=2,
        folder_images=24,
        folder_rounds=2,
    ),
    "normal": Effort(
        images=24,
        rounds=16,
        calls=6,
        batch_sizes=(1, 8, 32),
        starts=3,
        folder_images=96,
        folder_rounds=4,
        compile=True,
        counts=(10, 100, 1000, 10_000),
        resolutions=True,
    ),
    "full": Effort(
        images=48,
        rounds=40,
        calls=10,
        batch_sizes=(1, 8, 32),
        starts=7,
        folder_images=240,
        folder_rounds=7,
        compile=True,
        counts=(10, 100, 1000, 10_000, 100_000),
        counts_limit_s=1200.0,
        resolutions=True,
        sweep=True,
    ),
}


@dataclass(frozen=True)
class BenchmarkConfig:
    """What a benchmark is told.

    Attributes:
        models: ONNX files; none and no checkpoint: the packaged model.
        checkpoints: Their PyTorch originals.
        named: Functions that may run to make the originals' networks.
        data: Folders of images, with class folders where they have labels; none: phantoms.
        time_phantoms: Time phantoms even where there is data.
        backends: Names of `backends.KINDS`; none: all.
        effort: A name of `EFFORTS`.
        threads: Threads of one call.
        seed: Of the orders.
    """

    models: tuple[Path, ...] = ()
    checkpoints: tuple[Path, ...] = ()
    named: tuple[str, ...] = ()
    data: tuple[Path, ...] = ()
    time_phantoms: bool = False
    backends: tuple[str, ...] = ()
    effort: str = "normal"
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        check_names(self.backends)
        if self.effort not in EFFORTS:
            raise OptionError(
                f"unknown effort {self.effort!r}; expected one of {', '.join(EFFORTS)}"
            )
        if not 1 <= self.threads <= available_threads():
            raise OptionError(
                f"--threads is {self.threads}; expected 1 to {available_threads()}, "
                "the cores this process may use"
            )
        if self.time_phantoms and not self.data:
            raise OptionError("--time-phantoms goes with --data; without it phantoms are timed")
