"""Requests for a completion by the client's model, and its answers, in the words of each revision.

Sources: MCP 2024-11-05 to 2026-07-28, client/sampling and the schemas CreateMessageRequestParams, SamplingMessage, CreateMessageResult.
Before 2025-11-25 a message held one block and models called no tools; audio came with 2025-03-26. From 2025-11-25 on, tools and context of
other servers need a declared part of the capability.
"""

from collections.abc import Mapping
from typing import Any

from customhouse.core.protocol.content import as_text, unknown_to
from customhouse.core.protocol.revisions import vendor_meta

METHOD = "sampling/createMessage"
_WITH_TOOLS = "2025-11-25"
_ROLES = ("user", "assistant")
_TOOL_BLOCKS = frozenset({"tool_use", "tool_result"})


def problem_of_request(params: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """What is wrong with a server's request, given the parts of the capability that were declared to it; empty for nothing."""
    messages = params.get("messages")
    if type(messages) is not list or not all(_is_message(message) for message in messages):
        return "a sampling request without sound messages"
    if type(params.get("maxTokens")) is not int:
        return "a sampling request without maxTokens"
    if "tools" not in parts:
        if "tools" in params or "toolChoice" in params:
            return "a sampling request with tools, which were not declared"
        if any(block.get("type") in _TOOL_BLOCKS for message in messages for block in _blocks(message["content"])):
            return "a sampling request that speaks of tool calls, which were not declared"
    return ""


def _is_message(message: object) -> bool:
    return type(message) is dict and message.get("role") in _ROLES and _is_content(message.get("content"))


def _is_content(content: object) -> bool:
    if type(content) is list:
        return all(_is_block(block) for block in content)
    return _is_block(content)


def _is_block(block: object) -> bool:
    return type(block) is dict and type(block.get("type")) is str


def _blocks(content: Any) -> list[Any]:
    return content if type(content) is list else [content]


def translated_request(params: Mapping[str, Any], server: str, client: str, parts: Mapping[str, Any]) -> dict[str, Any]:
    """A request that has no problem, for a client of another revision, which declared these parts.

    A message of several blocks becomes several messages of the same role where the client knows one block a message.
    """
    asked = {key: value for key, value in params.items() if key not in ("_meta", "task")}
    if type(params.get("_meta")) is dict and (meta := vendor_meta(params["_meta"])):
        asked["_meta"] = meta
    if client >= _WITH_TOOLS and "context" not in parts:
        asked.pop("includeContext", None)
    if client < _WITH_TOOLS <= server:
        asked["messages"] = [{**m, "content": block} for m in asked["messages"] for block in _blocks(m["content"])]
    if unknown := unknown_to(client, server):
        asked["messages"] = [{**m, "content": _known(m["content"], unknown)} for m in asked["messages"]]
    return asked


def _known(content: Any, unknown: frozenset[str]) -> Any:
    if type(content) is list:
        return [as_text(block, unknown) for block in content]
    return as_text(content, unknown)


def translated_answer(answer: object, client: str, server: str) -> tuple[dict[str, Any], str]:
    """A client's completion for a server of another revision, and what is wrong with it; empty for nothing.

    Several blocks become one text where the server knows one block an answer.
    """
    if not _is_message(answer) or type(answer) is not dict or type(answer.get("model")) is not str:
        return {}, "the completion has no role, content or model"
    kept = {key: value for key, value in answer.items() if key not in ("_meta", "resultType")}
    if type(answer.get("_meta")) is dict and (meta := vendor_meta(answer["_meta"])):
        kept["_meta"] = meta
    if unknown := unknown_to(server, client):
        kept["content"] = _known(kept["content"], unknown)
    if server < _WITH_TOOLS <= client and type(kept["content"]) is list:
        kept["content"] = _in_one(kept["content"])
    return kept, ""


def _in_one(blocks: list[Any]) -> Any:
    if len(blocks) == 1:
        return blocks[0]
    texts = [block["text"] if type(block.get("text")) is str else f"[{block['type']}, left out]" for block in blocks]
    return {"type": "text", "text": "\n\n".join(texts)}
