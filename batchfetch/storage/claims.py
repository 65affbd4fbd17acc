"""
Claims: empty files that say whose image a run was just putting in place.

An image that is not named by its task's id could be any task's until the report says whose it is.
So a claim is made before the file gets its name, and removed after the report has its line.  A run
that dies in between leaves the claim, and the next one knows the image.  A claim whose part is
still there is void: the run died before the file had its name.

Everything here blocks.
"""

from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import NamedTuple

from batchfetch.storage.folder import Folder
from batchfetch.storage.part import CLAIM_NAME, unlink


class Claim(NamedTuple):
    """
    A claim that was found or made.
    """

    folder: bytes
    """Where it is, relative to the output."""

    marker: str
    """The empty file's name."""

    owner: str
    """The owner's digest."""


class Claims:
    """
    The claims on files of one storage.
    """

    def __init__(self) -> None:
        self._claims: dict[tuple[bytes, str], Claim] = {}

    def __bool__(self) -> bool:
        """
        Whether there is any.
        """
        return bool(self._claims)

    def __contains__(self, filename: str) -> bool:
        """
        Whether *filename* is claimed for any owner.
        """
        return _key(filename) in self._claims if self._claims else False

    def is_for(self, filename: str, owner: str) -> bool | None:
        """
        Whether *filename* is claimed for *owner*; None if it is not claimed.
        """
        claim = self._claims.get(_key(filename))
        return None if claim is None else claim.owner == digest(owner)

    def text(self, filename: str, owner: str) -> str:
        """
        Return what a claim on *filename* for *owner* says in its name.
        """
        return _key(filename)[1] + digest(owner)

    def add(self, filename: str, marker: str) -> None:
        """
        Note the claim on *filename* that the file *marker* beside it makes.
        """
        folder, _, _ = filename.encode().rpartition(b"/")
        self.note(folder, marker)

    def note(self, folder: bytes, marker: str) -> None:
        """
        Note the claim that the file *marker* in *folder* makes.
        """
        if (found := CLAIM_NAME.fullmatch(marker)) is not None:
            _, name, owner = found.groups()
            self._claims[folder, name] = Claim(folder, marker, owner)

    def release(self, root: Folder, filenames: Iterable[str]) -> None:
        """
        Remove the claims on *filenames* below *root*, as far as there are any.
        """
        for filename in filenames if self._claims else ():
            if (claim := self._claims.pop(_key(filename), None)) is not None:
                with suppress(OSError), root.opened(claim.folder) as folder:
                    unlink(claim.marker, folder)


def digest(text: str) -> str:
    """
    Return a hash of *text* that is the same in every process: 16 hexadecimal digits.
    """
    return blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _key(filename: str) -> tuple[bytes, str]:
    folder, _, name = filename.rpartition("/")
    return folder.encode(), digest(name)
