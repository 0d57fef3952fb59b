"""What stable storage itself takes: one record of a kilobyte appended and synced, again and again, on the disk of the deployments."""

import os
import tempfile
import time
from typing import Any

RECORDS = 2_000
RECORD = b"x" * 1_000


def measure() -> dict[str, Any]:
    """Milliseconds of append and fdatasync, as the ledger does for one durable intent alone."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(RECORDS):
            began = time.perf_counter()
            os.write(file.fileno(), RECORD)
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    return {"name": "append and fdatasync of one record", "p50_ms": took[len(took) // 2], "p99_ms": took[int(len(took) * 0.99)]}
