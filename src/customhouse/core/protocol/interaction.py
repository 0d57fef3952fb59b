"""Questions of a server to the client of a call, and the answers, between the two forms that the protocol has for them.

Sources: MCP 2026-07-28, basic/patterns/mrtr and SEP-2322: a modern server answers a call with `input_required`, and the client makes the
call again with `inputResponses`. MCP 2025-11-25 and before: a legacy server sends the client a request of its own while the call runs. A
modern answer has no form for an error, so a legacy client's error becomes `cancel` where a person was asked, and ends the call otherwise.

Both forms are read as strictly as the other needs: only the three kinds of question, only what the client declared.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.protocol import elicitation, sampling
from customhouse.core.protocol.reading import read_json
from customhouse.core.protocol.revisions import ASKS_FOR_INPUT, META_SERVER, NEWEST_MODERN, vendor_meta
from customhouse.core.refusal import Reason, Refused

ROOTS = "roots/list"
KINDS = {elicitation.METHOD: "elicitation", sampling.METHOD: "sampling", ROOTS: "roots"}
"""The questions a server may ask, and the capability each needs."""

MAX_QUESTIONS = 16
"""In one result. Each is a thing for a person or a model to do, so more is a mistake or an attack."""

MAX_STATE_CHARACTERS = 65_536
"""Of a server's `requestState`, which travels through the client and back."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """One thing that a server wants from the client: an entry of `inputRequests`, or a request of a legacy server."""

    method: str
    params: dict[str, Any]


class InputRequired(msgspec.Struct, frozen=True, gc=False):
    """A result that asks instead of answering. At least one of the two is there; no questions mean: call again with the state."""

    questions: dict[str, Question]
    """By the key that the answer must carry."""
    state: str | None


class Given(msgspec.Struct, frozen=True, gc=False):
    """What a client answered to one question."""

    answer: dict[str, Any] = {}
    failure: str = ""
    """Why the call cannot go on; empty where `answer` holds."""


# What a server asks


def asks_for_input(members: Mapping[str, msgspec.Raw]) -> bool:
    """Whether the members of a result say that it asks for input."""
    kind = members.get("resultType")
    return kind is not None and bytes(kind) != b'"complete"' and _strictly(kind) == "input_required"


def read_input_required(members: Mapping[str, msgspec.Raw], method: str, declared: Mapping[str, Any]) -> InputRequired:
    """A modern server's result that asks for input, held against what was declared to it in the modern form.

    Raises `Refused` UPSTREAM_BROKE_PROTOCOL: for a method that cannot ask, nothing asked, another kind of question, one that was not
    declared, or one that is not sound.
    """
    if method not in ASKS_FOR_INPUT:
        raise _broken(f"input_required for {method}")
    state = _strictly(members["requestState"]) if "requestState" in members else None
    if "requestState" in members and (type(state) is not str or len(state) > MAX_STATE_CHARACTERS):
        raise _broken(f"requestState that is not text of at most {MAX_STATE_CHARACTERS} characters")
    asked = read_questions(members["inputRequests"], declared) if "inputRequests" in members else {}
    if not asked and state is None:
        raise _broken("input_required without inputRequests and requestState")
    return InputRequired(asked, state)


def read_questions(input_requests: msgspec.Raw, declared: Mapping[str, Any]) -> dict[str, Question]:
    """The questions of `inputRequests`, of a result that asks or of a task, by their keys. Raises `Refused` UPSTREAM_BROKE_PROTOCOL."""
    asked = _strictly(input_requests)
    if type(asked) is not dict or len(asked) > MAX_QUESTIONS:
        raise _broken(f"inputRequests that are not an object of at most {MAX_QUESTIONS} members")
    return {key: _read_question(value, declared) for key, value in asked.items()}


def _read_question(value: object, declared: Mapping[str, Any]) -> Question:
    params = value.get("params", {}) if type(value) is dict else None
    if type(value) is not dict or type(value.get("method")) is not str or type(params) is not dict:
        raise _broken("an input request that is not a method with parameters")
    question = Question(value["method"], params)
    if problem := problem_of(question, declared):
        raise _broken(problem)
    return question


def problem_of(question: Question, declared: Mapping[str, Any]) -> str:
    """What is wrong with a server's question, given what was declared to it in the modern form; empty for nothing."""
    capability = KINDS.get(question.method)
    if capability is None:
        return f"asks the client for {question.method[:40]!r}"
    if capability not in declared:
        return f"asks for {capability}, which was not declared"
    if capability == "elicitation":
        return elicitation.problem_of_request(question.params, declared[capability])
    if capability == "sampling":
        return sampling.problem_of_request(question.params, declared[capability])
    return ""


def translated_question(question: Question, server: str, client: str, declared: Mapping[str, Any], elicitation_id: str = "") -> Question:
    """A sound question as a client of another revision is asked it: as an entry of `inputRequests`, or as a request to a legacy client.

    `elicitation_id` is a fresh id for a page that needs one. Raises `Refused` FEATURE_UNSUPPORTED where the client's revision has no words.
    """
    params = question.params
    if server == client:
        if "_meta" not in params:
            return question
        meta = vendor_meta(params["_meta"]) if type(params["_meta"]) is dict else {}
        return Question(question.method, {**params, "_meta": meta})
    if question.method == elicitation.METHOD:
        return Question(question.method, elicitation.translated_request(params, client, elicitation_id))
    if question.method == sampling.METHOD:
        return Question(question.method, sampling.translated_request(params, server, client, declared["sampling"]))
    return Question(question.method, {})


def questions_of_error(error: Mapping[str, Any], method: str, declared: Mapping[str, Any]) -> InputRequired | None:
    """The error -32042 of a legacy server as a modern result that asks: pages to open, after which the call is made anew.

    None where a modern client cannot be asked, so that the error stays one. Raises `Refused` UPSTREAM_BROKE_PROTOCOL.
    """
    if method not in ASKS_FOR_INPUT or "url" not in declared.get("elicitation", {}):
        return None
    pages = elicitation.urls_required(error)
    if len(pages) > MAX_QUESTIONS:
        raise _broken(f"error -32042 with more than {MAX_QUESTIONS} elicitations")
    asked = [elicitation.translated_request(params, NEWEST_MODERN, "") for params in pages]
    return InputRequired({f"url-{number}": Question(elicitation.METHOD, params) for number, params in enumerate(asked, 1)}, None)


def input_required(questions: Mapping[str, Question], state: str | None, server_info: Mapping[str, Any]) -> dict[str, Any]:
    """The result with which a modern client is asked. `state` is the gateway's own, sealed."""
    result: dict[str, Any] = {"resultType": "input_required"}
    if questions:
        result["inputRequests"] = {key: {"method": question.method, "params": question.params} for key, question in questions.items()}
    if state is not None:
        result["requestState"] = state
    return {**result, "_meta": {META_SERVER: server_info}}


# What a client answers


def given_by(question: Question, said: Mapping[str, Any], client: str, server: str) -> Given:
    """A legacy client's answer, `{"result": ...}` or `{"error": ...}`, as an entry of `inputResponses` for a modern server."""
    if "error" in said:
        if question.method == elicitation.METHOD:
            return Given(dict(elicitation.CANCELLED))
        return Given(failure=f"The client answered {question.method} with an error.")
    answer, problem = _translated_answer(question.method, said.get("result"), client, server)
    return Given(failure=f"The client's answer to {question.method} is not valid: {problem}.") if problem else Given(answer)


def passed_to_legacy(question: Question, said: Mapping[str, Any], client: str, server: str) -> dict[str, Any]:
    """A legacy client's answer for a legacy server of another revision, in the same form: both know errors, so an error stays one."""
    if "error" in said:
        return {"error": said["error"]}
    answer, problem = _translated_answer(question.method, said.get("result"), client, server)
    return {"error": {"code": _INTERNAL, "message": f"The client's answer is not valid: {problem}."}} if problem else {"result": answer}


def unanswered(question: Question) -> dict[str, Any]:
    """What a legacy server is told whose question nobody will answer any more: `{"result": ...}` or `{"error": ...}`."""
    if question.method == elicitation.METHOD:
        return {"result": dict(elicitation.CANCELLED)}
    return {"error": {"code": _INTERNAL, "message": "The client did not answer."}}


_INTERNAL = -32603


def read_responses(responses: object, asked: Mapping[str, Question], client: str, server: str) -> dict[str, dict[str, Any]]:
    """A modern client's `inputResponses` as far as they answer what was asked, each as the server of another revision reads it.

    What answers nothing is ignored; what is missing is to be asked again (2026-07-28, basic/patterns/mrtr).

    Raises `Refused` INVALID_PARAMS for an answer that is not sound.
    """
    if type(responses) is not dict:
        raise Refused(Reason.INVALID_PARAMS, message="`inputResponses` is not an object.")
    answers: dict[str, dict[str, Any]] = {}
    for key, question in asked.items():
        if key in responses:
            answers[key], problem = _translated_answer(question.method, responses[key], client, server)
            if problem:
                raise Refused(Reason.INVALID_PARAMS, message=f"In `inputResponses`, {problem}.")
    return answers


def _translated_answer(method: str, answer: object, client: str, server: str) -> tuple[dict[str, Any], str]:
    if method == elicitation.METHOD:
        return elicitation.translated_answer(answer)
    if method == sampling.METHOD:
        return sampling.translated_answer(answer, client, server)
    return _roots(answer)


def _roots(answer: object) -> tuple[dict[str, Any], str]:
    roots = answer.get("roots") if type(answer) is dict else None
    if type(answer) is not dict or type(roots) is not list or not all(type(r) is dict and type(r.get("uri")) is str for r in roots):
        return {}, "the answer holds no list of roots with a URI"
    kept = {key: value for key, value in answer.items() if key not in ("_meta", "resultType")}
    meta = vendor_meta(answer["_meta"]) if type(answer.get("_meta")) is dict else {}
    return {**kept, "_meta": meta} if meta else kept, ""


def retried(params: Mapping[str, Any], answers: Mapping[str, Any], state: str | None) -> dict[str, Any]:
    """The parameters of a call made again with answers: the state byte for byte if there was one, and none if there was none."""
    kept = {key: value for key, value in params.items() if key not in ("inputResponses", "requestState")}
    if answers:
        kept["inputResponses"] = dict(answers)
    if state is not None:
        kept["requestState"] = state
    return kept


def _strictly(raw: msgspec.Raw) -> Any:
    try:
        return read_json(bytes(raw))
    except Refused as reason:
        raise _broken(f"a result that asks for input: {reason.message}") from None


def _broken(note: str) -> Refused:
    return Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=note)
