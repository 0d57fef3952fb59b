"""Cedar files of a deployment directory, to the byte: `policies/*.cedar`. A policy is named like its file."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from customhouse.config.document import MAX_DOCUMENT_BYTES
from customhouse.config.findings import Finding, Place, found
from customhouse.config.tree import Settings
from customhouse.core.naming import POLICY_NAME
from customhouse.core.policyrules import head_findings, read_rules

POLICY_NAME_REMEDY: Final = "Use letters, digits, dots, hyphens and underscores, and .cedar at the end."


def read_policies(directory: Path, settings: Settings) -> tuple[Mapping[str, str], tuple[Finding, ...]]:
    """The texts by file name, and what keeps them from being rules. Whether they fit the servers is for `compile_policy` to judge."""
    texts: dict[str, str] = {}
    findings: list[Finding] = []
    for path in sorted((directory / settings.policies_dir).glob("*.cedar")):
        file = f"{settings.policies_dir}/{path.name}"
        if POLICY_NAME.fullmatch(path.name) is None:
            findings.append(found(Place(file), (), "The name of the file cannot be the name of a policy.", POLICY_NAME_REMEDY))
        try:
            texts[path.name] = read_policy(path)
        except (OSError, ValueError) as unreadable:
            findings.append(found(Place(file), (), f"The policy cannot be read ({unreadable}).", "Make it a text file in UTF-8."))
    return texts, (*findings, *rule_findings(texts, settings.policies_dir))


def read_policy(path: Path) -> str:
    """The text of a file, line ends as they are. Raises `OSError` and `ValueError`."""
    with path.open("rb") as file:
        data = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(data) > MAX_DOCUMENT_BYTES:
        raise ValueError(f"larger than {MAX_DOCUMENT_BYTES} bytes")
    return data.decode("utf-8")


def rule_findings(texts: Mapping[str, str], folder: str) -> Iterator[Finding]:
    """What keeps texts from being rules that can be told apart by their ids."""
    rules, unreadable = read_rules(texts)
    for finding in sorted([*unreadable, *head_findings(rules)]):
        yield Finding(f"{folder}/{finding.file}", finding.line, finding.rule, finding.sentence, "The manual's page on policy shows how.")
