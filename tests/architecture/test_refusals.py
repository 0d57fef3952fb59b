"""The table of refusals is a table: one row per reason, each complete."""

import re
from collections import Counter

import pytest

from customhouse.core.refusal import Fault, Reason, Refused

RESERVED = range(-32768, -31999)
"""Codes that JSON-RPC 2.0 (section 5.1) and MCP (2026-07-28, basic, Error Codes) keep for themselves."""

SPECIFIED = {
    -32700: "parse error",
    -32600: "invalid request",
    -32601: "method not found",
    -32602: "invalid params",
    -32603: "internal error",
    -32020: "header mismatch",
    -32021: "missing client capability",
    -32022: "unsupported protocol version",
}
"""The reserved codes that a specification gives a meaning to."""

EVERY_REASON = pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)


def test_no_two_reasons_share_a_row() -> None:
    """An enumeration turns equal values into aliases without a word."""
    assert [name for name, reason in Reason.__members__.items() if reason.name != name] == []


def test_no_two_reasons_are_told_in_the_same_sentence() -> None:
    sentences = Counter(reason.row.sentence for reason in Reason)
    assert [sentence for sentence, count in sentences.items() if count > 1] == []


@EVERY_REASON
def test_a_code_is_our_own_or_one_that_a_specification_defines(reason: Reason) -> None:
    assert reason.row.code not in RESERVED or reason.row.code in SPECIFIED


@EVERY_REASON
def test_a_status_is_an_error_or_says_that_the_envelope_was_read(reason: Reason) -> None:
    assert reason.row.status == 200 or 400 <= reason.row.status < 600


@EVERY_REASON
def test_what_a_person_reads_is_made_of_sentences(reason: Reason) -> None:
    for text in (reason.row.sentence, reason.row.next_step):
        assert not text or re.fullmatch(r"[A-Z`].*\.", text)
    assert reason.row.sentence


@EVERY_REASON
def test_a_caller_who_is_at_fault_is_told_what_to_do(reason: Reason) -> None:
    can_do_nothing = {Reason.UNKNOWN_METHOD}
    assert reason.row.fault is not Fault.CALLER or reason.row.next_step or reason in can_do_nothing


@EVERY_REASON
def test_a_row_tells_the_caller_nothing_about_machinery(reason: Reason) -> None:
    told = f"{reason.row.sentence} {reason.row.next_step}".lower()
    assert not re.search(r"traceback|exception|python|cedar|uvicorn|stack", told)


def test_a_refusal_says_the_sentence_of_its_row_then_what_is_special() -> None:
    refused = Refused(Reason.BUSY, {"server": "notes"}, message="64 calls are in flight.", note="queue is off")
    assert refused.sentence == "The server has as many calls in flight as it may have. 64 calls are in flight."
    assert refused.detail == {"server": "notes"}
    assert str(refused) == "BUSY"


def test_a_refusal_without_a_special_case_says_its_row_alone() -> None:
    assert Refused(Reason.BUSY).sentence == Reason.BUSY.row.sentence
