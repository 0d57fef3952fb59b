"""What holds for every test: the network is closed, and Hypothesis gives the same answer twice.

Connections reach loopback only (`--allow-hosts` in pyproject.toml). In the folders of pure code no socket can be made at all;
sockets of the Unix family stay, since an event loop wakes itself through a pair of them. A single test opens its door with
`@pytest.mark.enable_socket`. Those folders run first: a socket is closed for the whole process, so a server that a fixture of
another folder still runs in a thread could not accept a connection and would die of it.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
CLOSED = ("core", "architecture", "docs", "config")

settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("searching", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Close the network for the folders of pure code, and run them before anything has opened it."""
    for item in items:
        if closed(item):
            item.add_marker(pytest.mark.disable_socket)
    items.sort(key=lambda item: not closed(item))


def closed(item: pytest.Item) -> bool:
    """Whether the test stands in a folder of pure code."""
    return folder_of(item.path) in CLOSED


def folder_of(path: Path) -> str:
    """The folder below tests/ that a test file stands in; empty for a file elsewhere or directly in tests/."""
    inside = path.relative_to(HERE).parts if path.is_relative_to(HERE) else ()
    return inside[0] if len(inside) > 1 else ""
