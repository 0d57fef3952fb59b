"""What sealing costs: `python -m bench.sealing` prints microseconds to seal and to open texts of the sizes in use."""

import time
import timeit
from collections.abc import Callable
from functools import partial

from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import first_keyring
from customhouse.core.sealing import Seal, bound

SIZES_BYTES = (100, 700, 65_536)
BOUND_TO = bound("0" * 32, "/mcp")


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def main() -> None:
    """Print one line per size."""
    sealer = AeadSealer(first_keyring(time.time()), SystemClock())
    for size in SIZES_BYTES:
        plain, rounds = b"x" * size, 500 if size > 10_000 else 20_000
        text = sealer.seal(Seal.SESSION, plain, BOUND_TO)
        sealing = best_us(partial(sealer.seal, Seal.SESSION, plain, BOUND_TO), rounds)
        opening = best_us(partial(sealer.open, Seal.SESSION, text, BOUND_TO), rounds)
        print(f"{size:>6} bytes, {len(text):>6} characters: sealed in {sealing:6.1f} us, opened in {opening:6.1f} us")


def best_us(work: Callable[[], object], rounds: int) -> float:
    """The best of five runs, in microseconds a round."""
    return min(timeit.repeat(work, number=rounds, repeat=5)) / rounds * 1e6


if __name__ == "__main__":
    main()
