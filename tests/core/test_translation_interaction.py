"""Questions of servers and answers of clients between the two forms of the protocol, a row per rule of the matrix.

The ids name rows of the matrix of translations: A is a legacy client in front of a modern server, B the other way round.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import methods

from customhouse.core.protocol import elicitation, sampling
from customhouse.core.protocol.interaction import (
    MAX_QUESTIONS,
    MAX_STATE_CHARACTERS,
    ROOTS,
    InputRequired,
    Question,
    asks_for_input,
    given_by,
    input_required,
    passed_to_legacy,
    problem_of,
    questions_of_error,
    read_input_required,
    read_responses,
    retried,
    translated_question,
    unanswered,
)
from customhouse.core.protocol.reading import read_members
from customhouse.core.protocol.revisions import ASKS_FOR_INPUT, ERA_OF, LEGACY_REVISIONS, NEWEST_MODERN, PREFIX
from customhouse.core.refusal import Reason, Refused

M, L4, L3, L2, L1 = NEWEST_MODERN, *LEGACY_REVISIONS
REVISIONS = st.sampled_from(sorted(ERA_OF))
INFO = {"name": "customhouse", "version": "1"}
ALL: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}, "context": {}}, "roots": {}}

FORM: dict[str, Any] = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
PAGE: dict[str, Any] = {"mode": "url", "message": "Sign in.", "url": "https://example.com/x"}
TEXT = {"type": "text", "text": "hi"}
AUDIO = {"type": "audio", "data": "", "mimeType": "audio/wav"}
AUDIO_SAID = "[Audio (audio/wav), left out: the protocol revision of this client has no audio.]"
SAMPLE: dict[str, Any] = {"messages": [{"role": "user", "content": TEXT}], "maxTokens": 9}
ASK_FORM, ASK_PAGE = Question(elicitation.METHOD, FORM), Question(elicitation.METHOD, PAGE)
ASK_SAMPLE, ASK_ROOTS = Question(sampling.METHOD, SAMPLE), Question(ROOTS, {})


def read(result: dict[str, Any], declared: dict[str, Any] = ALL, method: str = "tools/call") -> InputRequired:
    return read_input_required(read_members(json.dumps({"resultType": "input_required", **result}).encode()), method, declared)


def entry(question: Question) -> dict[str, Any]:
    return {"method": question.method, "params": question.params}


# What a modern server asks


def test_a_result_that_asks_is_told_from_one_that_answers() -> None:
    assert asks_for_input(read_members(b'{"resultType":"input_required"}'))
    assert asks_for_input(read_members(b'{"resultType":"input\\u005frequired"}'))
    for answer in (b"{}", b'{"resultType":"complete"}', b'{"resultType":"task"}', b'{"resultType":null}', b'{"x":"input_required"}'):
        assert not asks_for_input(read_members(answer))


@pytest.mark.parametrize("method", sorted(ASKS_FOR_INPUT))
def test_what_a_modern_server_asks_is_read_with_its_state(method: str) -> None:  # TM-12
    asked = read({"inputRequests": {"a": entry(ASK_FORM), "b": {"method": ROOTS}}, "requestState": "s"}, method=method)
    assert asked == InputRequired({"a": ASK_FORM, "b": ASK_ROOTS}, "s")


def test_a_state_alone_and_questions_alone_are_enough() -> None:  # GW-71
    assert read({"requestState": ""}) == InputRequired({}, "")
    assert read({"inputRequests": {"a": entry(ASK_PAGE)}}) == InputRequired({"a": ASK_PAGE}, None)


NOT_SOUND: list[Any] = [
    pytest.param({}, id="neither"),
    pytest.param({"inputRequests": {}}, id="nothing-asked"),
    pytest.param({"inputRequests": []}, id="a-list"),
    pytest.param({"inputRequests": None, "requestState": "s"}, id="null"),
    pytest.param({"requestState": 1}, id="a-state-that-is-no-text"),
    pytest.param({"requestState": "s" * (MAX_STATE_CHARACTERS + 1)}, id="a-state-that-is-too-long"),
    pytest.param({"inputRequests": {str(i): entry(ASK_ROOTS) for i in range(MAX_QUESTIONS + 1)}}, id="too-many"),
    pytest.param({"inputRequests": {"a": []}}, id="no-object"),
    pytest.param({"inputRequests": {"a": {"method": 1}}}, id="no-method"),
    pytest.param({"inputRequests": {"a": {"method": ROOTS, "params": []}}}, id="no-parameters"),
    pytest.param({"inputRequests": {"a": {"method": "tools/call", "params": {}}}}, id="another-kind"),
]
PROBLEMS: list[Any] = [
    pytest.param(Question(elicitation.METHOD, {**FORM, "mode": "voice"}), "an elicitation of an unknown mode", id="mode"),
    pytest.param(Question(elicitation.METHOD, {**FORM, "mode": ["url"]}), "an elicitation of an unknown mode", id="mode-list"),
    pytest.param(Question(elicitation.METHOD, {**FORM, "message": 1}), "an elicitation without a message", id="message"),
    pytest.param(Question(elicitation.METHOD, {"message": "m"}), "a form without a schema of an object", id="schema"),
    pytest.param(
        Question(elicitation.METHOD, {"message": "m", "requestedSchema": {"type": "object", "properties": {"a": 1}}}),
        "a form with a field that is not described",
        id="field",
    ),
    *[
        pytest.param(Question(elicitation.METHOD, {**PAGE, "url": url}), "a page to open that is no web address", id=f"url-{url}")
        for url in (
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://",
            "",
            1,
            "https://good.example@evil.example/",
            "data:text/html,x",
        )
    ],
    pytest.param(Question(sampling.METHOD, {**SAMPLE, "messages": {}}), "a sampling request without sound messages", id="messages"),
    pytest.param(
        Question(sampling.METHOD, {**SAMPLE, "messages": [{"role": "system", "content": TEXT}]}),
        "a sampling request without sound messages",
        id="role",
    ),
    pytest.param(
        Question(sampling.METHOD, {**SAMPLE, "messages": [{"role": "user", "content": [TEXT, 1]}]}),
        "a sampling request without sound messages",
        id="block",
    ),
    pytest.param(Question(sampling.METHOD, {**SAMPLE, "maxTokens": True}), "a sampling request without maxTokens", id="maxTokens"),
    pytest.param(
        Question(sampling.METHOD, {**SAMPLE, "messages": [{"role": "user", "content": {"type": 1}}]}),
        "a sampling request without sound messages",
        id="block-without-type",
    ),
    pytest.param(Question("ping", {}), "asks the client for 'ping'", id="another-kind"),
]


@pytest.mark.parametrize("result", NOT_SOUND)
def test_a_result_that_asks_and_is_not_sound_is_refused(result: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        read(result)
    assert caught.value.reason is Reason.UPSTREAM_BROKE_PROTOCOL


@pytest.mark.parametrize(("question", "problem"), PROBLEMS)
def test_a_question_that_is_not_sound_is_refused_in_either_form(question: Question, problem: str) -> None:
    assert problem_of(question, ALL) == problem
    with pytest.raises(Refused) as caught:
        read({"inputRequests": {"a": entry(question)}})
    assert (caught.value.reason, caught.value.note) == (Reason.UPSTREAM_BROKE_PROTOCOL, problem)


def test_a_question_with_the_same_key_twice_is_refused() -> None:
    twice = b'{"inputRequests":{"a":{"method":"roots/list","method":"ping"}}}'
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        read_input_required(read_members(twice), "tools/call", ALL)


@pytest.mark.parametrize("method", ["tools/list", "completion/complete", "server/discover"])
def test_a_result_that_asks_where_nothing_can_be_asked_is_refused(method: str) -> None:  # GW-72
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        read({"requestState": "s"}, method=method)


UNDECLARED: list[Any] = [
    pytest.param(ASK_FORM, {}, id="TM-12-no-elicitation"),
    pytest.param(ASK_FORM, {"elicitation": {"url": {}}}, id="TM-12-no-forms"),
    pytest.param(ASK_PAGE, {"elicitation": {"form": {}}}, id="TM-13-no-pages"),
    pytest.param(ASK_SAMPLE, {"elicitation": {}, "roots": {}}, id="TM-12-no-sampling"),
    pytest.param(ASK_ROOTS, {"sampling": {}}, id="TM-14-no-roots"),
    pytest.param(Question(sampling.METHOD, {**SAMPLE, "tools": []}), {"sampling": {}}, id="TM-12-no-tools"),
    pytest.param(Question(sampling.METHOD, {**SAMPLE, "toolChoice": {}}), {"sampling": {"context": {}}}, id="TM-12-no-tool-choice"),
    pytest.param(
        Question(sampling.METHOD, {**SAMPLE, "messages": [{"role": "user", "content": [TEXT, {"type": "tool_result"}]}]}),
        {"sampling": {}},
        id="TM-12-no-tool-results",
    ),
]


@pytest.mark.parametrize(("question", "declared"), UNDECLARED)
def test_what_the_client_did_not_declare_is_never_asked(question: Question, declared: dict[str, Any]) -> None:  # GW-67, GW-68
    assert "not declared" in problem_of(question, declared)
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        read({"inputRequests": {"a": entry(question)}}, declared)


@pytest.mark.parametrize("question", [ASK_FORM, ASK_SAMPLE, ASK_ROOTS])
def test_what_the_client_declared_is_asked_without_more(question: Question) -> None:
    assert problem_of(question, {"elicitation": {"form": {}}, "sampling": {}, "roots": {}}) == ""


# The question in the client's words

SELECT = {"type": "string", "title": "T", "oneOf": [{"const": "a", "title": "A"}, {"const": "b"}], "default": "a"}
SELECTED = {"type": "string", "title": "T", "default": "a", "enum": ["a", "b"], "enumNames": ["A", "b"]}
SEVERAL = {"type": "array", "items": {"type": "string", "enum": ["a"]}}


def form(field: dict[str, Any], **more: Any) -> Question:
    return Question(elicitation.METHOD, {"message": "m", "requestedSchema": {"type": "object", "properties": {"f": field}}, **more})


def sample(*messages: Any, **more: Any) -> Question:
    return Question(sampling.METHOD, {"messages": [{"role": "user", "content": content} for content in messages], "maxTokens": 1, **more})


QUESTIONS: list[Any] = [
    pytest.param(form({"type": "string"}, mode="form", x=None), M, L4, form({"type": "string"}, mode="form", x=None), id="TM-12-A-form"),
    pytest.param(form(SELECT, mode="form"), M, L3, form(SELECTED), id="TM-12-A-form-for-2025-06-18"),
    pytest.param(form(SELECT), M, L4, form(SELECT), id="TM-12-A-titled-choices-are-known"),
    pytest.param(form({"type": "string", "oneOf": "x"}), L4, L3, form({"type": "string", "oneOf": "x"}), id="TM-12-A-nonsense"),
    pytest.param(form({"type": "string"}, task={"ttl": 1}), L4, M, form({"type": "string"}), id="TM-12-B-form"),
    pytest.param(form({"type": "string"}, _meta={"progressToken": 1}), L3, M, form({"type": "string"}), id="TM-10-B-no-token"),
    pytest.param(
        form({"type": "string"}, _meta={PREFIX + "x": 1, "a.b/c": None}),
        L3,
        L4,
        form({"type": "string"}, _meta={"a.b/c": None}),
        id="TM-12-meta",
    ),
    pytest.param(ASK_PAGE, M, L4, Question(elicitation.METHOD, {**PAGE, "elicitationId": "fresh"}), id="TM-13-A-page"),
    pytest.param(Question(elicitation.METHOD, {**PAGE, "elicitationId": "own"}), L4, M, ASK_PAGE, id="TM-13-B-page"),
    pytest.param(sample(TEXT, includeContext="none"), M, L3, sample(TEXT, includeContext="none"), id="TM-12-A-sampling"),
    pytest.param(sample([TEXT, TEXT], TEXT), M, L3, sample(TEXT, TEXT, TEXT), id="TM-12-A-one-block-a-message"),
    pytest.param(
        sample(AUDIO, [AUDIO]),
        M,
        L1,
        sample(*[{"type": "text", "text": AUDIO_SAID}] * 2),
        id="TM-12-A-no-audio",
    ),
    pytest.param(sample([TEXT, AUDIO], task={}, x=None), L4, M, sample([TEXT, AUDIO], x=None), id="TM-12-B-sampling"),
    pytest.param(sample(TEXT, _meta={"a.b/c": 1, "progressToken": 2}), L3, M, sample(TEXT, _meta={"a.b/c": 1}), id="TM-12-B-meta"),
    pytest.param(Question(ROOTS, {"_meta": {"progressToken": 1}}), L1, M, ASK_ROOTS, id="TM-14-B"),
    pytest.param(ASK_ROOTS, M, L1, ASK_ROOTS, id="TM-14-A"),
]


@pytest.mark.parametrize(("question", "server", "client", "asked"), QUESTIONS)
def test_a_client_is_asked_in_its_revision(question: Question, server: str, client: str, asked: Question) -> None:
    assert problem_of(question, ALL) == ""
    heard = translated_question(question, server, client, ALL, "fresh")
    assert heard == asked
    assert translated_question(heard, server, client, ALL, "another") == asked
    if client != M:
        methods.parse_server_request(heard.method, client, heard.params)
    else:
        methods.validate_server_result("tools/call", M, input_required({"a": heard}, None, INFO))


@pytest.mark.parametrize("server", [M, L4])
def test_a_form_that_the_clients_revision_has_no_field_for_ends_the_call_with_the_reason(server: str) -> None:
    with pytest.raises(Refused) as caught:
        translated_question(form(SEVERAL), server, L3, ALL)
    assert caught.value.reason is Reason.FEATURE_UNSUPPORTED
    assert caught.value.message == "The form's field `f` takes several values, which the client's revision has no field for."


@pytest.mark.parametrize(("client", "parts", "kept"), [(M, {}, False), (M, {"context": {}}, True), (L4, {}, False), (L2, {}, True)])
def test_context_of_other_servers_is_asked_of_those_who_declared_it(client: str, parts: dict[str, Any], kept: bool) -> None:
    asked = translated_question(sample(TEXT, includeContext="thisServer"), L3, client, {"sampling": parts})
    assert ("includeContext" in asked.params) is kept


@pytest.mark.parametrize("question", [ASK_FORM, ASK_PAGE, ASK_SAMPLE, ASK_ROOTS])
@pytest.mark.parametrize("revision", sorted(ERA_OF))
def test_between_equal_revisions_the_very_question_is_asked(question: Question, revision: str) -> None:
    assert translated_question(question, revision, revision, ALL) is question
    forged = Question(question.method, {**question.params, "_meta": {PREFIX + "serverInfo": {}, "a.b/c": 1, "progressToken": 1}})
    assert translated_question(forged, revision, revision, ALL).params == {**question.params, "_meta": {"a.b/c": 1}}


META = st.dictionaries(st.sampled_from([PREFIX + "serverInfo", PREFIX + "subscriptionId", "progressToken", "com.example/x"]), st.integers())


@given(st.sampled_from([ASK_FORM, ASK_PAGE, ASK_SAMPLE, ASK_ROOTS]), META, REVISIONS, st.sampled_from([L4, M]))
def test_no_connection_key_of_a_server_is_in_a_question(
    question: Question, meta: dict[str, Any], server: str, client: str
) -> None:  # GW-88
    asked = translated_question(Question(question.method, {**question.params, "_meta": meta}), server, client, ALL)
    assert set(asked.params.get("_meta", {})) <= {"com.example/x"}


def test_the_message_of_a_page_names_the_server() -> None:  # GW-80
    assert elicitation.naming(PAGE, "notes") == {**PAGE, "message": "notes: Sign in."}


def test_a_modern_client_is_asked_with_the_gateways_own_state() -> None:
    assert input_required({"a": ASK_ROOTS}, "sealed", INFO) == {
        "resultType": "input_required",
        "inputRequests": {"a": {"method": ROOTS, "params": {}}},
        "requestState": "sealed",
        "_meta": {PREFIX + "serverInfo": INFO},
    }
    assert "inputRequests" not in input_required({}, "sealed", INFO)


# The error of a legacy server that asks

PAGES = {
    "code": -32042,
    "message": "m",
    "data": {"elicitations": [{**PAGE, "elicitationId": "e"}, {"message": "n", "url": "http://localhost/y"}]},
}


def test_pages_that_an_error_asks_for_become_questions_without_ids() -> None:  # TM-13-B, GW-79
    asked = questions_of_error(PAGES, "tools/call", ALL)
    assert asked is not None
    assert asked.state is None
    assert [question.params for question in asked.questions.values()] == [
        PAGE,
        {"mode": "url", "message": "n", "url": "http://localhost/y"},
    ]
    assert list(asked.questions) == ["url-1", "url-2"]


@pytest.mark.parametrize(
    ("method", "declared"), [("tools/list", ALL), ("tools/call", {}), ("tools/call", {"elicitation": {"form": {}}, "sampling": {}})]
)
def test_an_error_stays_one_where_nobody_can_be_asked(method: str, declared: dict[str, Any]) -> None:
    assert questions_of_error(PAGES, method, declared) is None


@pytest.mark.parametrize(
    "data",
    [None, {}, {"elicitations": []}, {"elicitations": ["x"]}, {"elicitations": [FORM]}, {"elicitations": [PAGE] * (MAX_QUESTIONS + 1)}],
)
def test_an_error_that_asks_for_nothing_sound_is_refused(data: Any) -> None:
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        questions_of_error({"code": -32042, "message": "m", "data": data}, "tools/call", ALL)


# What a client answers

COMPLETION = {"role": "assistant", "content": TEXT, "model": "m", "stopReason": None, "x": None}
ANSWERS: list[Any] = [
    pytest.param(
        ASK_FORM, {"action": "accept", "content": {"name": "x", "n": 1.5, "b": True, "l": ["a"], "o": None}}, None, id="TM-12-accept"
    ),
    pytest.param(ASK_FORM, {"action": "decline", "content": {"name": "typed"}}, {"action": "decline"}, id="TM-12-decline"),
    pytest.param(ASK_PAGE, {"action": "cancel", "_meta": {"progressToken": 1}}, {"action": "cancel"}, id="TM-13-cancel"),
    pytest.param(
        ASK_FORM, {"action": "accept", "resultType": "complete", "x": None}, {"action": "accept", "x": None}, id="TM-12-no-resultType"
    ),
    pytest.param(
        ASK_FORM, {"action": "accept", "_meta": {"a.b/c": 1, PREFIX + "x": 1}}, {"action": "accept", "_meta": {"a.b/c": 1}}, id="TM-12-meta"
    ),
    pytest.param(ASK_SAMPLE, COMPLETION, None, id="TM-12-sampling"),
    pytest.param(
        ASK_SAMPLE, {**COMPLETION, "_meta": {PREFIX + "x": 1, "a.b/c": 1}}, {**COMPLETION, "_meta": {"a.b/c": 1}}, id="TM-12-sampling-meta"
    ),
    pytest.param(ASK_ROOTS, {"roots": [{"uri": "file:///a", "x": None}], "y": None}, None, id="TM-14-roots"),
    pytest.param(
        ASK_ROOTS, {"roots": [], "_meta": {"a.b/c": 1, PREFIX + "x": 1}}, {"roots": [], "_meta": {"a.b/c": 1}}, id="TM-14-roots-meta"
    ),
]


@pytest.mark.parametrize(("question", "said", "heard"), ANSWERS)
def test_an_answer_reaches_the_server_in_either_form(question: Question, said: dict[str, Any], heard: dict[str, Any] | None) -> None:
    # GW-70
    expected = said if heard is None else heard
    assert given_by(question, {"result": said}, L4, M).answer == expected
    assert read_responses({"k": said}, {"k": question}, M, L4) == {"k": expected}
    assert passed_to_legacy(question, {"result": said}, L4, L3) == {"result": expected}


WRONG: list[Any] = [
    pytest.param(ASK_FORM, None, id="null"),
    pytest.param(ASK_FORM, {"action": "maybe"}, id="action"),
    pytest.param(ASK_FORM, {"action": ["accept"]}, id="action-list"),
    pytest.param(ASK_FORM, {"action": "accept", "content": []}, id="content"),
    pytest.param(ASK_FORM, {"action": "accept", "content": {"a": {}}}, id="nested"),
    pytest.param(ASK_FORM, {"action": "accept", "content": {"a": [1]}}, id="a-list-of-numbers"),
    pytest.param(ASK_SAMPLE, {**COMPLETION, "role": "x"}, id="role"),
    pytest.param(ASK_SAMPLE, {**COMPLETION, "model": 1}, id="model"),
    pytest.param(ASK_SAMPLE, {**COMPLETION, "content": "text"}, id="completion"),
    pytest.param(ASK_SAMPLE, [], id="completion-list"),
    pytest.param(ASK_ROOTS, {"roots": {}}, id="roots"),
    pytest.param(ASK_ROOTS, {"roots": [{"name": "a"}]}, id="a-root-without-uri"),
    pytest.param(ASK_ROOTS, "x", id="text"),
]


@pytest.mark.parametrize(("question", "said"), WRONG)
def test_an_answer_that_is_not_sound_reaches_no_server(question: Question, said: Any) -> None:
    given_ = given_by(question, {"result": said}, L4, M)
    assert given_.answer == {}
    assert given_.failure.startswith(f"The client's answer to {question.method} is not valid")
    assert "error" in passed_to_legacy(question, {"result": said}, L4, L3)
    with pytest.raises(Refused) as caught:
        read_responses({"k": said}, {"k": question}, M, L4)
    assert caught.value.reason is Reason.INVALID_PARAMS


ERROR = {"error": {"code": -1, "message": "User rejected"}}


@pytest.mark.parametrize("question", [ASK_FORM, ASK_PAGE])
def test_a_person_who_was_not_asked_counts_as_cancelled(question: Question) -> None:  # TM-12-A, GW-70
    assert given_by(question, ERROR, L4, M).answer == {"action": "cancel"}
    assert unanswered(question) == {"result": {"action": "cancel"}}


@pytest.mark.parametrize("question", [ASK_SAMPLE, ASK_ROOTS])
def test_an_error_instead_of_a_completion_or_roots_ends_the_call(question: Question) -> None:  # TM-12-A, TM-14-A, GW-70
    assert given_by(question, ERROR, L4, M).failure == f"The client answered {question.method} with an error."
    assert unanswered(question)["error"]["code"] == -32603


def test_an_error_stays_one_between_legacy_revisions() -> None:
    assert passed_to_legacy(ASK_FORM, ERROR, L4, L3) == ERROR


COMPLETIONS: list[Any] = [
    pytest.param([TEXT], M, L3, TEXT, id="TM-12-B-one-block"),
    pytest.param([TEXT, {"type": "image"}], M, L3, {"type": "text", "text": "hi\n\n[image, left out]"}, id="TM-12-B-several-blocks"),
    pytest.param([TEXT, TEXT], M, L4, [TEXT, TEXT], id="TM-12-B-known"),
    pytest.param(
        AUDIO,
        L3,
        L1,
        {"type": "text", "text": AUDIO_SAID},
        id="TM-12-legacy-audio",
    ),
    pytest.param([TEXT, AUDIO], M, L1, {"type": "text", "text": f"hi\n\n{AUDIO_SAID}"}, id="TM-12-B-several-blocks-with-audio"),
    pytest.param(TEXT, L1, M, TEXT, id="TM-12-A"),
]


@pytest.mark.parametrize(("content", "client", "server", "heard"), COMPLETIONS)
def test_a_completion_reaches_the_server_in_its_revision(content: Any, client: str, server: str, heard: Any) -> None:
    answer, problem = sampling.translated_answer({**COMPLETION, "content": content}, client, server)
    assert (answer["content"], problem) == (heard, "")
    assert sampling.translated_answer(answer, client, server) == (answer, "")


def test_answers_to_nothing_are_ignored_and_missing_ones_are_missing() -> None:  # MRTR: ask again
    said = {"a": {"action": "cancel"}, "other": {"x": 1}}
    assert read_responses(said, {"a": ASK_FORM, "b": ASK_ROOTS}, M, L4) == {"a": {"action": "cancel"}}
    assert read_responses({}, {"a": ASK_FORM}, M, L4) == {}


@pytest.mark.parametrize("responses", [None, [], "x"])
def test_responses_that_are_no_object_are_refused(responses: Any) -> None:
    with pytest.raises(Refused, match="INVALID_PARAMS"):
        read_responses(responses, {}, M, L4)


def test_a_call_made_again_carries_the_exact_state_or_none() -> None:  # TM-12-A, GW-69
    params = {"name": "a", "arguments": {}, "requestState": "old", "inputResponses": {"old": 1}}
    assert retried(params, {"k": {"action": "accept"}}, "é ") == {
        "name": "a",
        "arguments": {},
        "inputResponses": {"k": {"action": "accept"}},
        "requestState": "é ",
    }
    assert retried(params, {}, None) == {"name": "a", "arguments": {}}
    assert retried(params, {}, "") == {"name": "a", "arguments": {}, "requestState": ""}
