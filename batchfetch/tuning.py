"""
Constants that tune the moving of bytes, each with the measurement that justifies it.

Measured by `tests/bench/`: whole commands in turn, two shared cores, output in memory, SHA-256.
"""

SHORT_BODY = 768 * 1024
"""Bytes of an answer up to which it is handled in one piece, in the event loop.

A hop to a thread and back takes as long as all the work on an image of 200 KB: 2000 of them took
3.0 s in threads and 1.7 s without.  The loop is held for 1.5 ms at most."""

HOP = 256 * 1024
"""Bytes of a longer answer that are gathered before a thread decodes, checks, hashes and writes
them.  Half a MiB was as fast (200 images of 5 MB: 1.83 s, this 1.86) and took 10 MB more."""

READ_AHEAD = 64 * 1024
"""Bytes that aiohttp receives of an answer before it is read; at twice as many it stops the socket.
Twice as many were no faster (5 MB: 2.28 s, curl beside it 0.95) and took 20 MB more."""

LAST_BODY = 8 * 1024 * 1024
"""Bytes that may be received ahead of a body over TLS if the connection ends with it: uvloop loses
up to 256 KiB that TLS still holds when reading is paused and the service closes the connection."""

ALL_LAST_BODIES = 48 * 1024 * 1024
"""Bytes of all such bodies together: 32 of 7 MB at once peak below 200 MiB."""

QUICK = 200e-6
"""Seconds that a little work with files may wait for the disk and still be done in the event loop:
about what a hop to a thread costs."""

TOLERATED = 1 / 4
"""Share of such work that may take longer: on a busy machine some loses the processor half way,
which no thread would change."""

BACKOFF_CALLS = 512
"""Pieces of such work that threads do after that, before the event loop tries again."""

IO_THREADS = 8
"""Threads that wait for the disk: syncing 48 KiB files took 585 us each with 8, 912 us with one."""
