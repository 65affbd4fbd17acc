"""
`python -m batchfetch` is the same as `batchfetch`.
"""

import sys

from batchfetch.cli.main import entry

sys.exit(entry())
