"""
Who holds a lock: what is written down about a process, and whether it is dead.
"""

import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path


def identity() -> dict[str, object]:
    """
    Return what a lock says of this process.
    """
    pid = os.getpid()
    return {**_machine(), "host": socket.gethostname(), "pid": pid, "started": _started(pid)}


def is_dead(holder: Mapping[str, object]) -> bool:
    """
    Whether *holder* was a process of this machine that is no more; False if that cannot be told.
    """
    here = _machine()
    pid = holder.get("pid")
    if not here or not isinstance(pid, int):
        return False
    if any(holder.get(name) != value for name, value in here.items()):
        return False
    return _started(pid) != holder.get("started")


@cache
def _machine() -> dict[str, object]:
    """
    Return what tells this machine's processes from those of others, containers included; nothing
    if that cannot be told.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        processes = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return {}
    return {"host": socket.gethostname(), "boot": boot, "processes": processes}


def _started(pid: int) -> str | None:
    """
    Return when the process *pid* began, in the kernel's ticks; None if there is none.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field, the command's name, may hold anything; a zombie is dead.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state == "Z" else fields[18]
