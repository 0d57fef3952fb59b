"""Questions to a person: forms and pages to open, in the words of each revision.

Sources: MCP 2025-06-18, 2025-11-25 and 2026-07-28, client/elicitation and the schemas ElicitRequestParams, ElicitResult,
URLElicitationRequiredError. Forms came with 2025-06-18, pages (`mode: "url"`) and choices with titles or of several values with 2025-11-25.
The `elicitationId` of a page is of 2025-11-25 alone; the modern era has the call's own state instead. The gateway never opens a page.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

from customhouse.core.protocol.revisions import vendor_meta
from customhouse.core.refusal import Reason, Refused

METHOD = "elicitation/create"
_WITH_MODES = "2025-11-25"
_ACTIONS = ("accept", "decline", "cancel")

CANCELLED: Mapping[str, Any] = {"action": "cancel"}
"""The answer of a client that could not ask: nobody chose."""


def problem_of_request(params: Mapping[str, Any], modes: Collection[str]) -> str:
    """What is wrong with a server's question, given the modes that were declared to it; empty for nothing."""
    mode = params.get("mode", "form")
    if mode != "form" and mode != "url":
        return "an elicitation of an unknown mode"
    if mode not in modes:
        return f"an elicitation of mode {mode}, which was not declared"
    if type(params.get("message")) is not str:
        return "an elicitation without a message"
    if mode == "url":
        return _problem_of_url(params.get("url"))
    schema = params.get("requestedSchema")
    if type(schema) is not dict or schema.get("type") != "object" or type(schema.get("properties")) is not dict:
        return "a form without a schema of an object"
    if not all(type(field) is dict for field in schema["properties"].values()):
        return "a form with a field that is not described"
    return ""


_PAGE = re.compile(r"(?i:https?)://[^\x00-\x20\x7f/?#\\@]+(?:[/?#][^\x00-\x20\x7f]*)?")
"""A page is one that a browser opens over the web, at a host that is what it seems: no script, no file, no user name before the host."""


def _problem_of_url(url: object) -> str:
    return "" if type(url) is str and _PAGE.fullmatch(url) else "a page to open that is no web address"


def translated_request(params: Mapping[str, Any], client: str, elicitation_id: str) -> dict[str, Any]:
    """A question that has no problem, for a client of another revision than the server's.

    `elicitation_id`, fresh and unguessable, goes with a page to clients that know such ids, where the server gave none. Raises `Refused`
    FEATURE_UNSUPPORTED for a form that the client's revision has no fields for.
    """
    asked = {key: value for key, value in params.items() if key not in ("_meta", "task", "elicitationId")}
    if meta := vendor_meta(_object(params.get("_meta"))):
        asked["_meta"] = meta
    if params.get("mode") == "url" and client == _WITH_MODES:
        asked["elicitationId"] = params.get("elicitationId") or elicitation_id
    if client < _WITH_MODES:
        asked.pop("mode", None)
        asked["requestedSchema"] = _plain_form(params["requestedSchema"])
    return asked


def _plain_form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A form of 2025-06-18: titles of choices stand beside them, and there is no choice of several values."""
    return {**schema, "properties": {name: _plain_field(name, field) for name, field in schema["properties"].items()}}


def _plain_field(name: str, field: Mapping[str, Any]) -> Mapping[str, Any]:
    if field.get("type") == "array":
        message = f"The form's field `{name}` takes several values, which the client's revision has no field for."
        raise Refused(Reason.FEATURE_UNSUPPORTED, {"feature": METHOD}, message=message)
    choices = field.get("oneOf")
    if type(choices) is not list or not all(type(choice) is dict and "const" in choice for choice in choices):
        return field
    kept = {key: value for key, value in field.items() if key != "oneOf"}
    titles = [str(choice.get("title", choice["const"])) for choice in choices]
    return {**kept, "enum": [choice["const"] for choice in choices], "enumNames": titles}


def naming(params: Mapping[str, Any], server_name: str) -> dict[str, Any]:
    """The same question with the server named at its head: a client knows the gateway, not the servers behind it (2026-07-28,
    client/elicitation, Safe URL Handling: the person must see who asks)."""
    return {**params, "message": f"{server_name}: {params['message']}"}


def translated_answer(answer: object) -> tuple[dict[str, Any], str]:
    """A client's answer in the form that every revision reads, and what is wrong with it; empty for nothing.

    Content travels with `accept` alone: what was typed and then declined is nobody's business.
    """
    if type(answer) is not dict or answer.get("action") not in _ACTIONS:
        return {}, "the answer names no action"
    kept = {key: value for key, value in answer.items() if key not in ("content", "_meta", "resultType")}
    if meta := vendor_meta(_object(answer.get("_meta"))):
        kept["_meta"] = meta
    if answer["action"] == "accept" and "content" in answer:
        content = answer["content"]
        if type(content) is not dict or not all(_is_field(value) for value in content.values()):
            return {}, "the content of the answer is not made of plain fields"
        kept["content"] = content
    return kept, ""


def _is_field(value: object) -> bool:
    if type(value) is list:
        return all(type(item) is str for item in value)
    return value is None or type(value) in (str, int, float, bool)


def urls_required(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The questions in the error -32042 of a 2025-11-25 server: pages that must be opened before the call is made again.

    Raises `Refused` UPSTREAM_BROKE_PROTOCOL if there is none, or one has a problem.
    """
    data = error.get("data")
    asked = data.get("elicitations") if type(data) is dict else None
    if type(asked) is not list or not asked:
        raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note="error -32042 without elicitations")
    for params in asked:
        url_mode = {"mode": "url", **params} if type(params) is dict else {}
        problem = problem_of_request(url_mode, ("url",))
        if problem:
            raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"error -32042 with {problem}")
    return [{"mode": "url", **params} for params in asked]


def _object(value: object) -> dict[str, Any]:
    return value if type(value) is dict else {}


def with_pages(screened: object, said: object) -> object:
    """The screened `data` of an error -32042 with the addresses of its pages as the server said them: screened, they would lead nowhere.
    What is not made like that stays screened."""
    shown, asked = _object(screened).get("elicitations"), _object(said).get("elicitations")
    if type(shown) is not list or type(asked) is not list:
        return screened
    return {**_object(screened), "elicitations": [_with_page(one, other) for one, other in zip(shown, asked, strict=True)]}


def _with_page(screened: object, said: object) -> object:
    url = _object(said).get("url")
    return screened if _problem_of_url(url) else {**_object(screened), "url": url}
