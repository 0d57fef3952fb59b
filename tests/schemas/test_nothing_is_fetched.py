"""A listening server is never asked for a schema, whatever refers to it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest

from customhouse.core import schemas


@pytest.fixture
async def listener() -> AsyncIterator[tuple[str, list[str]]]:
    """The URL of a server on loopback and the connections that reached it."""
    reached: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append((await reader.readline()).decode())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", reached


SHAPES: list[dict[str, Any]] = [
    {"$ref": "URL/a"},
    {"$schema": "URL/dialect"},
    {"$id": "URL/a", "properties": {"a": {"$ref": "b"}}},
    {"properties": {"a": {"$schema": "URL/dialect", "$ref": "URL/b"}}},
    {"$defs": {"a": {"$id": "URL/c", "$ref": "d"}}},
    {"$dynamicRef": "URL/a"},
    {"items": {"properties": {"a": {"$schema": "URL/dialect"}}}},
]


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_schema_makes_a_connection(listener: tuple[str, list[str]], shape: dict[str, Any]) -> None:  # GW-66
    url, reached = listener
    hostile = filled(shape, url)
    for attempt in (schemas.compile_schema, only_the_library):
        try:
            await asyncio.to_thread(attempt, hostile)
        except schemas.SchemaUnusable:
            continue
    assert reached == []


async def test_the_library_alone_would_have_asked(listener: tuple[str, list[str]]) -> None:
    url, reached = listener
    await asyncio.to_thread(jsonschema_rs.validator_for, {"$ref": f"{url}/a"})
    assert reached


def only_the_library(schema: dict[str, Any]) -> None:
    """The last line of defence by itself: the compiler with the refusing retriever, without the check of references before it."""
    schemas._validator(jsonschema_rs.Draft202012Validator, schema)


def filled(value: Any, url: str) -> Any:
    """The shape with the address of the listener in it."""
    if isinstance(value, dict):
        return {key: filled(inner, url) for key, inner in value.items()}
    return value.replace("URL", url) if isinstance(value, str) else value
