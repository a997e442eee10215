"""Which processor does what, and how many connections may be open.

One processor is the gateway's alone. The other has all the rest: mock upstream, load program, PostgreSQL, Redis and
this program, whose affinity they inherit.
"""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

GATEWAY_CPU, OTHER_CPU = 0, 1
FILES = 65_536


def prepare() -> int:
    """Leave the gateway's processor, raise the limit of open files as far as we may, and return it."""
    if not hasattr(os, "sched_setaffinity"):
        raise SystemExit("The bench pins processes to processors and reads /proc: it needs Linux.")
    if not {GATEWAY_CPU, OTHER_CPU} <= os.sched_getaffinity(0):
        raise SystemExit("The bench needs two processors, 0 for the gateway and 1 for everything else.")
    os.sched_setaffinity(0, {OTHER_CPU})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < FILES:
        with contextlib.suppress(ValueError, OSError):  # root may; others stay at what they were given
            resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def describe() -> str:
    """Say on what the figures were taken; they mean little without."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{len(models)} x {models[0] if models else os.uname().machine}, {memory:.0f} GB"


def busy() -> str:
    """Say that others have been computing, if they have: then misses may be their doing."""
    minutes = os.getloadavg()[2]
    if minutes < 2 * (os.cpu_count() or 1):
        return ""
    return f"\nThe machine was busy with other things (load average {minutes:.0f}): what is MISSED may be its fault."


def load_average() -> str:
    """Say how busy the machine is, for figures taken on a busy one are worth less."""
    return "load average {:.1f}, {:.1f}, {:.1f}".format(*os.getloadavg())
