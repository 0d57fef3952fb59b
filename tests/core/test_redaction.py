"""Secrets in texts: each kind is found wherever it stands, ordinary texts stay as they are, and undecoded JSON gives every secret away."""

import json
import time
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from customhouse.core.redaction import DETECTORS, NAMES, Redactor, looks_random, names_secret
from customhouse.core.scanning import Signs
from customhouse.core.screening import Screen, Screening
from tests.core.secrets import ENCODERS, IN_CONTEXT, ORDINARY, SECRETS

ALL = Redactor()
SCREEN = Screen(Screening())


def redacted(text: str, redactor: Redactor = ALL) -> tuple[str, dict[str, int]]:
    found: dict[str, int] = {}
    return redactor.redacted(text, found), found


def test_every_detector_has_an_example() -> None:
    assert {*SECRETS, *(name for name, _, _ in IN_CONTEXT)} == set(NAMES)


@pytest.mark.parametrize(("name", "secret"), SECRETS.items())
@pytest.mark.parametrize("text", ["{}", "the key is {}.", "('{}')", "KEY={}\n", "<td>{}</td>"])
def test_a_secret_is_found_wherever_it_stands(name: str, secret: str, text: str) -> None:
    clean, found = redacted(text.replace("{}", secret))
    assert clean == text.replace("{}", f"[redacted: {name}]")
    assert found == {name: 1}


@pytest.mark.parametrize(("name", "text", "secret"), IN_CONTEXT)
def test_a_secret_that_only_its_place_gives_away_is_found_there(name: str, text: str, secret: str) -> None:
    clean, found = redacted(text.format(secret))
    assert clean == text.format(f"[redacted: {name}]")
    assert found == {name: 1}


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redacted(text) == (text, {})


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_that_is_permitted_finds_nothing(name: str) -> None:
    assert name not in {one for secret in SECRETS.values() for one in redacted(secret, Redactor([name]))[1]}


@pytest.mark.parametrize(("name", "secret"), SECRETS.items())
def test_a_permitted_value_stays_and_another_one_does_not(name: str, secret: str) -> None:
    redactor = Redactor([f"sha256:{sha256(secret.encode()).hexdigest()}"])
    assert redacted(secret, redactor) == (secret, {})
    assert redacted("password: Xk39fkDkq02kd9", redactor)[1] == {"assigned-secret": 1}


@pytest.mark.parametrize("name", ["password", "db_password", "client_secret", "accessToken", "X-Api-Key", "private_key", "GITHUB_TOKEN"])
def test_a_member_that_is_named_like_a_secret_is_one_if_it_looks_random(name: str) -> None:
    found: dict[str, int] = {}
    assert ALL.redacted("Xk39fkDkq02kd9", found, name if names_secret(name) else "") == "[redacted: assigned-secret]"
    assert ALL.redacted("see the vault", found, name) == "see the vault"


@pytest.mark.parametrize(
    "name", ["nextPageToken", "page_token", "primary_key", "csrf_token", "idempotency-key", "monkey", "tokenizer", "keys"]
)
def test_a_member_whose_name_only_sounds_like_it_is_none(name: str) -> None:
    assert not names_secret(name)


@pytest.mark.parametrize(
    "value", ["", "short1", "12345678901234", "abcdefghijklmnop", "release-notes-2024", "v1.22.333-rc.4", "/srv/out/a1.csv"]
)
def test_a_word_a_number_a_version_or_a_path_does_not_look_random(value: str) -> None:
    assert not looks_random(value)


PIECES = st.sampled_from([*SECRETS.values(), *(text.format(secret) for _, text, secret in IN_CONTEXT), *ORDINARY])
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=20)), max_size=5).map(" ".join)


@given(TEXTS, st.sampled_from(ENCODERS))
def test_whatever_is_a_secret_in_a_text_shows_in_its_undecoded_json(text: str, encode: Callable[[object], bytes]) -> None:
    raw = encode(text)
    if redacted(json.loads(raw))[1]:
        assert SCREEN.suspects(raw)


@given(TEXTS)
def test_what_was_redacted_once_is_not_redacted_again(text: str) -> None:
    clean, _ = redacted(text)
    assert redacted(clean) == (clean, {})


@given(
    st.lists(st.sampled_from(list(SECRETS.values())), min_size=1, max_size=3), st.lists(st.sampled_from(ORDINARY), min_size=4, max_size=4)
)
def test_no_secret_is_left_among_ordinary_texts(secrets: list[str], texts: list[str]) -> None:
    mixed = "\n".join(piece for pair in zip(texts, secrets, strict=False) for piece in pair)
    clean, found = redacted(mixed)
    assert not [secret for secret in secrets if secret in clean]
    assert sum(found.values()) == len(secrets)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.name)
def test_the_sign_of_a_detector_is_not_in_ordinary_texts_for_nothing(detector) -> None:  # type: ignore[no-untyped-def]
    """A sign is cheap to be wrong, but it costs a decoding: most ordinary texts have none."""
    signs = Signs([detector.sign])
    assert sum(signs.found(json.dumps(text)) for text in ORDINARY) <= len(ORDINARY) // 4


MARKS = (
    *("eyJ", "-----BEGIN PRIVATE KEY-----", "-----END", "Bearer ", "password=", "token", "ghp_", "sk-", "xoxb-", "AKIA"),
    *("://", ":", "=", "a", "v1", ".1", "1", "Z9", "_", "-", "/", "\\", "\n", " ", "@", "~", '"'),
)


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, the least of two."""
    took = []
    for _ in range(2):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return min(took)


@settings(max_examples=25, deadline=None)
@example(pieces=[".1"], end="~a")
@given(pieces=st.lists(st.sampled_from(MARKS), min_size=1, max_size=4), end=st.sampled_from(["", "~a", "!", "=", "@"]))
def test_the_time_of_every_detector_grows_with_the_text_and_not_faster(pieces: list[str], end: str) -> None:
    """A text of sixteen times the length may take three times sixteen the time; with the square it would be 256 times."""
    piece = "".join(pieces)
    short, long = (f"1{piece * (characters // len(piece))}{end}" for characters in (1_000, 16_000))
    works: list[Callable[[str], object]] = [looks_random, *(partial(detector.expression.sub, "") for detector in DETECTORS)]
    for work in works:
        assert seconds(partial(work, long)) < 48 * seconds(partial(work, short)) + 0.01


def test_a_long_version_is_judged_in_no_time() -> None:
    value = "1" + ".1" * 4_000 + "~a"
    assert seconds(partial(looks_random, value)) < 0.02
