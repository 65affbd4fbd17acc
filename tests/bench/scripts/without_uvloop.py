"""
batchfetch as it runs where uvloop is not installed.

Usage: without_uvloop.py ARGUMENT...
"""

import sys

from batchfetch.cli.main import main

if __name__ == "__main__":
    # How Python itself marks a module that is not to be found.
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # typeshed knows only modules
    sys.exit(main())
