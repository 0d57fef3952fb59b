"""What the canonical form of a manifest costs: `python -m bench.canonical` prints milliseconds by the reference and by the quick way."""

import timeit
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import msgspec
import rfc8785

from bench.plan import server
from customhouse.core.canonical import canonical_json
from customhouse.core.manifest import Pin


def main() -> None:
    """Print one line per kind of text."""
    ascii_only: Any = msgspec.to_builtins(cast("Pin", server(1).pin).manifest)
    accented = {**ascii_only, "instructions": "Süß."}
    for name, value in (("ASCII", ascii_only), ("other characters", accented)):
        size = len(canonical_json(value))
        quick, reference = best_ms(partial(canonical_json, value)), best_ms(partial(rfc8785.dumps, value))
        print(f"{name:<18}{size:>8} bytes: {reference:6.2f} ms by the reference, {quick:6.2f} ms here")


def best_ms(work: Callable[[], object]) -> float:
    """The best of five runs, in milliseconds."""
    return min(timeit.repeat(work, number=20, repeat=5)) / 20 * 1e3


if __name__ == "__main__":
    main()
