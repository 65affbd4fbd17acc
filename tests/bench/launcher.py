"""
Run one command and say on standard output what it cost: `wall cpu peak_rss exit_code`.

Usage: launcher.py COMMAND [ARGUMENT...]

A program of its own, and one that imports next to nothing, because Linux counts the memory of
the process that starts a program into the program's peak.  So the smallest peak that can be
measured is this file's: about 9 MB.  `wait4` gives the largest process of the command and of the
children it waited for.  What the command prints goes to standard error.
"""

import os
import sys
import time


def main(command: list[str]) -> None:
    """
    Run *command* to its end and write one line about it.
    """
    begin = time.perf_counter()
    quiet = [(os.POSIX_SPAWN_DUP2, 2, 1)]
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(pid, 0)
    wall = time.perf_counter() - begin
    # Kilobytes, except where BSD's meaning of the field holds.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cpu = usage.ru_utime + usage.ru_stime
    sys.stdout.write(f"{wall} {cpu} {peak} {os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
