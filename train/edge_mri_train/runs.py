"""Where runs lie, what the files in them are called, and which run is the newest."""

from pathlib import Path

from edge_mri_train.errors import RunFolderError

RUNS = Path("runs")
CONFIG = "config.json"
CHECKPOINT = "checkpoint.pt"
LAST = "last.pt"
MANIFEST = "split.csv"
SEEN = "seen.bin"
LICENCE = "licence.txt"


def newest_run(having: str = CONFIG) -> Path:
    """Return the folder below `runs/` whose file `having` is the newest."""
    marks = sorted(RUNS.glob(f"*/{having}"), key=lambda mark: mark.stat().st_mtime)
    if not marks:
        raise RunFolderError(f"no {RUNS}/*/{having} here; start with `edge-mri train --data DIR`")
    return marks[-1].parent
