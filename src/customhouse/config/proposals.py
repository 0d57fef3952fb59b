"""What a proposed definition may take from the deployment it is proposed to: its tenant's secrets, and no file of the gateway's own."""

from collections.abc import Iterator
from pathlib import Path

from customhouse.config.findings import Finding, Place, found
from customhouse.config.programs import exposed
from customhouse.config.secretowners import directories_of_secrets, foreign_secrets
from customhouse.config.tree import Settings
from customhouse.core.manifest import ServerDefinition


def proposal_findings(definition: ServerDefinition, directory: Path, settings: Settings) -> Iterator[Finding]:
    """What the rules for definitions by themselves cannot see; `directory` is the deployment directory, absolute."""
    place = Place(f"{definition.name}.yaml")
    for complaint in foreign_secrets(definition, directory, settings):
        yield found(place, complaint.key, complaint.problem, complaint.remedy)
    if definition.stdio is not None:
        for complaint in exposed(definition.stdio, directory, settings, directories_of_secrets(directory, settings)):
            yield found(place, ("stdio", *complaint.key), complaint.problem, complaint.remedy)
