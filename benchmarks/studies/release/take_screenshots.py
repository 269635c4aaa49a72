"""Takes pictures of the built site in a headless browser, to look at before a release.

    make docs
    python benchmarks/studies/release/take_screenshots.py --site build/site --out build/screenshots

Front page, a how-to, an API page, the drawings, each as wide as a desk, and the first two as narrow
as a phone. Needs Chromium; the pictures go into no commit.
"""

import argparse
import functools
import http.server
import shutil
import subprocess
import threading
from pathlib import Path

PAGES = {
    "front": "",
    "how-to": "your-own-data/",
    "judge": "judge/",
    "how-it-works": "how-it-works/",
    "api": "api/runtime/",
    "model-card": "model-card/",
}
PHONE = ("front", "how-to", "model-card")
DESK_PX, PHONE_PX = (1280, 1800), (500, 1400)  # Chromium has no narrower window


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


def take(browser: str, address: str, size: tuple[int, int], out: Path) -> None:
    """Write a picture of a page."""
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--window-size={size[0]},{size[1]}", "--virtual-time-budget=4000",
         f"--screenshot={out}", address],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip


def main() -> None:
    """Serve the site, and take the pictures."""
    parser = argparse.ArgumentParser(description="Take pictures of the built site.")
    parser.add_argument("--site", type=Path, default=Path("build/site"))
    parser.add_argument("--out", type=Path, default=Path("build/screenshots"))
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("expected chromium or google-chrome on the path")
    options.out.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(Quiet, directory=options.site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        for name, path in PAGES.items():
            take(browser, address + path, DESK_PX, options.out.resolve() / f"{name}.png")
        for name in PHONE:
            out = options.out.resolve() / f"{name}-phone.png"
            take(browser, address + PAGES[name], PHONE_PX, out)
        server.shutdown()


if __name__ == "__main__":
    main()
