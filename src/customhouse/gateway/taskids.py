"""Ids of tasks: sealed when a server begins a task, opened when its client asks about it, by any process that has the keys.

An id that does not open, or was given for another endpoint or caller, gets one refusal. Nothing is kept: how long a task lives is for
its server to say.
"""

from customhouse.core.identity import Caller
from customhouse.core.protocol.taskid import MAX_SEALED_CHARACTERS, Task, bound_to, packed, unpacked
from customhouse.core.sealing import Seal
from customhouse.ports.traffic import Sealer


class TaskIds:
    """Seals and opens ids."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, task: Task, caller: Caller, endpoint: str) -> str:
        """The text for `taskId`: letters, digits, `-` and `_`."""
        return self._sealer.seal(Seal.TASK, packed(task), bound_to(caller, endpoint))

    def open(self, text: object, caller: Caller, endpoint: str) -> Task:
        """The task of an id. Raises `Refused` UNKNOWN_TASK, the same whatever is wrong."""
        if type(text) is not str or len(text) > MAX_SEALED_CHARACTERS:
            raise Seal.TASK.refused()
        return unpacked(self._sealer.open(Seal.TASK, text, bound_to(caller, endpoint)))
