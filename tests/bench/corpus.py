"""
Make the images a benchmark fetches, and the bodies they are fetched in.
"""

import binascii
import random
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What common writers cut the pixels into, and so the unit a reader checks CRCs by.
_IDAT_BYTES = 65_536
_BODY = (
    b'{"id":"%b","responseStatusCode":"Ok","taskStatus":"Completed",'
    b'"results":[{"type":"ImagePNG","data":"%b"}],"error":null}'
)


@dataclass(frozen=True, slots=True)
class Column:
    """
    One size of work: so many images of so many bytes, so many requests at once.
    """

    name: str
    count: int
    size: int
    concurrency: int = 32

    @property
    def title(self) -> str:
        """
        The column's heading: how many images of which size.
        """
        return f"{self.count:,} \N{MULTIPLICATION SIGN} {self.name}".replace(",", " ")

    @property
    def footprint(self) -> int:
        """
        Bytes of storage a round takes: every image bare, in base64, and fetched.
        """
        return self.count * self.size * 10 // 3

    def scaled(self, divisor: int) -> "Column":
        """
        Return the same column with fewer images, at least one.
        """
        return replace(self, count=max(1, self.count // divisor))


COLUMNS = (
    Column("5 KB", 20_000, 5_000),
    Column("200 KB", 2_000, 200_000),
    Column("5 MB", 200, 5_000_000),
    Column("100 MB", 10, 100_000_000, concurrency=10),
)


@dataclass(frozen=True, slots=True)
class Corpus:
    """
    A column's images on storage: bare below `images`, as the service's JSON below `bodies`.
    """

    directory: Path
    task_ids: tuple[str, ...]

    @property
    def ids_file(self) -> Path:
        """
        One task id a line.
        """
        return self.directory / "ids.txt"

    def image(self, task_id: str) -> Path:
        """
        Return where the bare image of a task is.
        """
        return self.directory / "images" / task_id

    def body(self, task_id: str) -> Path:
        """
        Return where the JSON answer about a task is.
        """
        return self.directory / "bodies" / task_id


def make_corpus(column: Column, directory: Path) -> Corpus:
    """
    Write the images of *column*, no two alike and the same in every run, below *directory*.
    """
    noise = random.Random(column.size)
    task_ids = tuple(
        str(uuid.UUID(bytes=noise.randbytes(16), version=4)) for _ in range(column.count)
    )
    corpus = Corpus(directory, task_ids)
    corpus.image("").mkdir(parents=True)
    corpus.body("").mkdir(parents=True)
    corpus.ids_file.write_text("".join(f"{task_id}\n" for task_id in task_ids))
    for task_id in task_ids:
        image = noise_png(column.size, noise)
        corpus.image(task_id).write_bytes(image)
        text = binascii.b2a_base64(image, newline=False)
        corpus.body(task_id).write_bytes(_BODY % (task_id.encode(), text))
    return corpus


def noise_png(size: int, noise: random.Random) -> bytes:
    """
    Return a sound greyscale PNG of about *size* bytes that does not compress.

    Chunk layout: PNG specification (third edition), sections 5.2, 11.2 and 11.3.
    """
    width = isqrt(size)
    height = size // (width + 1)
    rows = bytearray(noise.randbytes((width + 1) * height))
    rows[:: width + 1] = bytes(height)  # Every row begins with its filter type: 0, none.
    pixels = zlib.compress(rows, level=0)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    idats = (pixels[start : start + _IDAT_BYTES] for start in range(0, len(pixels), _IDAT_BYTES))
    return b"".join(
        (
            _SIGNATURE,
            *_chunk(b"IHDR", header),
            *(part for idat in idats for part in _chunk(b"IDAT", idat)),
            *_chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> Iterator[bytes]:
    yield struct.pack(">I", len(data))
    yield kind
    yield data
    yield struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
