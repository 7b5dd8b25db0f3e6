"""A process of the platform that faults hit, and that may be started again: a broker, a TaskManager."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod

from bench.backends.subtree import Child
from bench.errors import HostError, PlatformError

END_TIMEOUT_S = 30.0  # a broker under load closes its logs in about 2 s


class Replaceable(ABC):
    """See `bench.backends.Victim`. Subclasses say how it is started."""

    def __init__(self, name: str, blame: type[PlatformError]) -> None:
        self.name = name
        self.child: Child | None = None
        self._blame = blame
        self._down = False  # somebody wants it so

    @abstractmethod
    def spawn(self) -> Child:
        """A new process of its kind."""

    def start(self) -> Child:
        """Start the process; it is ready later."""
        self.child = self.spawn()
        self._down = False
        return self.child

    def pause(self) -> None:
        self._process().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process().send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._down = True
        self._process().kill()
        self._process().wait(END_TIMEOUT_S)

    def end(self) -> None:
        """SIGTERM and its end; the platform's error when it had to be killed: how long that took says nothing."""
        self._down = True
        if self._process().stop(END_TIMEOUT_S) == -signal.SIGKILL:
            raise self._blame(f"{self.name} did not end within {END_TIMEOUT_S:.0f} s of SIGTERM and was killed")

    def lose_disk(self) -> None:
        raise HostError(f"{self.name} has no disk of its own that could be lost")

    def fill(self) -> None:
        raise HostError(f"{self.name} has no disk of its own that could be filled")

    def free(self) -> None:
        raise HostError(f"{self.name} has no disk of its own that could be freed")

    def _process(self) -> Child:
        if self.child is None:
            raise self._blame(f"{self.name} was never started")
        return self.child

    def check(self) -> None:
        """The platform's error with the log's tail when the process is not running, and nobody wants that."""
        if self._down:
            return
        if self.child is None or self.child.poll() is not None:
            code = self.child.poll() if self.child else None
            tail = self.child.log_tail() if self.child else ""
            raise self._blame(f"{self.name} ended (exit code {code})\n{tail}")
