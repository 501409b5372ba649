"""A page in headless Chromium: its DOM after a script has run in it, and what the console said."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the pages are not looked at")
LOG = "<script>addEventListener('error', e => {document.title = 'ERROR ' + e.message})</script>"


def visit(folder: Path, page: str, script: str, width: int = 1280, height: int = 800, flags: tuple[str, ...] = ()) -> str:
    """The DOM of `page` after `script`. Asserts that nothing was written to the console."""
    file = folder / "page.html"
    file.write_text(page.replace("<head>", f"<head>{LOG}").replace("</body>", f"<script>{script}</script></body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=2000"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}", *flags, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said
    assert "<title>ERROR" not in done.stdout
    return done.stdout
