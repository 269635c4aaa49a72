"""Asks the page in a headless browser about the golden images, and compares with their answers.

    npm install onnxruntime-web
    python examples/browser/check.py --ort node_modules/onnxruntime-web/dist

Needs Chromium. Exit code: 0 where no probability differs by more than 0.03, as in `edge-mri check`.
"""

import argparse
import functools
import http.server
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from edge_mri.classifier import SHIPPED_MODEL

TOLERANCE = 0.03
HERE = Path(__file__).parent


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and takes the records that the page posts."""

    records: "queue.Queue[list[dict[str, Any]]]" = queue.Queue()

    def do_POST(self) -> None:
        """Take the records."""
        self.records.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def asked(
    browser: str, ort: Path, golden: list[dict[str, Any]], timeout_s: float
) -> list[dict[str, Any]]:
    """Return what the page says of the golden images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("index.html", "classify.js"):
            shutil.copy(HERE / file, folder)
        shutil.copy(SHIPPED_MODEL, folder / "model.onnx")
        (folder / "ort").symlink_to(ort.resolve())
        (folder / "golden.json").write_text(json.dumps(golden))
        handler = functools.partial(Pages, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_address[1]}/index.html?golden=golden.json"
            run = subprocess.Popen(
                [browser, "--headless", "--no-sandbox", "--disable-gpu",
                 "--remote-debugging-port=0", f"--user-data-dir={folder / 'profile'}", address],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                return Pages.records.get(timeout=timeout_s)
            finally:
                run.terminate()
                run.wait()
                server.shutdown()


def main() -> int:
    """Read the options, ask and compare."""
    parser = argparse.ArgumentParser(description="Check the page on the golden images.")
    parser.add_argument("--ort", type=Path, required=True, help="dist/ of onnxruntime-web")
    parser.add_argument("--timeout", type=float, default=300)
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("expected chromium or google-chrome on the path")
    golden = json.loads(SHIPPED_MODEL.with_suffix(".golden.json").read_text())["images"]
    worst = 0.0
    records = asked(browser, options.ort, golden, options.timeout)
    for image, record in zip(golden, records, strict=True):
        said = {**record["byType"], **record["byPlane"]}
        expected = image["probabilities"]
        assert said.keys() == expected.keys(), (said, expected)
        difference = max(abs(said[name] - expected[name]) for name in expected)
        print(f"{image['name']}: {record['type']}, {record['plane']}, differs by {difference:.4f}")
        worst = max(worst, difference)
    print(f"{len(golden)} golden images, largest difference {worst:.4f}, allowed {TOLERANCE}")
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
