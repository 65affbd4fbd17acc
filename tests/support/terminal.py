"""
A real terminal of any width, on which the command runs and that a test can read.
"""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import pyte
from command import LIMIT, start


class Terminal:
    """
    A pseudo-terminal with *columns* and *rows*.  To be used in a `with` block.

    What its programs send is drawn on a screen as a terminal emulator draws it, and also kept as it
    came, in `sent`.
    """

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._mine, self._its = pty.openpty()
        self._drawing = threading.Lock()
        self._started: list[subprocess.Popen[str]] = []
        self._reader = threading.Thread(target=self._read)
        self.sent = b""
        self.resize(columns, rows)

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            process.kill()  # One that runs still is that of a test that has failed.
            process.wait()
        self.hang_up()
        self._reader.join()

    @property
    def descriptor(self) -> int:
        """
        The programs' side, for a stream that `start` does not connect.
        """
        return self._its

    def spawn(self, program: Sequence[str], **how: Any) -> subprocess.Popen[str]:
        """
        Start any *program* with this as its controlling terminal and all of its streams.
        """
        process = subprocess.Popen(
            ["setsid", "--ctty", *program],
            **{"stdin": self._its, "stdout": self._its, "stderr": self._its, **how},
        )
        self._started.append(process)
        return process

    def start(self, *args: object, env: Mapping[str, str], **how: Any) -> subprocess.Popen[str]:
        """
        Start the command with *args*, with this as its controlling terminal and its stderr.
        """
        process = start(
            *args,
            env=env,
            prefix=("setsid", "--ctty"),
            **{
                "stdin": self._its,
                "stdout": subprocess.DEVNULL,
                "stderr": self._its,
                **how,
            },
        )
        self._started.append(process)
        return process

    def resize(self, columns: int, rows: int) -> None:
        """
        Change the size, as a user does who drags the window's corner.
        """
        with self._drawing:
            fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            self._screen.resize(rows, columns)

    def press(self, keys: bytes) -> None:
        """
        Type *keys*; `\\x03` is Ctrl-C.
        """
        os.write(self._mine, keys)

    def hang_up(self) -> None:
        """
        Close the terminal's side of the programs; what they have sent is drawn first.
        """
        if self._its >= 0:
            os.close(self._its)
            self._its = -1

    @property
    def is_open(self) -> bool:
        """
        Whether a program may still send something.
        """
        return self._reader.is_alive()

    @property
    def lines(self) -> list[str]:
        """
        What stands on the screen, without the blanks at the end of each line and of all lines.
        """
        with self._drawing:
            return "\n".join(line.rstrip() for line in self._screen.display).rstrip().split("\n")

    def wait_for(self, shown: Callable[[list[str]], bool]) -> list[str]:
        """
        Wait until *shown* is true of the lines, and return those.
        """
        deadline = time.monotonic() + LIMIT
        while not shown(lines := self.lines):
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.01)
        return lines

    def _read(self) -> None:
        while piece := self._next():
            with self._drawing:
                self.sent += piece
                self._stream.feed(piece)
        os.close(self._mine)

    def _next(self) -> bytes:
        try:
            return os.read(self._mine, 65536)
        except OSError:  # How Linux says that the other side is closed.
            return b""
