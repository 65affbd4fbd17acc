"""
PngSuite: Willem van Schaik's PNGs of every kind, and the broken ones among them.

The licence is beside the archive.
"""

import zipfile
from pathlib import Path

_ARCHIVE = Path(__file__).parents[1] / "decoding" / "pngsuite" / "PngSuite.zip"

with zipfile.ZipFile(_ARCHIVE) as _archive:
    IMAGES = {
        name.removesuffix(".png"): _archive.read(name)
        for name in _archive.namelist()
        if name.endswith(".png")
    }

# The names of broken files begin with an x.
SOUND = {name: image for name, image in IMAGES.items() if name[0] != "x"}
BROKEN = {name: image for name, image in IMAGES.items() if name[0] == "x"}
