"""
The command: `batchfetch`, or `python -m batchfetch`.
"""

import signal


def start() -> None:
    """
    Import the command and run it.

    An interrupt during the imports comes after them and ends the process at once: nothing has
    begun, and a traceback through half an import would tell nothing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    from batchfetch.cli.main import entry  # noqa: PLC0415

    entry(signals=before)


if __name__ == "__main__":
    start()
