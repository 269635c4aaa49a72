"""What runs in a process of its own, to measure its start and its memory.

    python -m edge_mri_bench.backends.child answer SPEC.json FILE…     one line a file, as a backend
    answers python -m edge_mri_bench.backends.child infer ARGUMENT…            `edge-mri infer`
    itself

The last line on stderr is a JSON document with the peak of the resident memory.
"""

import json
import sys
from pathlib import Path


def peak_bytes() -> int | None:
    """Return the most memory that this process had resident; None where it is not told."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    # Not on Linux, where a child inherits its parent's peak.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _answer(spec_file: str, files: list[str]) -> None:
    from edge_mri_bench.backends.backends import Settings, open_backend
    from edge_mri_bench.backends.networks import Network

    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    backend = open_backend(
        spec["backend"], Network.from_dict(spec["network"]), Settings.from_dict(spec["settings"])
    )
    for file in files:
        print(backend.answer(Path(file)).type, flush=True)  # noqa: T201  # its parent waits for it


def _infer(arguments: list[str]) -> None:
    from edge_mri.cli import main

    main(["infer", *arguments], standalone_mode=False)


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    try:
        if mode == "answer":
            _answer(rest[0], rest[1:])
        else:
            _infer(rest)  # ends with SystemExit
    finally:
        sys.stdout.flush()
        print(json.dumps({"peak_bytes": peak_bytes()}), file=sys.stderr)  # noqa: T201
