"""Ctrl-C and a polite kill, as a question the loop asks after each step."""

import os
import signal
import threading
from types import FrameType, TracebackType


def deafen(worker: int) -> None:
    """Ctrl-C and a scheduler's SIGTERM go to the whole group of processes, but only the loop acts on them: a data worker ends with the loop, not
    before its last step. A SIGTERM of the loop's own process, at its exit, is obeyed; where that cannot be told apart, every SIGTERM is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True).start()


def _obey(parent: int) -> None:
    """Ends the process at a SIGTERM from `parent`, and at no other."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)


class Interruption:
    """While active, the first SIGINT or SIGTERM sets `asked`; a second one acts as usual, at once. Elsewhere than in the main thread: never asked."""

    def __init__(self) -> None:
        self.asked = False
        self._usual: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._usual = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.signal(number, self._usual[number])

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, usual in self._usual.items():
            signal.signal(number, usual)
