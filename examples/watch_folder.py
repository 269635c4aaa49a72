"""Answers each image that appears in a folder, and appends its record to a file of JSON lines.

    python examples/watch_folder.py INBOX --out answers.jsonl

It looks once a second, and takes a file when its size has stayed the same between two looks. For a
folder that others write to while a list is piped, `edge-mri infer -` does the same from a shell.
"""

import argparse
import json
import time
from pathlib import Path

from edge_mri import Classifier

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def main() -> None:
    """Watch until Ctrl-C; with --once, until what is there has been answered."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", type=Path)
    parser.add_argument("--out", type=Path, default=Path("answers.jsonl"))
    parser.add_argument("--once", action="store_true")
    options = parser.parse_args()
    classifier = Classifier.load(low_power=True)
    sizes: dict[Path, int] = {}
    done: set[Path] = set()
    with options.out.open("a", encoding="utf-8") as out:
        while True:
            there = {
                path: path.stat().st_size
                for path in sorted(options.inbox.iterdir())
                if path.suffix.lower() in SUFFIXES and path not in done
            }
            settled = [path for path, size in there.items() if sizes.get(path) == size]
            for record in classifier.stream(settled, threads=1):
                out.write(json.dumps(record.to_dict()) + "\n")
                out.flush()
            done.update(settled)
            sizes = there
            if options.once and not set(there) - done:
                return
            time.sleep(1)


if __name__ == "__main__":
    main()
