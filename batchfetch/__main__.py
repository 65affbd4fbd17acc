"""
The command: `batchfetch`, or `python -m batchfetch`.
"""

import os
import signal

_INTERRUPTED = 130  # `ExitCode.SIGINT`, whose module is not imported yet.


def start() -> None:
    """
    Import the command and run it.

    An interrupt during the imports ends the process at once: nothing has begun, and a traceback
    through half an import would tell nothing.
    """
    # Not where the process was started with the signal ignored, in the background of a script.
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_ours:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    from batchfetch.cli.main import entry  # noqa: PLC0415

    entry(interruptible=is_ours)


if __name__ == "__main__":
    start()
