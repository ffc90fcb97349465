"""What the command lines share: errors in one paragraph, where the configuration lies."""

import errno

import pytest
import torch

from moa import places
from moa.cli import first_cause, newest, plain_errors, writable_folder

ERRORS = {
    "a wrong value": (ValueError("a=1 is\n  wrong; give 2"), 2, "error: a=1 is wrong; give 2"),
    "a file": (FileNotFoundError(errno.ENOENT, "No such file", "a.png"), 2, "error: [Errno 2] No such file: 'a.png'"),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), 2, "nothing already saved is lost. Make room, or give another folder with out=, and go on with resume=latest"),
    "memory": (torch.OutOfMemoryError("tried to allocate 20 GiB"), 2, "tried to allocate 20 GiB ... Set a smaller batch_size"),
    "Ctrl-C": (KeyboardInterrupt(), 130, "interrupted"),
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


def test_the_newest_usable_folder(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "d").write_text("a file")
    assert newest(tmp_path, lambda path: path.name != "c") == tmp_path / "b"
    assert newest(tmp_path / "none", lambda path: True) is None


def test_more_room_can_be_asked_for(tmp_path):
    with pytest.raises(ValueError, match=r"MB left, and \d+ are needed; make room"):
        writable_folder(tmp_path, needed=2**60)
