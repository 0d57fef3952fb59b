"""The digest covers whatever a model or a client can see, and nothing of the form in which a server says it."""

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.drift import drift
from customhouse.core.manifest import DIGEST_FORMULA, Manifest, digest_of, in_order
from tests.core.test_drift import FIELDS, MANIFESTS, places, with_mark_at

ICON = {"src": "https://a.example/i.png", "mimeType": "image/png", "sizes": ["48x48"]}
FULL = Manifest(
    server_info={"name": "n", "title": "N", "version": "1", "websiteUrl": "https://a.example", "icons": [ICON]},
    capabilities={"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}, "extensions": {"x/y": {}}},
    instructions="Read first.",
    tools=(
        {
            "name": "t",
            "title": "T",
            "description": "Does it.",
            "inputSchema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"a": {"type": "string", "description": "An a.", "default": "x", "x-mcp-header": "A"}},
                "required": ["a"],
            },
            "outputSchema": {"type": "object", "properties": {"r": {"enum": [1, 2.5, None, True]}}},
            "annotations": {"title": "T", "readOnlyHint": True, "destructiveHint": False, "idempotentHint": True, "openWorldHint": False},
            "icons": [ICON],
            "execution": {"taskSupport": "optional"},
            "_meta": {"v": {"w": [1]}},
            "x-unknown": {"deep": [{"er": 0}]},
        },
        {"name": "u", "inputSchema": {"type": "object"}},
    ),
    prompts=(
        {
            "name": "p",
            "title": "P",
            "description": "D.",
            "arguments": [{"name": "a", "description": "A.", "required": True}],
            "_meta": {"v": 1},
        },
    ),
    resources=(
        {
            "uri": "u:1",
            "name": "r",
            "description": "D.",
            "mimeType": "text/plain",
            "size": 5,
            "annotations": {"priority": 1, "audience": ["user"]},
        },
    ),
    resource_templates=({"uriTemplate": "u:{x}", "name": "t", "title": "T", "description": "D.", "mimeType": "text/plain"},),
)


def parts_of(manifest: Manifest) -> dict[str, Any]:
    return {field: list(value) if isinstance(value := getattr(manifest, field), tuple) else value for field in FIELDS}


def manifest_of(parts: dict[str, Any]) -> Manifest:
    fields: dict[str, Any] = {field: tuple(value) if isinstance(value, list) else value for field, value in parts.items()}
    return Manifest(**fields)


def mutations(manifest: Manifest) -> Iterator[tuple[tuple[Any, ...], Manifest]]:
    """The manifest with something else at each place in turn."""
    parts = parts_of(manifest)
    for place in places(parts):
        if len(place) > 1:
            yield place, manifest_of(with_mark_at(parts, place))
            *way, last = place
            fewer = copy.deepcopy(parts)
            inner: Any = fewer
            for step in way:
                inner = inner[step]
            del inner[last]
            yield (*place, "gone"), manifest_of(fewer)
    yield ("instructions",), manifest_of({**parts, "instructions": "Read first. "})


MUTATIONS = list(mutations(FULL))


def test_every_field_of_a_manifest_is_in_the_digest_and_raises_drift() -> None:
    unseen = [place for place, mutated in MUTATIONS if digest_of(mutated) == digest_of(FULL) or not drift(FULL, mutated)]
    assert unseen == []
    assert len(MUTATIONS) > 150
    assert len({digest_of(mutated) for _, mutated in MUTATIONS}) > len(MUTATIONS) * 0.9


@given(MANIFESTS, st.data())
def test_a_change_anywhere_changes_the_digest(manifest: Manifest, data: st.DataObject) -> None:
    found = [place for place in places(parts_of(manifest)) if len(place) > 1]
    mutated = manifest_of(with_mark_at(parts_of(manifest), data.draw(st.sampled_from(found))))
    assert digest_of(mutated) != digest_of(manifest)
    assert drift(manifest, mutated)


def turned(value: Any) -> Any:
    """The same JSON value with its keys the other way round and its numbers spelled otherwise."""
    if isinstance(value, dict):
        return {key: turned(inner) for key, inner in reversed(value.items())}
    if isinstance(value, list):
        return [turned(inner) for inner in value]
    return float(value) if type(value) is int else value


@given(MANIFESTS | st.just(FULL), st.data())
def test_keys_entries_numbers_and_white_space_in_any_order_and_form_give_one_digest(manifest: Manifest, data: st.DataObject) -> None:
    parts = parts_of(manifest)
    shuffled = {field: data.draw(st.permutations(value)) if isinstance(value, list) else value for field, value in parts.items()}
    said = json.loads(json.dumps(turned(shuffled), indent=data.draw(st.sampled_from([None, 1, 7]))))
    again = manifest_of(said)
    assert digest_of(again) == digest_of(manifest)
    assert drift(manifest, again) == ()


def test_the_formula_is_named_and_is_what_it_says() -> None:
    """Whoever changes one of these lines writes a new formula, and a way to read pins of the old one."""
    assert DIGEST_FORMULA == "customhouse-manifest-1"
    canonical = rfc8785.dumps(parts_of(in_order(FULL)))
    assert digest_of(FULL) == "sha256:" + hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**53])
def test_what_parsers_read_differently_has_no_digest(number: float) -> None:
    with pytest.raises(rfc8785.CanonicalizationError):
        digest_of(Manifest(server_info={"n": number}, capabilities={}))
