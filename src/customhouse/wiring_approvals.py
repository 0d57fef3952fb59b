"""Builds what asks people about calls, for a gateway and for the terminal."""

import threading
from collections.abc import Callable
from pathlib import Path

from customhouse.adapters.privatefiles import UnsafeKeyFile
from customhouse.config.tree import Approvals as ApprovalSettings
from customhouse.core.approval import FloodLimits
from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.approving import ApprovalTerms, Approving
from customhouse.gateway.requeststates import RequestStates
from customhouse.ports.approvals import Approvals
from customhouse.ports.traffic import Clock, Ledger, Sealer


class ApprovalsAtNeed:
    """The requests for approvals of a deployment, in the file of the control plane, opened when somebody asks: most gateways never do."""

    def __init__(self, data_directory: Path) -> None:
        self._directory = data_directory
        self._opened: Approvals | None = None
        self._turn = threading.Lock()

    def __call__(self) -> Approvals:
        """The store. Raises `Refused` STORE_UNAVAILABLE."""
        with self._turn:
            if self._opened is None:
                try:
                    self._opened = open_approvals(self._directory)
                except UnsafeKeyFile as unsafe:
                    raise Refused(Reason.STORE_UNAVAILABLE, note=str(unsafe)) from unsafe
            return self._opened

    def close(self) -> None:
        """Let go of the file, if it is open."""
        with self._turn:
            if self._opened is not None:
                self._opened.close()


def open_approvals(data_directory: Path) -> Approvals:
    """The requests for approvals of a deployment. Raises `Refused` STORE_UNAVAILABLE and `UnsafeKeyFile`."""
    from customhouse.adapters.stores.approvaltables import approvals_in  # noqa: PLC0415 - SQLAlchemy takes longer to import than the rest
    from customhouse.adapters.stores.sqlite import FILE_NAME, SqliteStores  # noqa: PLC0415 - as above

    return approvals_in(SqliteStores.open(data_directory / FILE_NAME))


def build_approving(
    settings: ApprovalSettings, opened: Callable[[], Approvals], sealer: Sealer, ledger: Ledger, clock: Clock, new_id: Callable[[], str]
) -> Approving:
    """What asks people about calls."""
    limits = FloodLimits(
        settings.max_waiting_per_caller, settings.max_waiting_per_group, settings.max_per_hour_per_caller, settings.retry_after_seconds
    )
    terms = ApprovalTerms(settings.expires_seconds, settings.retry_after_seconds, limits, settings.console_url)
    return Approving(opened, RequestStates(sealer, clock), ledger, clock, new_id, terms)
