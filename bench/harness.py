"""What every benchmark shares: the description of the machine, the table, and the closing JSON line."""

import json
import os
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def report(
    name: str,
    figures: Mapping[str, float],
    *,
    as_json: bool,
    table: Sequence[Sequence[object]] = (),
) -> None:
    """Print the benchmark's table (first row: headings), then its figures.

    With ``as_json`` the last line of the output is one object ``{"name", "machine", "figures"}``; figures carry their
    unit in the key and are rounded to four significant digits.
    """
    print(f"{name} on {machine()}")
    for line in aligned(table):
        print(line)
    rounded = {key: _significant(value) for key, value in figures.items()}
    if as_json:
        print(json.dumps({"name": name, "machine": machine(), "figures": rounded}), flush=True)
        return
    print()
    for line in aligned([[key, value] for key, value in rounded.items()]):
        print(line)
    sys.stdout.flush()


def machine() -> str:
    """Processor, usable cores, memory, Python: what a figure cannot be read without."""
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{_processor()}, {cores} cores, {memory_gb:.0f} GiB, Python {platform.python_version()}"


def cpu_s(who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds, user and system, of this process; of its ended children with ``resource.RUSAGE_CHILDREN``."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def process_cpu_s(pid: int) -> float:
    """CPU seconds of another living process and its ended children. Source: proc(5), stat."""
    columns = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, columns[11:15])) / os.sysconf("SC_CLK_TCK")


def aligned(table: Sequence[Sequence[object]]) -> list[str]:
    """Rows as text, columns lined up: the first to the left, the others to the right."""
    rows = [[_text(cell) for cell in row] for row in table]
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(max(map(len, rows)))]
    return [
        "  ".join(
            cell.ljust(widths[column]) if column == 0 else cell.rjust(widths[column]) for column, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return str(cell)


def _significant(value: float) -> float:
    return float(f"{value:.4g}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def allow_files(count: int) -> None:
    """Let this process open so many files, or as many as the system lets it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(count, hard),) * 2)
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
