"""A folder that only one training may write to at a time."""

import errno
import logging
import os
import socket
from datetime import datetime
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

log = logging.getLogger(__name__)
HELD = (errno.EAGAIN, errno.EACCES)


class FolderLock:
    """A lock that the system takes away when the process that holds it dies, however it dies.

    The first process of a run takes it for all of them; data workers do not inherit it. Where
    there are no such locks (Windows, some network disks) none is taken, and the log says so.
    Raises: ValueError naming the process that holds it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / ".lock"
        self.file = None
        while self.file is None:
            self._try()

    def _try(self) -> None:
        file = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115 - open while it is held
        try:
            _take(file)
        except OSError as error:
            if error.errno not in HELD:
                log.warning("%s cannot be locked (%s); run one training in it", self.path, error)
                self.file = file
                return
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise ValueError(
                f"{self.path.parent} is in use by a training ({holder}); wait for its end, or give another folder with out="
            ) from None
        if _same(file, self.path):
            self.file = file
            self._sign()
        else:  # the one who held it has just ended, and took the file away
            file.close()

    def _sign(self) -> None:
        since = datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        self.file.truncate(0)
        self.file.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}\n")
        self.file.flush()

    def release(self) -> None:
        """Gives the folder free; again does nothing."""
        if self.file.closed:
            return
        if _same(self.file, self.path):
            self.path.unlink()
        self.file.close()


def _take(file) -> None:
    """Locks a file for this process. Raises: OSError, with one of `HELD` where another has it."""
    if fcntl is None:
        raise OSError(errno.ENOLCK, "the system has no locks of this kind")
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _same(file, path: Path) -> bool:
    """Whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
