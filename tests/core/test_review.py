"""The state table cannot be walked around, and nobody reviews what they proposed."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import NEXT, Kind, Review, State, Step, Version, advanced, content_digest, possible, standing

NOW = 1_000_000.0
DIGEST = content_digest(Kind.SERVER, "notes", {"definition": {}})
PEOPLE = st.sampled_from(["local/ann", "local/ben", "local/cem", "local/dan"])
REVIEWS = st.lists(
    st.builds(
        Review,
        digest=st.sampled_from([DIGEST, DIGEST, "sha256:other"]),
        reviewer=PEOPLE,
        accepts=st.booleans(),
        at=st.floats(0, NOW),
        expires_at=st.floats(NOW - 10, NOW + 10),
    ),
    max_size=8,
)


def version(state: State = State.PROPOSED, *, needed: int = 1, proposer: str = "local/ann") -> Version:
    return Version(
        kind=Kind.SERVER,
        name="notes",
        number=1,
        tenant="local",
        digest=DIGEST,
        state=state,
        proposer=proposer,
        reviewers_needed=needed,
        proposed_at=NOW,
    )


def review(reviewer: str, *, accepts: bool = True, at: float = NOW, expires_at: float = NOW + 100, digest: str = DIGEST) -> Review:
    return Review(digest=digest, reviewer=reviewer, accepts=accepts, at=at, expires_at=expires_at)


def refusal_of(*args: object) -> Reason:
    with pytest.raises(Refused) as refused:
        advanced(*args)  # type: ignore[arg-type]
    return refused.value.reason


@pytest.mark.parametrize(("state", "step"), [pair for pair in itertools.product(State, Step) if pair not in NEXT])
def test_a_step_that_is_not_in_the_table_is_refused(state: State, step: Step) -> None:
    enough = [review("local/ben"), review("local/cem")]
    assert refusal_of(version(state), step, "local/ben", enough, NOW) is Reason.STEP_NOT_ALLOWED


@pytest.mark.parametrize(("state", "step"), sorted(NEXT, key=str))
def test_a_step_of_the_table_leads_where_the_table_says(state: State, step: Step) -> None:
    accepted = [] if step is Step.PROPOSE else [review("local/ben")]
    rejected = [review("local/ben", accepts=False)] if step is Step.REJECT else accepted
    assert advanced(version(state), step, "local/ben", rejected, NOW).state is NEXT[state, step]
    assert step.value in possible(state)


def test_nothing_leads_out_of_retired() -> None:
    assert possible(State.RETIRED) == []


@pytest.mark.parametrize("step", [Step.ACCEPT, Step.REJECT])
def test_the_proposer_cannot_review(step: Step) -> None:
    assert refusal_of(version(), step, "local/ann", [review("local/ann")], NOW) is Reason.SELF_REVIEW


@pytest.mark.parametrize(
    ("reviews", "missing", "suffices"),
    [
        pytest.param([], 2, False, id="none"),
        pytest.param([review("local/ben")], 1, False, id="one of two"),
        pytest.param([review("local/ben"), review("local/ben", at=NOW + 1)], 1, False, id="the same person twice"),
        pytest.param([review("local/ben"), review("local/cem")], 0, True, id="two people"),
        pytest.param([review("local/ben"), review("local/ann")], 1, False, id="one is the proposer"),
        pytest.param([review("local/ben"), review("local/cem", digest="sha256:other")], 1, False, id="one looked at something else"),
        pytest.param([review("local/ben"), review("local/cem", expires_at=NOW)], 1, False, id="one expired"),
        pytest.param([review("local/ben"), review("local/cem"), review("local/dan", accepts=False)], 0, False, id="somebody says no"),
        pytest.param(
            [review("local/ben", accepts=False), review("local/ben", at=NOW + 1), review("local/cem")], 0, True, id="a no taken back"
        ),
    ],
)
def test_the_last_word_of_each_other_person_counts(reviews: list[Review], missing: int, *, suffices: bool) -> None:
    stands = standing(version(needed=2), reviews, NOW)
    assert (stands.missing, stands.suffices) == (missing, suffices)


def test_a_second_reviewer_is_needed_before_it_is_reviewed() -> None:
    first = [review("local/ben")]
    once = advanced(version(needed=2), Step.ACCEPT, "local/ben", first, NOW)
    assert once.state is State.PROPOSED
    assert advanced(once, Step.ACCEPT, "local/cem", [*first, review("local/cem")], NOW).state is State.REVIEWED


def test_what_was_agreed_on_before_needs_no_second_agreement_when_it_is_proposed_again() -> None:
    assert advanced(version(State.DRAFT), Step.PROPOSE, "local/ann", [review("local/ben")], NOW).state is State.REVIEWED
    assert advanced(version(State.DRAFT), Step.PROPOSE, "local/ann", [review("local/ben", expires_at=NOW)], NOW).state is State.PROPOSED


def test_reviews_hold_until_the_one_that_is_needed_expires() -> None:
    three = [review("local/ben", expires_at=NOW + 1), review("local/cem", expires_at=NOW + 3), review("local/dan", expires_at=NOW + 2)]
    assert standing(version(needed=2), three, NOW).holds_until == NOW + 2
    assert standing(version(needed=3), three, NOW).holds_until == NOW + 1


@pytest.mark.parametrize("state", [State.REVIEWED, State.DEPRECATED, State.QUARANTINED])
def test_reviews_that_expired_activate_nothing(state: State) -> None:
    assert refusal_of(version(state), Step.ACTIVATE, "local/ben", [review("local/ben", expires_at=NOW)], NOW) is Reason.REVIEWS_MISSING


@given(st.lists(st.tuples(st.sampled_from(Step), PEOPLE, st.booleans()), max_size=12), REVIEWS, st.integers(1, 3))
def test_no_walk_makes_active_what_too_few_other_people_accept(
    walk: list[tuple[Step, str, bool]], reviews: list[Review], needed: int
) -> None:
    """Whatever is tried in whatever order: who is refused changes nothing, and active means reviewed by enough others."""
    now, seen = version(State.DRAFT, needed=needed), list(reviews)
    for step, actor, keeps in walk:
        given_now = [review(actor, accepts=step is Step.ACCEPT)] if step in {Step.ACCEPT, Step.REJECT} else []
        try:
            after = advanced(now, step, actor, [*seen, *given_now], NOW)
        except Refused:
            continue
        seen += given_now if keeps else []
        if after.state is State.ACTIVE and now.state is not State.ACTIVE:
            others = {one.reviewer for one in seen if one.accepts and one.expires_at > NOW and one.digest == DIGEST} - {now.proposer}
            assert len(others) >= needed
        now = after if keeps or not given_now else now


@given(REVIEWS, st.integers(1, 3))
def test_the_order_in_which_reviews_are_read_means_nothing(reviews: list[Review], needed: int) -> None:
    distinct = list({one.at: one for one in reviews}.values())
    shuffled = sorted(distinct, key=lambda one: (one.reviewer, one.expires_at))
    assert standing(version(needed=needed), distinct, NOW) == standing(version(needed=needed), shuffled, NOW)


@given(st.sampled_from(Kind), st.sampled_from(Kind), st.text(max_size=5), st.text(max_size=5))
def test_a_digest_is_of_one_thing_alone(one: Kind, other: Kind, name: str, another: str) -> None:
    assert (content_digest(one, name, {}) == content_digest(other, another, {})) == ((one, name) == (other, another))


def test_a_version_is_a_value() -> None:
    with pytest.raises(AttributeError):
        version().state = State.ACTIVE  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(version()), type=Version) == version()
