"""Two readers, two messages: keys that look alike, keys that repeat, bytes that are not what was judged, members that are missing."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.reading import read_json
from customhouse.core.protocol.uritemplate import MAX_URI_CHARACTERS, compile_template
from customhouse.core.refusal import Reason, Refused
from tests.cves.attacker import READ, WELCOME, Door, Request, Tap, call, request, unwrapped
from tests.cves.cases import advisory

ARGUMENTS = '"arguments":{"title":"%s"}'


def body(members: str, params: str) -> Request:
    """A legacy call of `read_note` with more members in the message and in its parameters."""
    told = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call"{members},"params":{{"name":"notes__read_note"{params}}}}}'
    return unwrapped(told.encode())


@advisory("CVE-2026-27896")
@pytest.mark.parametrize(
    ("members", "params"),
    [
        ("", ',"Name":"notes__delete_note"'),
        ("", ',"NAME":"notes__delete_note"'),
        ("", ',"n\\u0061me":"notes__delete_note"'),
        ("", ',"\\uff4e\\uff41\\uff4d\\uff45":"notes__delete_note"'),
        ("", ',"na\\u200bme":"notes__delete_note"'),
        ("", ',"Arguments":{"title":"shopping"}'),
        ("", ',"ARGUMENT\\u017f":{"title":"shopping"}'),
        ("", ',"_Meta":{}'),
        (',"Method":"tools/list"', ""),
        (',"METHOD":"tools/list"', ""),
        (',"Params":{"name":"notes__delete_note"}', ""),
        (',"Id":2', ""),
        (',"JsonRPC":"1.0"', ""),
    ],
)
def test_a_key_that_resembles_a_known_one_is_refused(door: Door, tap: Tap, alice: str, members: str, params: str) -> None:
    said = body(members, params + "," + ARGUMENTS % "alike-marker")
    assert door.say(said, alice).status == 400
    assert tap.about("alike-marker") == []


@advisory("CVE-2026-27896")
def test_policy_and_server_see_one_value(door: Door, tap: Tap, alice: str) -> None:
    door.say(call("notes__read_note", {"title": "one-value"}), alice)
    (sent,) = tap.about("one-value")
    assert sent.message["params"]["name"] == "read_note"
    assert sent.message["params"]["arguments"] == {"title": "one-value"}
    assert sent.message["params"].keys() == {"name", "arguments", "_meta"}


@advisory("CVE-2026-27896", "docker/mcp-gateway #414")
@pytest.mark.parametrize("key", ["Name", "NAME", "na\u00adme", "Type", "URI", "Uri"])
def test_a_completion_names_one_prompt_for_every_reader(door: Door, tap: Tap, alice: str, key: str) -> None:
    ref = {"type": "ref/prompt", "name": "notes__summarise_notes", key: "alike-prompt"}
    said = request("completion/complete", {"ref": ref, "argument": {"name": "a", "value": "b"}}, "2025-11-25")
    assert door.say(said, alice).status == 400
    assert tap.about("alike-prompt") == []


@advisory("docker/mcp-gateway #414")
@pytest.mark.parametrize("key", ["Title", "TITLE", "tit\u200ble", "\uff54itle", "t\u0131tle".upper(), "title\u0000", "\u0000title"])
@pytest.mark.parametrize("revision", ["2025-03-26", "2026-07-28"])
def test_an_argument_that_resembles_a_declared_one_is_refused(door: Door, tap: Tap, alice: str, key: str, revision: str) -> None:
    twice = call("notes__read_note", {"title": "twice-marker", key: "shopping"}, revision)
    assert door.say(twice, alice).status == 400
    assert tap.about("twice-marker") == []


@advisory("docker/mcp-gateway #414")
def test_a_rule_that_reads_an_argument_cannot_be_talked_around(door: Door, tap: Tap, alice: str) -> None:
    """Engineers may add drafts: the tag has to stand under the name that the rule and the server read."""
    for key in ("Tags", "TAGS", "tags\u0000"):
        said = call("notes__add_note", {"title": "talked-around", "text": "x", key: ["draft"]})
        assert door.say(said, alice).status == 400
    untagged = call("notes__add_note", {"title": "talked-around", "text": "x"})
    assert door.say(untagged, alice).reason == "not_permitted"
    assert tap.about("talked-around") == []


@advisory("GHSA-q382-vc8q-7jhj")
@pytest.mark.parametrize(
    ("members", "params"),
    [
        (',"method\\u0000":"tools/list"', ""),
        (',"x\\u0000":1', ""),
        ("", ',"name\\u0000":"notes__delete_note"'),
        ("", ',"name\\u0000junk":"notes__delete_note"'),
        ("", ',"\\u0000name":"notes__delete_note"'),
        ("", ',"_meta":{"x":{"y\\u0000":1}}'),
        ("", ',"arguments":{"title":"nul-marker","title\\u0000junk":"shopping"}'),
        ("", ',"arguments":{"title":"nul-marker","deep":[{"x\\u0000":1}]}'),
    ],
)
def test_nul_in_a_key_is_refused_at_any_depth(door: Door, tap: Tap, alice: str, members: str, params: str) -> None:
    given_arguments = "" if "arguments" in params else "," + ARGUMENTS % "nul-marker"
    assert door.say(body(members, params + given_arguments), alice).status == 400
    assert tap.about("nul-marker") == []


@advisory("GHSA-q382-vc8q-7jhj")
def test_nul_in_a_value_is_a_value(door: Door, tap: Tap, alice: str) -> None:
    """The schema allows any text, so the server decides."""
    assert door.say(call("notes__read_note", {"title": "valued\u0000"}), alice).message["result"]["isError"] is True
    (sent,) = tap.about("valued")
    assert sent.message["params"]["arguments"] == {"title": "valued\u0000"}


@advisory("GHSA-q382-vc8q-7jhj")
@given(st.text(max_size=5), st.text(max_size=5), st.lists(st.sampled_from(["list", "object"]), max_size=6))
def test_no_depth_hides_a_key_with_nul(before: str, after: str, nesting: list[str]) -> None:
    value: Any = {f"{before}\0{after}": 1}
    for kind in nesting:
        value = [value] if kind == "list" else {"k": value}
    with pytest.raises(Refused) as refused:
        read_json(json.dumps(value).encode())
    assert refused.value.reason is Reason.MALFORMED_JSON


@advisory("GHSA-4gph-2hhr-5mwg")
@pytest.mark.parametrize(
    "params",
    [
        ',"name":"notes__delete_note"',
        ',"n\\u0061me":"notes__delete_note"',
        ',"arguments":{"title":"shopping"}',
        ',"x":{"y":1,"y":2}',
        ',"x":[[{"y":1,"\\u0079":2}]]',
        ',"x":NaN',
        ',"x":-Infinity',
        ',"x":1e999',
        ',"x":9007199254740993',
        ',"x":"\\ud800"',
        ',"x":' + "[" * 40 + "]" * 40,
        ',"x":' + "[" * 100_000 + "]" * 100_000,
        ',"x":' + "9" * 5_000,
    ],
)
def test_json_that_two_parsers_read_differently_is_refused(door: Door, tap: Tap, alice: str, params: str) -> None:  # GW-08
    assert door.say(body("", "," + ARGUMENTS % "parser-marker" + params), alice).status == 400
    assert tap.about("parser-marker") == []


@advisory("GHSA-4gph-2hhr-5mwg")
@pytest.mark.parametrize("frame", [b"\xef\xbb\xbf%b", b"[%b]", b"%b%b", b"%b\n{}", b"%b\0", b"\0%b"])
def test_a_body_is_one_message_and_nothing_else(door: Door, tap: Tap, alice: str, frame: bytes) -> None:  # GW-08, GW-40
    plain = body("", "," + ARGUMENTS % "frame-marker").body
    said = unwrapped(frame.replace(b"%b", plain))
    assert door.say(said, alice).status == 400
    assert tap.about("frame-marker") == []


@advisory("GHSA-4gph-2hhr-5mwg")
def test_a_server_gets_bytes_that_were_written_anew(door: Door, tap: Tap, alice: str) -> None:
    odd = (
        b'\n{ "params" : {"arguments":\t{"title" : "\\u0061new-marker"}, "name":"notes__read_\\u006eote"},\r\n'
        b'"id":"caller-id","method":"tools\\/call","jsonrpc":"2.0"} \n'
    )
    door.say(unwrapped(odd), alice)
    (sent,) = tap.about("anew-marker")
    assert b"caller-id" not in sent.body
    assert b"\\" not in sent.body
    assert b"\n" not in sent.body
    assert sent.message["params"] == {"name": "read_note", "arguments": {"title": "anew-marker"}}


SMUGGLED = b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@advisory("GHSA-4gph-2hhr-5mwg")
@pytest.mark.parametrize(
    "framing",
    [
        [("Content-Length", "{size}"), ("Transfer-Encoding", "chunked")],
        [("Transfer-Encoding", "chunked"), ("Content-Length", "{size}")],
        [("Content-Length", "{size}"), ("Content-Length", "0")],
        [("Content-Length", "{size}, {size}")],
        [("Content-Length", "+{size}")],
        [("Content-Length", "0x10")],
        [("Transfer-Encoding", "chunked, identity")],
        [("Transfer-Encoding", "xchunked")],
        [("Transfer-Encoding", "identity")],
        [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        [("Content-Length ", "{size}")],
        [("Content-Length", "{size}"), ("X", "a\r\n b")],
    ],
)
def test_a_frame_that_two_readers_read_differently_ends_the_connection(
    door: Door, tap: Tap, alice: str, framing: list[tuple[str, str]]
) -> None:
    payload = body("", "," + ARGUMENTS % "frame-smuggle").body + SMUGGLED
    headers = [("Authorization", f"Bearer {alice}"), *READ.headers]
    headers += [(name, value.format(size=len(payload))) for name, value in framing]
    head = "".join(f"{name}: {value}\r\n" for name, value in [("Host", door.host), *headers])
    with door.connected() as connection:
        connection.sendall(f"POST /mcp HTTP/1.1\r\n{head}\r\n".encode() + payload)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"\r\ndate: ") == 1
    assert tap.about("frame-smuggle") == []


# --- Members that are missing --------------------------------------------------------------------------------------------

ODD: tuple[Any, ...] = (
    None,
    "",
    "x",
    0,
    -1,
    1.5,
    True,
    [],
    [None],
    {},
    {"name": None},
    {"type": "ref/prompt"},
    {"type": "ref/resource", "uri": []},
)
ABSENT = object()


def sound_refusal(door: Door, said: Request, token: str) -> None:
    """Whatever the answer is, it is an answer, and the gateway did not break."""
    answer = door.say(said, token)
    assert answer.status in (200, 400, 404)
    assert answer.reason != "gateway_broke"
    assert answer.message.get("error", {}).get("code") != -32603


@advisory("CVE-2026-47427")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_a_completion_without_its_members_is_an_error_of_the_caller(door: Door, revision: str) -> None:
    token = door.token("completer", "eng")
    for ref, argument in itertools.product((ABSENT, *ODD), (ABSENT, None, {}, [])):
        params = {key: value for key, value in (("ref", ref), ("argument", argument)) if value is not ABSENT}
        sound_refusal(door, request("completion/complete", params, revision), token)


@advisory("CVE-2026-47427")
@pytest.mark.parametrize(
    "ref", [{"type": "ref/prompt", "name": "notes__summarise_notes"}, {"type": "ref/resource", "uri": "notes://note/{title}"}]
)
@pytest.mark.parametrize("argument", [None, 7, {}, {"name": None, "value": None}, {"name": [], "value": {}}])
def test_a_completion_that_names_something_survives_what_is_left_out(door: Door, alice: str, ref: dict[str, Any], argument: Any) -> None:
    said = request("completion/complete", {"ref": ref, "argument": argument, "context": None}, "2025-11-25")
    sound_refusal(door, said, alice)
    assert door.say(READ, alice).text == WELCOME


METHODS = {
    "initialize": ("protocolVersion", "capabilities", "clientInfo"),
    "tools/list": ("cursor", "_meta"),
    "tools/call": ("name", "arguments", "_meta"),
    "prompts/get": ("name", "arguments"),
    "resources/read": ("uri",),
    "logging/setLevel": ("level",),
    "notifications/cancelled": ("requestId",),
    "ping": ("_meta",),
}


@advisory("CVE-2026-47427")
@pytest.mark.parametrize("method", METHODS)
def test_no_method_breaks_on_odd_members(door: Door, method: str) -> None:
    token = door.token(f"odd-{method.replace('/', '-')}", "eng")
    for member, value in itertools.product(METHODS[method], ODD):
        sound_refusal(door, request(method, {member: value}, "2025-11-25"), token)
    nothings: tuple[Any, ...] = (None, [], "x", 1)
    for params in nothings:
        told = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        assert door.say(unwrapped(told.encode()), token).status == 400


# --- Templates -----------------------------------------------------------------------------------------------------------

HOSTILE_TEMPLATES = [
    "{a}{b}{c}{d}{e}{f}{g}{h}!",
    "{+a}{+b}{+c}{+d}{+e}{+f}{+g}{+h}!",
    "x{/a*}{/b*}{/c*}{/d*}!",
    "{?a*}{&b*}{?c*}!",
    "{/a,b,c,d*}{/a,b,c,d*}{/a,b,c,d*}/!",
    "file:///{a}{b}{/c*}{?d,e,f*}{#g}!",
]


@advisory("CVE-2026-0621")
@pytest.mark.parametrize("template", HOSTILE_TEMPLATES)
@pytest.mark.parametrize("unit", ["a", "/", "/a", "a=a&", "?a=a", "&", "file:///a"])
def test_a_hostile_uri_costs_a_step_per_character_and_position(template: str, unit: str) -> None:
    uri = (unit * MAX_URI_CHARACTERS)[:MAX_URI_CHARACTERS]
    examination = compile_template(template).examine(uri)
    assert not examination.matched
    assert examination.steps <= len(uri) * 4 * len(template)


@advisory("CVE-2026-0621")
def test_a_longer_uri_is_not_read_at_all() -> None:
    assert compile_template("{+a}").examine("a" * (MAX_URI_CHARACTERS + 1)).steps == 0


@advisory("CVE-2026-0621")
@pytest.mark.parametrize("length", [2, 4])
def test_twice_the_uri_is_twice_the_work_at_most(length: int) -> None:
    template = compile_template("{+a}{+b}{+c}{+d}!")
    short, long = (template.examine("a" * (100 * times)).steps for times in (1, length))
    assert long <= length * short + 100


@advisory("CVE-2026-0621")
def test_the_gateway_answers_a_hostile_uri_and_then_the_next_caller(door: Door, alice: str) -> None:
    hostile = request("resources/read", {"uri": "notes://note/" + "%25a" * 900 + "\n"}, "2025-11-25")
    assert door.say(hostile, alice).reason == "unknown_name"
    assert door.say(READ, alice).text == WELCOME
