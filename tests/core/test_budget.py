"""Rates never give more than rate and burst allow, and a refusal costs nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.budget import FULL, Rate, take

RATE = Rate(per_second=2.0, burst=3.0)


def test_a_burst_passes_and_the_next_one_waits() -> None:
    state = FULL
    for _ in range(3):
        state, wait = take(state, RATE, 10.0)
        assert wait == 0.0
    state, wait = take(state, RATE, 10.0)
    assert wait == 0.5
    state, wait = take(state, RATE, 10.5)
    assert wait == 0.0


def test_a_pause_fills_no_higher_than_the_burst() -> None:
    state, _ = take(FULL, RATE, 0.0)
    passed = 0
    while take(state, RATE, 1e6)[1] == 0.0:
        state, _ = take(state, RATE, 1e6)
        passed += 1
    assert passed == 3


def test_a_clock_that_steps_back_gives_nothing_and_takes_nothing() -> None:
    state, _ = take(FULL, RATE, 10.0)
    after, wait = take(state, RATE, 5.0)
    assert after == state
    assert wait == pytest.approx(4.5)
    assert take(state, RATE, 10.0)[1] == 0.0


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(0.1, 50), st.floats(1, 20))
def test_within_any_time_no_more_pass_than_burst_and_rate_allow(pauses: list[float], per_second: float, burst: float) -> None:
    rate, now, passed = Rate(per_second, burst), 0.0, 0
    state = FULL
    for pause in pauses:
        now += pause
        state, wait = take(state, rate, now)
        passed += wait == 0.0
        assert passed <= burst + now * per_second + 1e-6
        assert wait <= 1.0 / per_second + 1e-9


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(0.1, 50), st.floats(1, 20))
def test_it_admits_what_a_bucket_of_tokens_admits(pauses: list[float], per_second: float, burst: float) -> None:
    rate, now, tokens, at = Rate(per_second, burst), 0.0, burst, 0.0
    state = FULL
    for pause in pauses:
        now += pause
        tokens, at = min(burst, tokens + (now - at) * per_second), now
        state, wait = take(state, rate, now)
        if abs(tokens - 1.0) < 1e-6:
            return  # rounding decides
        assert (wait == 0.0) == (tokens >= 1.0)
        if tokens >= 1.0:
            tokens -= 1.0
