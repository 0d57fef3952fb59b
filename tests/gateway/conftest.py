"""A fresh world for each test."""

import pytest

from tests.gateway.support import World


@pytest.fixture
def world() -> World:
    return World()
