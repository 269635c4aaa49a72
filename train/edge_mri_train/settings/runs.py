"""Where runs lie, what the files in them are called, and which run is the newest."""

from pathlib import Path

from edge_mri.errors import listed
from edge_mri_train.errors import RunFolderError

RUNS = Path("runs")
CONFIG = "config.json"
CHECKPOINT = "checkpoint.pt"
LAST = "last.pt"
MANIFEST = "split.csv"
SEEN = "seen.bin"
STAGES = "stages.json"
LICENCE = "licence.txt"
_MODEL_SUFFIXES = (".pt", ".pth", ".onnx")


def newest_run(having: str = CONFIG) -> Path:
    """Return the folder below `runs/` whose file `having` is the newest."""
    marks = sorted(RUNS.glob(f"*/{having}"), key=lambda mark: mark.stat().st_mtime)
    if not marks:
        raise RunFolderError(f"no {RUNS}/*/{having} here; start with `edge-mri train --data DIR`")
    return marks[-1].parent


def checkpoint_file(path: Path) -> Path:
    """Return the file that a path means: a run's folder stands for its best checkpoint.

    Raises:
        RunFolderError: It is a folder without a checkpoint.
    """
    if not path.is_dir():
        return path
    if (path / CHECKPOINT).is_file():
        return path / CHECKPOINT
    models = sorted(one.name for one in path.iterdir() if one.suffix in _MODEL_SUFFIXES)
    raise RunFolderError(
        f"{path} is a folder without {CHECKPOINT}; expected the folder of a run, or a file"
        + (f" such as {listed(models, most=3)} in it" if models else "")
    )
