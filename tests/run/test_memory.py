"""Large buffers go back to the system, whatever was freed before them."""

import subprocess
import sys

GROWTH = """
from pathlib import Path
from mbongi.run.memory import return_large_buffers

def resident_kb():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])

assert return_large_buffers()
before, kept = resident_kb(), []
for _ in range(20):
    large = b"x" * 5_000_000
    kept.append(bytes(2_000))  # behind the large one, were that among small objects
    del large
print(resident_kb() - before)
"""


def test_what_a_freed_buffer_took_is_not_kept() -> None:
    grown_kb = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True).stdout

    assert int(grown_kb) < 4_000, "less than one of the buffers"
