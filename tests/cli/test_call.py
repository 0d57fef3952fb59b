"""`customhouse call` against servers on loopback that answer as a gateway, or a stranger, may answer."""

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result

from customhouse.cli.call import MOST_PAGES, call
from tests.cli.scripted import Answer, Script, Scripted, scripted

NOTE = {
    "name": "read_note",
    "description": "Read one\x1b[2J note.",
    "inputSchema": {
        "type": "object",
        "properties": {"title": {"type": "string", "x-mcp-header": "Title"}, "count": {"type": "integer"}},
        "required": ["title"],
    },
}
TEXT = Answer(result={"content": [{"type": "text", "text": "Hello."}], "resultType": "complete"})


def answering(tools_call: Answer = TEXT, **others: Answer) -> Script:
    """A gateway that lists one tool and answers calls of it so; `others` are answers by method, `/` spelled `_`."""
    answers = {
        "tools/list": Answer(result={"tools": [NOTE]}),
        "initialize": Answer(result={"protocolVersion": "2025-06-18", "capabilities": {}}),
        "notifications/initialized": Answer(status=202, body=b""),
        "logging/setLevel": Answer(),
        "tools/call": tools_call,
        **{method.replace("_", "/"): answer for method, answer in others.items()},
    }
    return lambda message: answers[message["method"]]


def run(server: Scripted, *words: str, token: str = "secret") -> Result:
    return CliRunner().invoke(call, ["--url", server.url, *words], env={"CUSTOMHOUSE_TOKEN": token})


def test_a_modern_call_carries_its_envelope_and_repeats_it_in_headers() -> None:
    with scripted(answering()) as server:
        done = run(server, "read_note", "title=wel come ", "count=2")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "Hello.\n", "")
    assert server.methods() == ["tools/list", "tools/call"]
    sent = server.asked[1]
    assert sent.message["params"]["arguments"] == {"title": "wel come ", "count": 2}
    assert sent.message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert sent.message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {}
    assert sent.message["params"]["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "customhouse call"
    assert sent.headers["authorization"] == "Bearer secret"
    assert sent.headers["accept"] == "application/json, text/event-stream"
    assert (sent.headers["mcp-protocol-version"], sent.headers["mcp-method"], sent.headers["mcp-name"]) == (
        "2026-07-28",
        "tools/call",
        "read_note",
    )
    assert sent.headers["mcp-param-title"] == f"=?base64?{base64.b64encode(b'wel come ').decode()}?="


def test_a_legacy_call_shakes_hands_keeps_the_session_and_ends_it() -> None:
    opened = Answer(result={"protocolVersion": "2025-06-18", "capabilities": {"logging": {}}}, headers={"Mcp-Session-Id": "s-1"})
    with scripted(answering(initialize=opened)) as server:
        done = run(server, "--era", "legacy", "read_note", "title=welcome")
    assert (done.exit_code, done.stdout) == (0, "Hello.\n")
    assert server.methods() == ["initialize", "notifications/initialized", "logging/setLevel", "tools/list", "tools/call", "DELETE"]
    assert {each.headers.get("mcp-session-id") for each in server.asked[1:]} == {"s-1"}
    assert {each.headers.get("mcp-protocol-version") for each in server.asked[1:]} == {"2025-06-18"}
    assert "mcp-method" not in server.asked[4].headers
    assert list(server.asked[4].message["params"]["_meta"]) == ["progressToken"]


def test_without_a_session_there_is_nothing_to_end() -> None:
    with scripted(answering()) as server:
        assert run(server, "--era", "legacy", "read_note", "title=welcome").exit_code == 0
    assert server.methods() == ["initialize", "notifications/initialized", "tools/list", "tools/call"]


def test_progress_and_log_messages_go_to_stderr_and_the_answer_to_stdout() -> None:
    events = (
        {"method": "notifications/message", "params": {"level": "info", "data": "Begin\x1b[1m."}},
        {"method": "notifications/message", "params": {"data": {"at": 1}}},
        {"method": "notifications/progress", "params": {"progress": 1, "total": 2, "message": "half"}},
        {"method": "notifications/progress", "params": {"progress": 2.5}},
        {"method": "notifications/progress", "params": {"progress": "odd"}},
        {"method": "notifications/other", "params": []},
    )
    with scripted(answering(Answer(result=TEXT.result, events=events))) as server:
        done = run(server, "read_note", "title=welcome")
    assert done.stdout == "Hello.\n"
    assert done.stderr.splitlines() == ["info: Begin\\x1b[1m.", 'log: {"at": 1}', "progress 1/2 half", "progress 2.5", "progress ?"]


def test_a_list_shows_names_and_descriptions_safely() -> None:
    with scripted(answering()) as server:
        done = run(server, "--list")
    assert (done.exit_code, done.stdout) == (0, "read_note  Read one\\x1b[2J note.\n")


def test_a_list_as_json_is_the_list() -> None:
    with scripted(answering()) as server:
        assert json.loads(run(server, "--list", "--json").stdout) == [NOTE]


def test_an_empty_list_is_said_in_words() -> None:
    with scripted(answering(tools_list=Answer(result={"tools": []}))) as server:
        done = run(server, "--list")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "This token can see no tools.\n")


def test_every_page_of_a_list_is_read() -> None:
    def paged(message: Mapping[str, Any]) -> Answer:
        page = int(message["params"].get("cursor") or 0)
        following = {"nextCursor": str(page + 1)} if page < 2 else {}
        return Answer(result={"tools": [{"name": f"tool-{page}"}, "no tool"], **following})

    with scripted(paged) as server:
        assert run(server, "--list").stdout.split() == ["tool-0", "tool-1", "tool-2"]


def test_a_list_without_end_is_not_followed_forever() -> None:
    with scripted(lambda message: Answer(result={"tools": [], "nextCursor": ""})) as server:
        assert run(server, "--list").exit_code == 0
    assert len(server.asked) == MOST_PAGES


def test_a_refusal_is_one_line_with_its_reason_and_the_next_step() -> None:
    error = {"code": 1403, "message": "Policy does not\nallow this call.", "data": {"reason": "not_permitted", "retryable": False}}
    with scripted(answering(Answer(error=error))) as server:
        done = run(server, "read_note", "title=welcome")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == ("refused: Policy does not allow this call. [not_permitted] Next: Ask the owner of the server for a grant.\n")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(error={"code": -32001, "message": "No\x1b."}), "refused: No\\x1b. [-32001]"),
        (Answer(error={"code": 1, "message": "Later.", "data": {"retryAfterSeconds": 3}}), "refused: Later. [1] Next try in 3 s."),
        (Answer(error={"code": 1, "message": "Odd.", "data": "text"}), "refused: Odd. [1]"),
        (Answer(status=503, error={"code": 1, "message": "Down."}), "refused: Down. [1]"),
        (Answer(status=502, body=b"<html>"), "refused: HTTP 502 without an explanation."),
        (Answer(status=302, body=b"", headers={"Location": "http://127.0.0.1:1/"}), "refused: HTTP 302 without an explanation."),
        (Answer(body=b"[]"), "The connection ended without an answer."),
        (Answer(error={}, events=(), body=b"data: 1\n\n"), "The connection ended without an answer."),
        (Answer(result={"content": [], "resultType": "input_required"}), "The tool asks for input, which this client cannot give."),
        (Answer(result={"content": [], "isError": True}), "The tool reports an error."),
    ],
)
def test_what_is_no_answer_is_one_line_and_an_exit_code(answer: Answer, said: str) -> None:
    with scripted(answering(answer)) as server:
        done = run(server, "read_note", "title=welcome")
    assert (done.exit_code, done.stderr) == (1, f"{said}\n")


@pytest.mark.parametrize("answer", [lambda size: Answer(body=b" " * size), lambda size: Answer(events=(), body=b"data: " + b"x" * size)])
def test_an_answer_without_bounds_is_not_read_to_its_end(answer: Callable[[int], Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.cli.call.LARGEST_ANSWER_BYTES", 65536)
    with scripted(answering(answer(200_000))) as server:
        done = run(server, "read_note", "title=welcome")
    assert (done.exit_code, done.stderr) == (1, "The answer is too large for this client.\n")


def test_a_refused_handshake_is_a_refusal() -> None:
    refused = Answer(status=401, error={"code": -32600, "message": "No.", "data": {"reason": "invalid_token"}})
    with scripted(answering(notifications_initialized=refused)) as server:
        done = run(server, "--era", "legacy", "--list")
    assert (done.exit_code, done.stderr.partition(" Next")[0]) == (1, "refused: No. [invalid_token]")


def test_nobody_at_the_address_is_said_in_one_line() -> None:
    with scripted(answering()) as server:
        pass
    done = run(server, "--list")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"{server.url} cannot be reached: ")


def test_silence_ends_the_wait() -> None:
    # A body shorter than its announced length: the rest never comes while the connection stays open.
    with scripted(answering(tools_list=Answer(body=b"{", headers={"Content-Length": "9"}))) as server:
        done = run(server, "--silence-seconds", "0.2", "--list")
    assert (done.exit_code, done.stderr) == (1, f"{server.url} gave no sign of life in time.\n")


def test_the_whole_result_is_printed_as_json() -> None:
    with scripted(answering()) as server:
        assert json.loads(run(server, "--json", "read_note", "title=welcome").stdout) == TEXT.result


def test_arguments_are_joined_from_words_and_json() -> None:
    with scripted(answering()) as server:
        assert run(server, "--arguments", '{"title": "a"}', "read_note", "count=3").exit_code == 0
    assert server.asked[-1].message["params"]["arguments"] == {"title": "a", "count": 3}


def test_a_tool_that_is_not_listed_is_called_all_the_same_so_that_the_gateway_can_say_why() -> None:
    with scripted(answering()) as server:
        assert run(server, "other", "count=3").exit_code == 0
    assert server.asked[-1].message["params"] == server.asked[-1].message["params"] | {"name": "other", "arguments": {"count": 3}}


@pytest.mark.parametrize("schema", [None, "text", {"properties": []}, {"properties": {"title": {"type": [{}, 5]}}}])
def test_a_tool_with_a_schema_that_makes_no_sense_is_called_all_the_same(schema: object) -> None:
    listed = Answer(result={"tools": [{"name": "read_note", "inputSchema": schema}]})
    with scripted(answering(tools_list=listed)) as server:
        assert run(server, "read_note", "title=a").exit_code == 0
    assert server.asked[-1].message["params"]["arguments"] == {"title": "a"}


def test_a_broken_header_annotation_does_not_stop_a_call() -> None:
    broken = {"name": "read_note", "inputSchema": {"type": "object", "properties": {"title": {"type": "number", "x-mcp-header": "T"}}}}
    with scripted(answering(tools_list=Answer(result={"tools": [broken]}))) as server:
        assert run(server, "read_note", "title=1").exit_code == 0
    assert not [name for name in server.asked[-1].headers if name.startswith("mcp-param")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name a tool, or ask for --list."),
        (("--list", "read_note"), "Name a tool, or ask for --list."),
        (("--url", "ftp://example.org", "--list"), "begins with https://"),
        (("--url", "https://", "--list"), "begins with https://"),
        (("--url", "http://host:port", "--list"), "is not a URL"),
        (("--url", "https://a:b@example.org/mcp", "--list"), "neither credentials"),
        (("--url", "https://example.org/mcp?token=x", "--list"), "neither credentials"),
        (("--url", "http://example.org/mcp", "--list"), "use https"),
        (("--url", "http://192.168.0.1/mcp", "--list"), "use https"),
        (("--arguments", "{", "read_note"), "not JSON"),
        (("--arguments", "[]", "read_note"), "one JSON object"),
        (("--arguments", '{"title": NaN}', "read_note"), "NaN"),
        (("--arguments", '{"title": "a"}', "read_note", "title=b"), "given twice"),
        (("read_note", "count=x"), "is an integer"),
        (("--silence-seconds", "0", "--list"), "is not in the range"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_before_any_call(words: tuple[str, ...], said: str) -> None:
    with scripted(answering()) as server:
        done = run(server, *words)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert "tools/call" not in server.methods()


def test_without_a_token_there_is_no_call() -> None:
    assert CliRunner().invoke(call, ["--list"], env={"CUSTOMHOUSE_TOKEN": None}).exit_code == 2


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_plain_http_is_for_this_machine(host: str) -> None:
    with scripted(answering()) as server:
        assert run(Scripted(server.url.replace("127.0.0.1", host), []), "--list").exit_code == 0
