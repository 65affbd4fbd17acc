"""
Standard output: only what was asked for, and never a traceback because nobody reads it.
"""

import os
import sys

import click

from batchfetch.errors import StorageError


def say(text: str) -> None:
    """
    Print *text* at once.  Raises `StorageError` if stdout is a file and its disk is full.
    """
    try:
        click.echo(text)
    except OSError as error:
        # Else the interpreter would fail to flush once more when it ends, and say so.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        # A reader that left has read enough.
        if not isinstance(error, BrokenPipeError):
            raise StorageError(f"standard output cannot be written: {error.strerror}") from error
