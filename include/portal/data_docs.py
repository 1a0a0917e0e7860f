"""The Data Docs behind the same log-in: what the gates found, run by run, as it was written.

Their pages bring their own style and no script (docs/adr/0061). A frame shows them, so that the navigation stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import FileResponse, HTMLResponse

from include.portal.pages import HEADERS, InWorkspace, render
from include.portal.staff import Reader
from include.workspace import Workspace

router = APIRouter()

DATA_DOCS_HEADERS: Mapping[str, str] = {
    **HEADERS,
    # Not a sandbox: from a page of no origin a link to the next one would come without the log-in.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
}

RunName = Annotated[str, Path(pattern=r"^[A-Za-z0-9_=+:-][A-Za-z0-9._=+:-]{0,200}$")]
"""As :func:`include.quality.data_docs.publish_page` names a folder; it never begins with a dot."""
PageName = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,80}\.(html|json)$")]


@router.get("/data-docs/", response_class=HTMLResponse)
def show_data_docs(request: Request, staff: Reader, ws: InWorkspace) -> HTMLResponse:
    """The Data Docs in a frame, or that there are none yet."""
    return render(request, "data_docs.html", staff=staff, is_there=(_folder(ws) / "index.html").is_file())


@router.get("/data-docs/index.html")
def send_index(_: Reader, ws: InWorkspace) -> FileResponse:
    """The list of all runs."""
    return _send(_folder(ws) / "index.html")


@router.get("/data-docs/{run}/{page}")
def send_page(_: Reader, ws: InWorkspace, run: RunName, page: PageName) -> FileResponse:
    """The page of one dataset in one run, or the JSON that it was made of."""
    return _send(_folder(ws) / run / page)


def _folder(ws: Workspace) -> FilePath:
    return ws.data / "data_docs"


def _send(path: FilePath) -> FileResponse:
    if not path.is_file():
        raise HTTPException(404, "there is no such page of the Data Docs")
    kind: Literal["text/html", "application/json"] = "text/html" if path.suffix == ".html" else "application/json"
    return FileResponse(path, media_type=kind, headers=DATA_DOCS_HEADERS)
