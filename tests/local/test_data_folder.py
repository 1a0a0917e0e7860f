"""One command at a time works in a data folder, and a folder that cannot be used is refused in one line."""

import errno
import multiprocessing
import os
import stat
from collections import namedtuple
from contextlib import suppress

import pytest

from include.carm.errors import Refused, Unavailable
from include.local_airflow import data_folder
from include.local_airflow.data_folder import hold_data_folder


def hold_until_told(folder, told):
    with hold_data_folder(folder, "run"):
        told.send("ready")
        with suppress(EOFError):
            told.recv()


@pytest.fixture
def busy_folder(tmp_path):
    """A data folder in which another process works until the test ends.

    Over a pipe and not by an ``Event``: setting one whose waiter was killed waits for the dead to wake up.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=hold_until_told, args=(tmp_path, there), daemon=True)
    other.start()
    there.close()
    with here:
        assert here.poll(60)
        yield tmp_path, other
    other.join()


def test_the_folder_is_made_for_its_owner_alone(tmp_path):
    with hold_data_folder(tmp_path / "a" / "data", "run"):
        assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700


def test_a_second_command_is_refused_and_told_who_works_there(busy_folder):
    folder, other = busy_folder
    expected = rf"^make run \(process {other.pid}\) works in the data folder .*: wait for it or stop it"
    with pytest.raises(Refused, match=expected), hold_data_folder(folder, "run"):
        pass


def test_a_killed_command_keeps_nobody_out(busy_folder):
    folder, other = busy_folder
    other.kill()
    other.join()
    with hold_data_folder(folder, "run"):
        pass


def test_the_folder_is_free_again_afterwards(tmp_path):
    for _ in range(2):
        with hold_data_folder(tmp_path, "run"):
            pass


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    expected = r"cannot write to the data folder .*Not a directory.*: name another with DATA=folder"
    with pytest.raises(Unavailable, match=expected), hold_data_folder(tmp_path / "file" / "data", "run"):
        pass


def test_a_full_disk_is_found_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(data_folder.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 5_000_000))
    expected = r"is full \(5 MB free, 200 MB needed\): make room"
    with pytest.raises(Unavailable, match=expected), hold_data_folder(tmp_path, "run"):
        pass


@pytest.mark.parametrize(
    ("number", "complaint"),
    [
        (errno.ENOSPC, r"\(its disk is full\): make room, or name a folder on another disk with DATA=folder"),
        (errno.EROFS, r"\(Read-only file system\): name another with DATA=folder"),
        (errno.EACCES, r"\(Permission denied\): name another with DATA=folder"),
    ],
)
def test_a_folder_that_cannot_be_written_says_why_and_what_to_do(tmp_path, monkeypatch, number, complaint):
    def refuse(*words, **named):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(data_folder.Path, "open", refuse)  # For root every folder can be written.
    expected = rf"cannot write to the data folder {tmp_path} {complaint}"
    with pytest.raises(Unavailable, match=expected), hold_data_folder(tmp_path, "run"):
        pass
