"""
Copy every image with plain reads and writes: what no downloader can beat.

Usage: bare_writes.py IMAGES IDS OUTPUT
"""

import os
import sys

_BUFFER_BYTES = 262_144


def main(images: str, ids: str, output: str) -> None:
    """
    Copy the images named in *ids* from one folder to the other.
    """
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with open(ids) as lines:  # noqa: PTH123 - pathlib would be half of this program's start-up
        for line in lines:
            task_id = line.strip()
            source = os.open(f"{images}/{task_id}", os.O_RDONLY)
            target = os.open(f"{output}/{task_id}.png", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            while count := os.readv(source, [buffer]):
                os.write(target, buffer[:count])
            os.close(source)
            os.close(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
