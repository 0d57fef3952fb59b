"""The OpenAPI description of the operators' API, written from its table.

Source: OpenAPI Specification 3.1.0.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from customhouse import __version__
from customhouse.console.routes import ALWAYS, PARAMETERS, Operation
from customhouse.console.shapes import Wrong

_REF = "#/components/schemas/{name}"


def description(operations: Sequence[Operation], prefix: str) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(prefix + operation.path, {})[operation.method.lower()] = _operation(operation)
    structs = [Wrong, *(one.answer for one in operations), *(one.body for one in operations if one.body is not None)]
    _, components = msgspec.json.schema_components(list(dict.fromkeys(structs)), ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Customhouse operators' API", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
        "security": [{"token": []}],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    statuses = sorted({*ALWAYS, *operation.refusals})
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {
            str(operation.status): _content("Done.", operation.answer),
            **{str(status): _content("Refused.", Wrong) for status in statuses},
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, **_content("", operation.body)}
        described["requestBody"].pop("description")
    return described


def _path_parameters(operation: Operation) -> list[Mapping[str, Any]]:
    names = re.findall(r"\{(\w+)\}", operation.path)
    return [{"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(PARAMETERS[name])} for name in names]


def _query_parameters(operation: Operation) -> list[Mapping[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "description": one.meaning, "schema": msgspec.json.schema(one.type)}
        for name, one in operation.query.items()
    ]


def _content(text: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=struct.__name__)}
    return {"description": text, "content": {"application/json": {"schema": schema}}}
