"""Token buckets never give more than rate and burst allow, and a refusal costs nothing."""

from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.budget import Rate, full, take

RATE = Rate(per_second=2.0, burst=3.0)


def test_a_burst_passes_and_the_next_one_waits() -> None:
    bucket = full(RATE, 10.0)
    for _ in range(3):
        bucket, wait = take(bucket, RATE, 10.0)
        assert wait == 0.0
    bucket, wait = take(bucket, RATE, 10.0)
    assert wait == 0.5
    bucket, wait = take(bucket, RATE, 10.5)
    assert wait == 0.0


def test_a_pause_fills_the_bucket_no_higher_than_its_burst() -> None:
    bucket, _ = take(full(RATE, 0.0), RATE, 1_000_000.0)
    assert bucket.tokens == 2.0


def test_a_clock_that_steps_back_gives_nothing_and_takes_nothing() -> None:
    bucket, _ = take(full(RATE, 10.0), RATE, 10.0)
    bucket, wait = take(bucket, RATE, 5.0)
    assert (bucket.tokens, wait) == (1.0, 0.0)


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(0.1, 50), st.floats(1, 20))
def test_within_any_time_no_more_pass_than_burst_and_rate_allow(pauses: list[float], per_second: float, burst: float) -> None:
    rate, now, passed = Rate(per_second, burst), 0.0, 0
    bucket = full(rate, now)
    for pause in pauses:
        now += pause
        bucket, wait = take(bucket, rate, now)
        passed += wait == 0.0
        assert passed <= burst + now * per_second + 1e-6
        assert wait <= 1.0 / per_second
