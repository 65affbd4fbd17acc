"""
A headless browser that opens a page in a frame of a given width, and says what is in it.
"""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
"""None where it is not installed."""

# Tall enough that everything is in view: images beyond it would not be loaded.
_HEIGHT = 20_000

_DRIVER = """<!doctype html>
<body style="margin:0">
<iframe id="frame" src="{page}" style="width:{width}px;height:{height}px;border:0"></iframe>
<script>
const frame = document.getElementById("frame");
async function look() {{
  const page = frame.contentDocument, view = frame.contentWindow;
  const pictures = Array.from(page.images);
  for (let turn = 0; turn < 50 && !pictures.every((one) => one.naturalWidth); turn++) {{
    await new Promise((resolve) => setTimeout(resolve, 100));
  }}
  const found = await (async () => {{ {script} }})();
  const out = document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
}}
frame.addEventListener("load", look);
</script>
"""


def look_at(page: Path, script: str, *, width: int = 1280, dark: bool = False) -> Any:
    """
    Open *page* from its file, *width* pixels wide, and return what *script* returns.

    *script* is the body of an async function of JavaScript; `page` is the document, `view` its
    window, and `pictures` are its images, loaded as far as they can be.
    """
    driver = page.with_name("driver.html")
    driver.write_text(
        _DRIVER.format(page=page.name, width=width, height=_HEIGHT, script=script), "utf-8"
    )
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    # The frame and the page are files: only so may one look into the other.
    dom = _browse(driver, "--dump-dom", "--allow-file-access-from-files", scheme)
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:]
    return json.loads(unescape(found[1]))


def print_to(pdf: Path, page: Path) -> None:
    """
    Print *page* to *pdf*.
    """
    _browse(page, f"--print-to-pdf={pdf}")


def _browse(page: Path, *options: str) -> str:
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
            f"--user-data-dir={page.parent / '.browser'}",
            f"--window-size=1400,{_HEIGHT}",
            "--virtual-time-budget=20000",
            *options,
            page.as_uri(),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=110,
    )
    return done.stdout
