"""What the documents point at is there: files, sections, settings, commands, threats."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from customhouse.cli.main import main
from customhouse.config.tree import Settings
from customhouse.core.refusal import Reason
from scripts import pages

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")})
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
SOURCE = "".join(module.read_text(encoding="utf-8") for module in sorted((ROOT / "src").rglob("*.py")))
EVERY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: str(document.relative_to(ROOT)))


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def prose_of(document: Path) -> str:
    return re.sub(r"```.*?```", "", text_of(document), flags=re.DOTALL)


def anchors_of(document: Path) -> set[str]:
    """The anchors of the headings, as the common renderers make them."""
    headings = re.findall(r"^#+ (.+)$", prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@EVERY_DOCUMENT
def test_a_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", prose_of(document))
    for target, anchor in links:
        aim = (document.parent / target).resolve() if target else document
        assert aim.exists(), target
        assert not anchor or anchor in anchors_of(aim), f"{target}#{anchor}"


@EVERY_DOCUMENT
def test_a_file_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"`((?:src|tests|docs|scripts|examples|requirements)/[\w./-]+)`", prose_of(document))
    assert [path for path in named if not (ROOT / path).exists()] == []


@EVERY_DOCUMENT
def test_a_setting_that_is_named_exists(document: Path) -> None:
    groups = "|".join({key.split(".")[0] for key in setting_keys() if "." in key})
    named = re.findall(rf"`((?:{groups})(?:\.[a-z_<>]+)+)`", prose_of(document))
    assert [key for key in named if key not in setting_keys()] == []


@EVERY_DOCUMENT
def test_a_command_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"(?:^|`|\$ )customhouse((?: [a-z][a-z-]+)+)", text_of(document), re.MULTILINE)
    assert [words for words in named if not is_command(words.split())] == []


@EVERY_DOCUMENT
def test_a_refusal_that_is_named_exists(document: Path) -> None:
    shouted = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", prose_of(document)))
    ends = {name.rsplit("_", 1)[-1] for name in Reason.__members__}
    names = {name for name in shouted if name.rsplit("_", 1)[-1] in ends and not name.startswith("CUSTOMHOUSE_")}
    assert names - set(Reason.__members__) - {"NOTES_TOKEN", "CUSTOMHOUSE_TOKEN"} == set()


@EVERY_DOCUMENT
def test_a_metric_that_is_named_exists(document: Path) -> None:
    named = re.findall(r"`(customhouse_[a-z_]+?)(?:_total)?`", text_of(document))
    assert [metric for metric in named if f'"{metric}"' not in SOURCE] == []


def setting_keys() -> set[str]:
    """Every key of the settings, groups included."""
    return set(keys_below("", Settings))


def keys_below(path: str, struct: type[msgspec.Struct]) -> list[str]:
    found: list[str] = []
    for field in msgspec.structs.fields(struct):
        key = pages.join(path, field.encode_name)
        found.append(key)
        for suffix, inner in pages.structs_in(msgspec.inspect.type_info(field.type)):
            below = key + suffix.replace("[]", "")
            found += [below, *keys_below(below, inner)]
    return found


def is_command(words: list[str]) -> bool:
    """Whether the words lead to a command; what follows a command that has no commands below it are its arguments."""
    command: Any = main
    for word in words:
        if not hasattr(command, "commands"):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(decision.name[:3]) for decision in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.stem)
def test_a_decision_tells_context_choice_and_what_would_change_it(decision: Path) -> None:
    headings = re.findall(r"^## (.+)$", text_of(decision), re.MULTILINE)
    assert headings == ["Context", "Choice", "What would change our mind"]


def test_the_threat_model_says_of_every_class_what_holds_now_and_what_comes_later() -> None:
    rows = re.findall(r"^\| T(\d+) \|[^|]+\|([^|]+)\|([^|]+)\|", text_of(ROOT / "docs" / "threat-model.md"), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 24))
    assert all(now.strip() and later.strip() for _, now, later in rows)


def test_the_index_of_the_manual_names_every_page() -> None:
    pages_there = {page.name for page in (ROOT / "docs" / "manual").glob("*.md")} - {"index.md"}
    named = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of(ROOT / "docs" / "manual" / "index.md")))
    assert pages_there <= named


def test_the_readme_opens_with_the_two_commands() -> None:
    readme = text_of(ROOT / "README.md")
    assert re.search(r"```(?:sh|bash|console)\n(?:.*\n)*?.*make run\b.*\n.*make test\b", readme)
