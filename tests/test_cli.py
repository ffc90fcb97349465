"""What the command lines share: errors in one paragraph, where the configuration lies."""

import errno
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from moa import places
from moa.cli import first_cause, output_folder, plain_errors, writable_folder
from moa.training.interruption import Interrupted

ERRORS = {
    "a wrong value": (ValueError("a=1 is\n  wrong; give 2"), 2, "error: a=1 is wrong; give 2"),
    "a file": (FileNotFoundError(errno.ENOENT, "No such file", "a.png"), 2, "error: [Errno 2] No such file: 'a.png'"),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), 2, "nothing already saved is lost. Make room, or give another folder with out=, and go on with resume=latest"),
    "memory": (torch.OutOfMemoryError("tried to allocate 20 GiB"), 2, "tried to allocate 20 GiB ... Set a smaller batch_size"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "interrupted"),
    "Ctrl-C in a training": (Interrupted(signal.SIGINT, "stopped at step 7"), 130, "stopped at step 7"),
    "a training's SIGTERM": (Interrupted(signal.SIGTERM, "stopped at step 7"), 143, "stopped at step 7"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors_a_user_can_mend_are_one_paragraph(case, capsys):
    error, code, said = ERRORS[case]
    with pytest.raises(SystemExit) as ended, plain_errors():
        raise error
    printed = capsys.readouterr()
    assert ended.value.code == code and said in printed.err and printed.err.count("\n") == 1 and not printed.out


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), TypeError("another"), AssertionError()])
def test_faults_of_ours_keep_their_traceback(error):
    with pytest.raises(type(error)), plain_errors():
        raise error


def test_a_checkout_without_symbolic_links_finds_its_folders(tmp_path, monkeypatch):
    """As on Windows, where git writes a link as a file with the path in it."""
    (tmp_path / "moa").mkdir()
    (tmp_path / "moa" / "conf").write_text("../conf")
    monkeypatch.setattr(places, "__file__", str(tmp_path / "moa" / "places.py"))
    assert places.embedded("conf") == tmp_path / "conf"
    (tmp_path / "moa" / "models").mkdir()
    assert places.embedded("models") == tmp_path / "moa" / "models"


def test_the_first_cause():
    try:
        try:
            raise ValueError("deep")
        except ValueError as error:
            raise TypeError("shallow") from error
    except TypeError as error:
        assert str(first_cause(error)) == "deep"


def test_no_two_commands_get_the_same_new_folder(tmp_path: Path) -> None:
    """Sixteen at once, as two jobs in the same second."""

    def one(_: int) -> Path:
        with output_folder(None, tmp_path / "runs" / "now") as folder:
            return folder

    with ThreadPoolExecutor(16) as threads:
        folders = list(threads.map(one, range(16)))
    assert sorted(path.name for path in folders) == sorted(["now", *(f"now_{n}" for n in range(2, 17))])
    assert all(path.is_dir() for path in folders)


def test_a_folder_that_is_given_is_used_as_it_is(tmp_path: Path) -> None:
    for _ in range(2):
        with output_folder(str(tmp_path / "mine"), tmp_path / "new") as folder:
            assert folder == tmp_path / "mine" and folder.is_dir()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_what_fails_before_it_writes_leaves_no_folder(tmp_path: Path, given: bool, there: bool) -> None:
    target = tmp_path / "a" / "b"
    if there:
        target.mkdir(parents=True)
    with pytest.raises(ValueError, match="no"), output_folder(target if given else None, target):
        raise ValueError("no")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == (["a", "a/b"] if there else [])
    with pytest.raises(ValueError, match="no"), output_folder(target if given else None, target) as folder:
        (folder / "written").touch()
        raise ValueError("no")
    assert (folder / "written").is_file()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    for name in ("file", "dead"):
        with pytest.raises(ValueError, match=rf"{name}/x/y' cannot be made .*out="), output_folder(None, tmp_path / name / "x" / "y"):
            pass


def test_more_room_can_be_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"MB left, and \d+ are needed; make room"):
        writable_folder(tmp_path, needed=2**60)
