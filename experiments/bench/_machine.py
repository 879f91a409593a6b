"""What the benchmarks tell of the machine and of the memory of a process. Linux only (`/proc`)."""

import os
from pathlib import Path
from typing import Literal


def machine() -> str:
    """Cores and clock, as far as the system tells."""
    info = Path("/proc/cpuinfo").read_text()
    clocks = [float(line.split(":")[1]) for line in info.splitlines() if line.startswith("cpu MHz")]
    clock = f" of {max(clocks) / 1000:.1f} GHz" if clocks else ""
    return f"{os.cpu_count()} CPU cores{clock}"


def memory_mb(pid: int, which: Literal["VmRSS", "VmHWM"] = "VmRSS") -> float:
    """Resident memory of a process in MB: now, or the most that it had (`VmHWM`)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split(f"{which}:")[1].split()[0]) / 1000
