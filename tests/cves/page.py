"""Prints docs/manual/advisories.md from the table and the tests: `python -m tests.cves.page`."""

from collections.abc import Iterator, Mapping

from tests.cves.cases import GROUPS, HERE, Case, tests_by_advisory

PAGE = HERE.parents[1] / "docs" / "manual" / "advisories.md"

HEAD = """\
<!-- Printed from tests/cves/cases.py by `python -m tests.cves.page`: change the table, not this page. -->

# Public advisories

What went wrong in other products of the field, and what holds here. Each case is attacked in a test, against a running gateway where
the fault needs one. *Waits for* names what this version does not do; until it does, that part of the case has no object.

The tests stand in `tests/cves/`.
"""


def page() -> str:
    """The page as it has to be."""
    tests = tests_by_advisory()
    return HEAD + "".join(_group(title, cases, tests) for title, cases in GROUPS.items())


def _group(title: str, cases: Mapping[str, Case], tests: Mapping[str, list[str]]) -> str:
    return f"\n## {title}\n" + "".join(_case(name, case, tests.get(name, [])) for name, case in cases.items())


def _case(name: str, case: Case, tests: list[str]) -> str:
    return "\n".join(["", f"### {name}", "", *_lines(case, tests), ""])


def _lines(case: Case, tests: list[str]) -> Iterator[str]:
    yield f"- *{case.product}:* {case.fault}."
    if case.holds:
        yield f"- *Here:* {case.holds}"
    if case.waits:
        yield f"- *Waits for:* {case.waits}."
    if tests:
        yield "- *Tests:* " + ", ".join(f"`{test}`" for test in tests)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
