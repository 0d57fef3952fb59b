"""Which era a stdio server speaks: asked on a process of its own, a recognised answer decides, and the verdict is kept."""

import asyncio
from pathlib import Path

import pytest

from customhouse.core.manifest import Era
from customhouse.core.refusal import Reason, Refused
from tests.upstreams.programs import behind


@pytest.mark.parametrize(
    ("manner", "modern"),
    [
        pytest.param("modern", True, id="discovered"),
        pytest.param("needs-version", True, id="a recognised modern error"),  # GW-47
        pytest.param("legacy", False, id="unknown method"),
        pytest.param("nameless-error", False, id="an error without an id"),
        pytest.param("lists-legacy", False, id="lists no modern version"),  # GW-52
        pytest.param("ends-on-probe", False, id="ends"),  # GW-50
        pytest.param("silent-on-probe", False, id="stays silent"),  # GW-51
    ],
)
async def test_what_a_server_says_to_discovery_decides_its_era(manner: str, modern: bool, tmp_path: Path) -> None:
    async with behind(tmp_path, manner, connect_timeout_seconds=1.5) as here:
        assert await here.server.speaks_modern(here.clock.monotonic() + 10) is modern
        assert await here.said("echo", {"a": 1}) == '{"a": 1}'
        assert (await here.call("echo")).revision == ("2026-07-28" if modern else "2025-11-25")
        methods = here.methods()
        assert methods.count("server/discover") == 1
        assert methods.count("initialize") == (0 if modern else 1)


async def test_a_server_that_ends_on_the_question_is_greeted_once_on_another_process(tmp_path: Path) -> None:  # GW-50
    async with behind(tmp_path, "ends-on-probe") as here:
        await asyncio.gather(*(here.call("echo") for _ in range(20)))
        read = here.read()
        (probed,) = {pid for pid, message in read if message["method"] == "server/discover"}
        assert [message["method"] for pid, message in read if pid != probed][:2] == ["initialize", "notifications/initialized"]
        assert len(here.programs) == 2
        assert here.methods().count("initialize") == 1


async def test_a_modern_server_is_asked_on_the_process_that_serves(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        await asyncio.gather(*(here.call("echo", key=f"caller-{number}") for number in range(20)))
        assert len(here.programs) == 1


async def test_silence_is_no_verdict_until_the_greeting_succeeded(tmp_path: Path) -> None:  # GW-51
    async with behind(tmp_path, "silent-on-probe", "no-legacy", connect_timeout_seconds=0.5) as here:
        with pytest.raises(Refused, match="ERA_UNSUPPORTED"):
            await here.call("echo")
        with pytest.raises(Refused, match="ERA_UNSUPPORTED"):
            await here.call("echo")
        assert here.methods().count("server/discover") == 2


async def test_a_process_that_cannot_be_started_takes_no_verdict_and_no_line_away(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        await here.call("echo", key="alice")
        here.cannot_start = True
        for _ in range(3):
            with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
                await here.call("echo", key="bob")
        here.clock.ahead = 3_601.0
        assert await here.said("echo", key="alice") == "{}"


async def test_a_modern_server_that_does_not_know_the_revision_any_more_is_asked_again(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        assert (await here.call("error", {"code": -32022})).error == {"code": -32022, "message": "m"}
        await here.call("echo")
        assert len(here.programs) == 1


async def test_a_verdict_ages(tmp_path: Path) -> None:  # GW-51
    async with behind(tmp_path) as here:
        await here.call("echo")
        here.clock.ahead = 3_601.0
        await here.call("echo")
        assert here.methods().count("server/discover") == 2
        assert here.methods().count("initialize") == 1


@pytest.mark.parametrize("revision", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
@pytest.mark.parametrize("manner", ["counters", "picky"])
async def test_every_known_revision_is_taken_from_the_server(revision: str, manner: str, tmp_path: Path) -> None:
    async with behind(tmp_path, manner, f"speaks={revision}") as here:
        assert (await here.call("echo")).revision == revision
        offered = [message["params"]["protocolVersion"] for _, message in here.read() if message["method"] == "initialize"]
        assert offered == (["2025-11-25"] if manner == "counters" or revision == "2025-11-25" else ["2025-11-25", revision])


@pytest.mark.parametrize("manners", [("speaks=1999-01-01",), ("picky", "speaks=1999-01-01"), ("bad-greeting",), ("no-legacy",)])
async def test_a_server_without_a_known_revision_is_refused(manners: tuple[str, ...], tmp_path: Path) -> None:
    async with behind(tmp_path, *manners) as here:
        with pytest.raises(Refused, match="ERA_UNSUPPORTED"):
            await here.call("echo")


async def test_a_server_that_cannot_be_started_decides_nothing(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        here.cannot_start = True
        with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
            await here.server.speaks_modern(here.clock.monotonic() + 10)
        here.cannot_start = False
        assert await here.server.speaks_modern(here.clock.monotonic() + 10)


async def test_a_server_that_hangs_on_start_is_unreachable_in_time(tmp_path: Path) -> None:
    async with behind(tmp_path, "hangs", connect_timeout_seconds=0.3) as here:
        with pytest.raises(Refused) as caught:
            await asyncio.wait_for(here.call("echo"), 5)
        assert caught.value.reason is Reason.UPSTREAM_UNREACHABLE


async def test_a_call_whose_time_is_over_does_not_wait_for_the_start(tmp_path: Path) -> None:
    async with behind(tmp_path, "hangs", connect_timeout_seconds=2.0) as here:
        with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
            await asyncio.wait_for(here.call("echo", seconds=0.1), 1)


async def test_what_a_server_says_of_itself_is_read_in_its_era(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        assert (await here.server.discovery(here.errand, Era.MODERN))["supportedVersions"] == ["2026-07-28"]
        assert (await here.server.discovery(here.errand, Era.LEGACY))["serverInfo"] == {"name": "odd", "version": "1"}
    (tmp_path / "notes").unlink()
    async with behind(tmp_path) as here:
        said = await here.server.discovery(here.errand, Era.LEGACY)
        assert said["offered"]["capabilities"] == {}  # GW-75
        with pytest.raises(Refused, match="ERA_UNSUPPORTED"):
            await here.server.discovery(here.errand, Era.MODERN)


async def test_every_modern_request_says_what_the_client_is(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:
        await here.call("echo", capabilities={"elicitation": {}}, log_level="error", meta={"traceparent": "00-1"}, wants_progress=True)
        (sent,) = [message for _, message in here.read() if message["method"] == "tools/call"]
        meta = sent["params"]["_meta"]
        assert meta.pop("io.modelcontextprotocol/clientInfo")["name"] == "customhouse"
        assert meta == {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
            "io.modelcontextprotocol/logLevel": "error",
            "progressToken": sent["id"],
            "traceparent": "00-1",
        }
        assert len(here.programs) == 1
