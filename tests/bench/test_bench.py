"""The measure itself is right: ratios within a round, whole answers only, and an answer for somebody else is an error."""

import asyncio
import re
from dataclasses import dataclass

import pytest

from bench import load, plan, run
from bench.report import ratios, table
from bench.upstream import Answers


@dataclass(frozen=True)
class Row:
    name: str
    over: str


def rows(*figures: tuple[int, str, float]) -> list[dict[str, object]]:
    seen = {"per_second": 1.0, "p50_ms": 1.0, "p99_ms": 1.0, "resident_mb": 1.0, "errors": 0}
    return [{"round": turn, "name": name, "cpu_us": cpu_us, **seen} for turn, name, cpu_us in figures]


def test_ratios_are_taken_within_a_round_and_the_table_shows_their_median() -> None:
    measured = rows((0, "a", 10.0), (0, "b", 30.0), (1, "a", 20.0), (1, "b", 40.0), (2, "a", 10.0), (2, "b", 50.0))
    assert ratios(measured, "b", "a") == [3.0, 2.0, 5.0]
    assert "| b | 40.0 | 3.00 |" in table(measured, [Row("b", "a")])


def test_a_row_above_its_bound_fails_the_quick_run() -> None:
    within = rows((0, "nginx, 500 B", 10.0), (0, "Customhouse, read", 50.0), (0, "Customhouse, write with durable intent", 50.0))
    above = rows((0, "nginx, 500 B", 10.0), (0, "Customhouse, read", 5000.0), (0, "Customhouse, write with durable intent", 50.0))
    assert run.judge(within) == 0
    assert run.judge(above) == 1


def test_a_request_with_an_error_fails_the_quick_run() -> None:
    failing = rows((0, "nginx, 500 B", 10.0), (0, "Customhouse, read", 50.0), (0, "Customhouse, write with durable intent", 50.0))
    assert run.judge([{**failing[0], "errors": 1}, *failing[1:]]) == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", b"ab"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", b"1\r\na\r\n0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n", None),
        (b"HTTP/1.1 200", None),
    ],
)
def test_an_answer_counts_when_it_is_whole(answer: bytes, body: bytes | None) -> None:
    assert load.whole_body(bytearray(answer)) == body


def test_a_request_keeps_its_announced_length_whatever_its_id() -> None:
    wanted = load.template("h", "/mcp", "t" * 800, "tools/call", "read", modern=True)
    for number in (load.FIRST_ID, 99_999_999):
        head, _, body = wanted.with_id(number).partition(b"\r\n\r\n")
        assert int(head.split(b"content-length: ")[1]) == len(body)


async def test_an_answer_with_another_id_is_an_error() -> None:
    seen = load.Load()
    caller = load.Caller(load.template("h", "/mcp", "t", "tools/call", "read", modern=True), seen, load.FIRST_ID)

    class Wire(asyncio.Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            pass

        def close(self) -> None:
            pass

    caller.connection_made(Wire())
    caller.stop()
    caller.data_received(b'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"id":1}')
    assert len(seen.errors) == 1


def test_the_upstream_lists_what_it_is_told_to() -> None:
    assert Answers(50).slow("tools/list", {}).count(b'"inputSchema"') == 50 + len(run.TOOLS)


def test_a_plan_is_measured_in_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    plan.measure(3)
    assert len(re.findall(r"^plan, .* \d+\.\d\d s$", capsys.readouterr().out, re.MULTILINE)) == 4
