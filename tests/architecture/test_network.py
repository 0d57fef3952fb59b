"""The test suite itself cannot reach a network."""

import asyncio
import socket
import warnings

import pytest
from pytest_socket import SocketBlockedError, SocketConnectBlockedError


def test_a_test_of_pure_code_cannot_make_a_socket() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(SocketBlockedError):
            socket.socket(socket.AF_INET, socket.SOCK_STREAM)


async def test_an_event_loop_still_runs_where_the_network_is_closed() -> None:
    await asyncio.sleep(0)


@pytest.mark.enable_socket
@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_test_can_ask_for_a_socket_of_its_own() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] > 0


def test_outside_the_pure_folders_only_loopback_is_reached(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("--allow-hosts") == "127.0.0.0/8,::1,localhost"
    assert issubclass(SocketConnectBlockedError, RuntimeError)


def test_pure_code_is_tested_before_a_server_of_another_test_can_run(request: pytest.FixtureRequest) -> None:
    """Else its `accept` fails in a thread, whenever somebody happens to connect."""
    blocked = [item.get_closest_marker("disable_socket") is not None for item in request.session.items]
    assert blocked == sorted(blocked, reverse=True)
