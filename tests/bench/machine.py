"""
Describe the machine a measurement was made on.
"""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from tools import REPOSITORY


def describe_machine() -> dict[str, str | int | float]:
    """
    Return what a reader needs to judge the figures: processor, memory, system, load, commit.
    """
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "commit": _commit(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:  # Not Linux.
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    command = ("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty")
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # Not a checkout, or no git.
        return "unknown"
