"""How long something that failed is left alone."""

from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.backoff import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, RESTED, STABLE_SECONDS, Backoff, failed

NOW = st.floats(0, 1e9)
SHORT = st.floats(0, STABLE_SECONDS, exclude_max=True)


def after(failures: int, now: float = 0.0) -> Backoff:
    state = RESTED
    for _ in range(failures):
        state = failed(state, 0.0, now)
    return state


@given(NOW)
def test_what_never_failed_and_what_failed_once_may_be_tried_at_once(now: float) -> None:
    assert RESTED.wait_seconds(now) == 0.0
    assert failed(RESTED, 0.0, now).wait_seconds(now) == 0.0


def test_from_the_second_failure_on_the_pause_doubles_up_to_a_cap() -> None:
    pauses = [after(failures).wait_seconds(0.0) for failures in range(1, 12)]
    assert pauses == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert pauses[1] == FIRST_PAUSE_SECONDS


@given(st.integers(2, 10_000), SHORT, NOW)
def test_no_pause_is_longer_than_the_cap_and_each_one_ends(failures: int, stood_seconds: float, now: float) -> None:
    state = failed(Backoff(failures, 0.0), stood_seconds, now)
    assert 0.0 < state.wait_seconds(now) <= LONGEST_PAUSE_SECONDS + 1e-6
    assert state.wait_seconds(now + LONGEST_PAUSE_SECONDS + 1e-6) == 0.0


@given(st.integers(0, 10_000), NOW)
def test_what_stood_for_a_while_starts_again_at_its_first_failure(failures: int, now: float) -> None:
    assert failed(Backoff(failures, 0.0), STABLE_SECONDS, now) == failed(RESTED, 0.0, now)
