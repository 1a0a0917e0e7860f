"""Pictures of pages for the documents: made anew only on request, for their bytes depend on browser and fonts."""

from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
COLOURS = 64


def take_picture(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep what the page shows as ``docs/pictures/<name>.png``, where CARM_REWRITE_PICTURES is set.

    ``whole`` takes what is further down, too. Few colours make a small file, and pages have few.
    """
    if not os.environ.get("CARM_REWRITE_PICTURES"):
        return
    file = PICTURES / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    shot = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    if whole and shot.height > 2 * shot.width:
        shot = shot.crop((0, 0, shot.width, 2 * shot.width))
    shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
