"""Ctrl-C and a polite kill, as a question the loop asks after each step."""

import os
import signal
import threading
import time
from types import FrameType, TracebackType


def deafen(worker: int) -> None:
    """Lets only the loop act on signals: Ctrl-C and a scheduler's SIGTERM go to all processes.

    A data worker ends with the loop, not before its last step. A SIGTERM of the loop's own process,
    at its exit, is obeyed; where that cannot be told apart, every SIGTERM is.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()


def _obey(parent: int) -> None:
    """Ends the process at a SIGTERM from `parent`, and at no other."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


class Interrupted(KeyboardInterrupt):
    """A training that a signal ended, once its last step is saved; `number` is the signal's."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


class Interruption:
    """While active, the first SIGINT or SIGTERM sets `number`; the loop asks after each step.

    Signals of the next seconds are the same wish again: a launcher hands on to its processes what
    the terminal or the scheduler has sent to all of them. Later ones act as usual, at once.
    Elsewhere than in the main thread: never asked.
    """

    def __init__(self, patience: float = 5.0) -> None:
        self.number: int | None = None
        self.patience = patience
        self._usual: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._usual[number] = signal.signal(number, self._ask) or signal.SIG_DFL
        return self

    @property
    def asked(self) -> bool:
        """Whether the run is to end."""
        return self.number is not None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self._since = time.monotonic()
        elif time.monotonic() - self._since > self.patience:
            signal.signal(number, self._usual[number])
            signal.raise_signal(number)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, usual in self._usual.items():
            signal.signal(number, usual)
