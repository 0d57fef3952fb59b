"""A new name that poses as another server's is noticed; names that real servers have beside each other are left in peace."""

import time

import pytest

from customhouse.core.resemblance import Elsewhere, Likeness, Resemblance
from tests.core.tool_names import every_name

SPELLED, DRAWN, NEAR = Likeness
KNOWN = "send_invoice"


@pytest.mark.parametrize(
    ("twin", "likeness"),
    [
        ("Send_Invoice", SPELLED),
        ("SEND_INVOICE", SPELLED),
        ("send_invo\uff49ce", SPELLED),
        ("send_\u200binvoice", SPELLED),
        ("s\u0435nd_invoice", DRAWN),
        ("send_inv0ice", DRAWN),
        ("send_\u0456nvoice", DRAWN),
        ("sendInvoice", NEAR),
        ("send-invoice", NEAR),
        ("sendinvoice", NEAR),
        ("send_invoices", NEAR),
        ("send_invoce", NEAR),
        ("send_invocie", NEAR),
        ("send_invoi_ce", NEAR),
    ],
)
def test_a_name_that_poses_as_another_is_noticed(twin: str, likeness: Likeness) -> None:
    assert Elsewhere([("mail", KNOWN), ("mail", "read_message")]).resembling(twin) == (Resemblance("mail", KNOWN, likeness),)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("get", "set"),
        ("get_user", "set_user"),
        ("add_tag", "all_tag"),
        ("read", "reap"),
        ("import_notes", "export_notes"),
        ("encode", "decode"),
        ("increment", "decrement"),
        ("attach_volume", "detach_volume"),
        ("search_v1", "search_v2"),
        ("oauth1_login", "oauth2_login"),
        ("create_project", "create_product"),
        ("get_user", "get_user_id"),
        ("label_rows", "table_rows"),
        (KNOWN, KNOWN),
        ("", "a"),
    ],
)
def test_names_that_mean_different_things_are_left_in_peace(one: str, other: str) -> None:
    assert Elsewhere([("s", one)]).resembling(other) == ()
    assert Elsewhere([("s", other)]).resembling(one) == ()


@pytest.mark.parametrize(("one", "other"), [("get", "GET"), ("pay", "p\u0430y"), ("list", "1ist"), ("turn", "tum")])
def test_short_names_resemble_what_is_spelled_or_drawn_alike(one: str, other: str) -> None:
    assert len(Elsewhere([("s", one)]).resembling(other)) == 1


def test_every_server_with_such_a_name_is_told_in_order() -> None:
    elsewhere = Elsewhere([("b", KNOWN), ("a", KNOWN), ("a", "Send_Invoice")])
    assert [(one.server, one.name) for one in elsewhere.resembling("send_invoices")] == [("a", "Send_Invoice"), ("a", KNOWN), ("b", KNOWN)]


def test_alarms_about_names_as_real_servers_have_them_are_few() -> None:
    """Each tool of each server, as if it were new beside all others: 2 % of the names, and all but one pair differ in spelling alone."""
    names = every_name()
    elsewhere = Elsewhere(names)
    alarms = {name: found for server, name in names if (found := {one.name for one in elsewhere.resembling(name) if one.server != server})}
    assert len(names) == 295
    assert alarms == {
        "create_issue": {"createIssue"},
        "createIssue": {"create_issue"},
        "get_issue": {"getIssue"},
        "getIssue": {"get_issue"},
        "list_projects": {"list_products"},
        "list_products": {"list_projects"},
    }


def test_a_catalogue_of_thousands_is_searched_quickly() -> None:
    elsewhere = Elsewhere((f"s{number}", f"{name}_{number}") for number in range(20) for _, name in every_name())
    started = time.process_time()
    for _, name in every_name()[:100]:
        elsewhere.resembling(name + "s")
    assert time.process_time() - started < 2
