"""
`python -m batchfetch` is the same as `batchfetch`.
"""

from batchfetch.cli.main import entry

entry()
