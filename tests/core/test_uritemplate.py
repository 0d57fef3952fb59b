"""URI templates match in linear time what RFC 6570 expands them to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.uritemplate import MAX_URI_CHARACTERS, compile_template


@pytest.mark.parametrize(
    ("template", "uri", "expected"),
    [
        ("notes://index", "notes://index", True),
        ("notes://index", "notes://index/", False),
        ("notes://index", "notes://inde", False),
        ("notes://index", "", False),
        ("notes://note/{title}", "notes://note/a%20b", True),
        ("notes://note/{title}", "notes://note/Ünï", True),
        ("notes://note/{title}", "notes://note/", False),
        ("notes://note/{title}", "notes://note/a/b", False),
        ("notes://note/{title}", "notes://note/a?b", False),
        ("notes://note/{title}", "notes://note/a#b", False),
        ("notes://note/{title}", "notes://note/a b", False),
        ("notes://note/{title:3}", "notes://note/abc", True),
        ("x://{a}-{b}", "x://1-2", True),
        ("x://{a}-{b}", "x://1-2-3", True),
        ("x://{a}-{b}", "x://12", False),
        ("x://{a,b}", "x://1,2", True),
        ("{a}", "", False),
        ("file:///{+path}", "file:///a/b?c#d", True),
        ("file:///{+path}", "file:///", False),
        ("x:/f{/a}", "x:/f", True),
        ("x:/f{/a}", "x:/f/1", True),
        ("x:/f{/a}", "x:/f/1/2", False),
        ("x:/f{/a,b}", "x:/f/1/2", True),
        ("x:/f{/a*}", "x:/f/1/2/3", True),
        ("x:/f{/a*}/end", "x:/f/1/2/end", True),
        ("x:/f{/a,b*}", "x:/f/1/2/3", True),
        ("x:/f{.ext}", "x:/f.tar.gz", True),
        ("x:/f{.ext}", "x:/f/gz", False),
        ("x:/f{;v}", "x:/f;v=1", True),
        ("x:/f{#part}", "x:/f#a/b?c", True),
        ("x:/f{#part}", "x:/f", True),
        ("x:/f{?q,page}", "x:/f", True),
        ("x:/f{?q,page}", "x:/f?q=a/b", True),
        ("x:/f{?q,page}", "x:/f?page=2&q=a", True),
        ("x:/f{?q,page}", "x:/f?q", True),
        ("x:/f{?q,page}", "x:/f?other=1", False),
        ("x:/f{?q,page}", "x:/f?q=1&other=1", False),
        ("x:/f{?q}", "x:/f?q=1#x", False),
        ("x:/f{?q*}", "x:/f?any=1&thing=2", True),
        ("x:/f?fixed=1{&q}", "x:/f?fixed=1&q=2", True),
        ("x:/f?fixed=1{&q}", "x:/f?fixed=1", True),
        ("x:/f?fixed=1{&q}", "x:/f?fixed=1&r=2", False),
        ("{+anything}", "x", True),
        ("{/a}", "", True),
    ],
)
def test_a_template_matches_what_it_expands_to(template: str, uri: str, expected: bool) -> None:
    assert compile_template(template).matches(uri) is expected


@pytest.mark.parametrize(
    "template",
    [
        "",
        "x" * 1025,
        "{",
        "}",
        "{}",
        "a{b",
        "a}b",
        "{a{b}}",
        "{=a}",
        "{|a}",
        "{!a}",
        "{@a}",
        "{a b}",
        "{+}",
        "{a,}",
        "{a:0}",
        "a b",
        "{a}" * 17,
        "{?" + ",".join(f"v{number}" for number in range(65)) + "}",
    ],
)
def test_a_template_that_breaks_a_rule_or_a_bound_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        compile_template(template)


def test_a_uri_longer_than_the_bound_never_matches() -> None:
    assert not compile_template("{+a}").matches("x" * (MAX_URI_CHARACTERS + 1))


@pytest.mark.parametrize("template", ["{a}" * 16, "{+a}" * 16, "{a}x" * 16, "x{/a*}" + "{/b*}" * 10, "{?a,a,a,a,a,a*}", "{?b*}{&c*}{&d*}"])
@pytest.mark.parametrize("uri", ["x" * 2_000 + "!/", "/x" * 1_000 + "!", "?" + "a=1&" * 500 + "\x00", "x" * 2_000])
def test_hostile_pairs_cost_no_more_than_length_times_positions(template: str, uri: str) -> None:
    assert compile_template(template).examine(uri).steps <= len(uri) * 2 * len(template)


@given(st.from_regex(r"[a-z0-9._~%-]{1,30}", fullmatch=True), st.from_regex(r"[a-z0-9._~%-]{1,30}", fullmatch=True))
def test_every_simple_expansion_matches_its_template(one: str, other: str) -> None:
    assert compile_template("x://{one}/y/{other}").matches(f"x://{one}/y/{other}")


@given(st.text(max_size=40))
def test_a_simple_variable_never_crosses_a_segment(text: str) -> None:
    matched = compile_template("x://{a}/end").matches(f"x://{text}/end")
    assert not matched or not set(text) & set("/?#")
