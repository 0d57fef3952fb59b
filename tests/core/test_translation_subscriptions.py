"""Changes that a client wants to hear of, and what a server says between answers, a row per rule of the matrix.

The ids name rows of the matrix of translations: A is a legacy client in front of a modern server, B the other way round.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.revisions import (
    ERA_OF,
    LEGACY_REVISIONS,
    LOG_LEVELS,
    META_RELATED_TASK,
    META_SUBSCRIPTION,
    NEWEST_MODERN,
    PREFIX,
)
from customhouse.core.protocol.subscriptions import (
    CHANGED,
    LISTS,
    MAX_URI_CHARACTERS,
    MAX_URIS,
    UPDATED,
    Filter,
    Way,
    acknowledged,
    concerns,
    honoured,
    most_verbose,
    passed_on,
    read_filter,
    tagged,
    union,
    way_to,
)
from customhouse.core.refusal import Refused

M, L4, L3, L2, L1 = NEWEST_MODERN, *LEGACY_REVISIONS
FILTERS = st.builds(
    Filter, st.frozensets(st.sampled_from(sorted(LISTS)), max_size=3), st.frozensets(st.sampled_from(["a", "b", "c"]), max_size=3)
)


def test_a_filter_is_read_as_it_was_asked() -> None:
    asked = {"toolsListChanged": True, "promptsListChanged": False, "resourceSubscriptions": ["b", "a", "a"], "taskIds": ["t"]}
    read = read_filter({"notifications": asked})
    assert read == Filter(frozenset({"tools"}), frozenset({"a", "b"}))
    assert read.params() == {"toolsListChanged": True, "resourceSubscriptions": ["a", "b"]}
    assert read_filter({"notifications": {}}) == Filter()
    assert Filter().params() == {}


@given(FILTERS)
def test_a_filter_says_what_it_was_read_from(asked: Filter) -> None:
    assert read_filter({"notifications": asked.params()}) == asked


@pytest.mark.parametrize(
    "notifications",
    [
        None,
        [],
        {"toolsListChanged": 1},
        {"resourceSubscriptions": {}},
        {"resourceSubscriptions": [1]},
        {"resourceSubscriptions": ["a" * (MAX_URI_CHARACTERS + 1)]},
        {"resourceSubscriptions": ["a"] * (MAX_URIS + 1)},
    ],
)
def test_a_filter_that_is_not_one_is_refused(notifications: Any) -> None:
    with pytest.raises(Refused, match="INVALID_PARAMS"):
        read_filter({"notifications": notifications})
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        acknowledged({"notifications": notifications}, Filter())


ASKED = Filter(frozenset({"tools", "prompts"}), frozenset({"a", "b"}))
HONOURED = [
    pytest.param({"tools": {"listChanged": True}}, {"a"}, Filter(frozenset({"tools"})), id="TM-07-B-declared-lists-alone"),
    pytest.param(
        {"resources": {"subscribe": True, "listChanged": True}}, {"a", "c"}, Filter(uris=frozenset({"a"})), id="TM-08-B-subscribed-ones"
    ),
    pytest.param({"resources": {"listChanged": True}}, {"a"}, Filter(), id="TM-08-B-no-subscriptions"),
    pytest.param({"tools": {"listChanged": "yes"}, "prompts": True}, {"a"}, Filter(), id="TM-07-B-not-true"),
]


@pytest.mark.parametrize(("capabilities", "subscribed", "told"), HONOURED)
def test_what_a_legacy_server_can_tell_is_acknowledged(capabilities: dict[str, Any], subscribed: set[str], told: Filter) -> None:  # GW-83
    assert honoured(ASKED, capabilities, subscribed, downlink=True) == told


def test_without_a_downlink_nothing_is_acknowledged() -> None:  # GW-57
    everything = {kind: {"listChanged": True, "subscribe": True} for kind in LISTS}
    assert honoured(ASKED, everything, {"a", "b"}, downlink=False) == Filter()


def test_a_legacy_subscription_stands_if_the_modern_server_acknowledged_it() -> None:  # TM-08-A, GW-84
    told = acknowledged(
        {"notifications": {"toolsListChanged": True, "resourcesListChanged": True, "resourceSubscriptions": ["a", "x"]}}, ASKED
    )
    assert told == Filter(frozenset({"tools"}), frozenset({"a"}))


@given(st.lists(FILTERS, max_size=3))
def test_one_stream_towards_a_server_asks_for_everybody(filters: list[Filter]) -> None:  # TM-07-A, TM-08-A
    whole = union(filters)
    assert all(one.lists <= whole.lists and one.uris <= whole.uris for one in filters)
    assert union([whole, *filters]) == whole


PASSING: list[Any] = [
    *[pytest.param("notifications/progress", client, Way.CALL, id=f"TM-10-{client}") for client in ERA_OF],
    *[pytest.param("notifications/message", client, Way.CALL, id=f"TM-09-{client}") for client in ERA_OF],
    *[
        pytest.param(changed, client, Way.LISTENING, id=f"TM-07-{changed}-{client}")
        for changed in CHANGED.values()
        for client in (M, L4, L1)
    ],
    pytest.param(UPDATED, M, Way.LISTENING, id="TM-08-B"),
    pytest.param(UPDATED, L1, Way.LISTENING, id="TM-08-A"),
    pytest.param("notifications/elicitation/complete", L4, Way.LISTENING, id="TM-13-A"),
    pytest.param("notifications/elicitation/complete", M, None, id="TM-13-B"),
    pytest.param("notifications/elicitation/complete", L3, None, id="TM-13-before"),
    pytest.param("notifications/cancelled", L4, None, id="TM-11-A"),
    pytest.param("notifications/cancelled", M, None, id="TM-11-B"),
    pytest.param("notifications/subscriptions/acknowledged", L4, None, id="TM-07-A-acknowledgement"),
    pytest.param("notifications/tasks/status", M, None, id="TM-15-B"),
    pytest.param("notifications/tasks", L4, None, id="TM-15-A"),
    pytest.param("notifications/x", L4, None, id="unknown"),
]


@pytest.mark.parametrize(("method", "client", "way"), PASSING)
def test_a_notification_goes_its_way_to_clients_that_know_it(method: str, client: str, way: Way | None) -> None:
    assert way_to(method, client) is way


def test_a_notification_says_nothing_about_a_connection_that_is_not_its_own() -> None:  # GW-88
    said = {
        "level": "info",
        "x": None,
        "_meta": {META_SUBSCRIPTION: 9, PREFIX + "serverInfo": {}, META_RELATED_TASK: {"taskId": "t"}, "a.b/c": None},
    }
    assert passed_on(said, M) == {"level": "info", "x": None, "_meta": {"a.b/c": None}}
    assert passed_on(said, L4)["_meta"] == {"a.b/c": None, META_RELATED_TASK: {"taskId": "t"}}
    assert passed_on({"_meta": []}, M) == passed_on({"_meta": {META_SUBSCRIPTION: 1}}, M) == {}
    plain = {"uri": "a"}
    assert passed_on(plain, M) is plain


@pytest.mark.parametrize("subscription", [0, 7, "s"])
def test_every_message_of_a_listen_stream_names_it(subscription: str | int) -> None:
    assert tagged({"uri": "a"}, subscription) == {"uri": "a", "_meta": {META_SUBSCRIPTION: subscription}}
    assert tagged({"_meta": {META_SUBSCRIPTION: "forged", "a.b/c": 1}}, subscription)["_meta"] == {
        META_SUBSCRIPTION: subscription,
        "a.b/c": 1,
    }


@pytest.mark.parametrize(
    ("uri", "concerned"),
    [
        ("file:///a", True),
        ("file:///a/b", True),
        ("file:///ab", False),
        ("file:///", False),
        ("file:///d/e", True),
        (1, False),
        (None, False),
    ],
)
def test_an_update_concerns_those_who_subscribed_the_resource_or_one_above(uri: object, concerned: bool) -> None:  # TM-08
    assert concerns({"uri": uri}, {"file:///a", "file:///d/"}) is concerned


@given(st.lists(st.sampled_from(LOG_LEVELS), min_size=1))
def test_a_legacy_server_is_set_to_the_most_verbose_level_that_is_wanted(levels: list[str]) -> None:  # TM-09-B
    chosen = most_verbose(levels)
    assert chosen in levels
    assert all(LOG_LEVELS.index(chosen) <= LOG_LEVELS.index(level) for level in levels)


def test_nobody_who_wants_log_messages_means_no_level() -> None:  # GW-81
    assert most_verbose([]) == ""
