"""One Chromium for all tests of this folder, the one that is installed: nothing downloads a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MAC_APPS = (
    Path("/Applications/Chromium.app/Contents/MacOS/Chromium"),
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
)
MISSING = (
    "no Chromium and no Google Chrome was found: install one (Debian: apt install chromium; macOS: brew install --cask "
    "google-chrome; others: Google Chrome), or say where it is with CHROMIUM=/path/to/it, and run make accessibility"
)
# Nothing but the pages: no first visit, no updates, no accounts.
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


def find_chromium() -> str | None:
    """The program to start: the one that ``CHROMIUM`` names, else the first that is found."""
    if named := os.environ.get("CHROMIUM"):
        return shutil.which(named)
    found = [path for name in NAMES if (path := shutil.which(name))]
    return next(iter(found + [str(app) for app in MAC_APPS if app.exists()]), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = find_chromium()
    if program is None:
        # One sentence for a person, not one failure for each test.
        pytest.exit(MISSING, returncode=1)
    with sync_playwright() as playwright:
        # Its sandbox is off, because containers forbid it; it opens only pages of this project, without a network.
        started = playwright.chromium.launch(executable_path=program, args=list(QUIET), chromium_sandbox=False)
        yield started
        started.close()
