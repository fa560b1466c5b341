"""Files that are replaced: by several processes at once, and after one was killed."""

import os
import subprocess

import pytest

from recipes.parts.files import replacing


def test_processes_that_replace_a_file_at_once_do_not_meet(tmp_path, monkeypatch):
    path, numbers = tmp_path / "file", (os.getppid(), os.getpid())  # of living processes
    monkeypatch.setattr(os, "getpid", lambda: numbers[0])
    with replacing(path) as one:
        monkeypatch.setattr(os, "getpid", lambda: numbers[1])
        one.write_text("one")
        with replacing(path) as two:
            two.write_text("two")
        assert path.read_text() == "two"
        monkeypatch.setattr(os, "getpid", lambda: numbers[0])
    assert path.read_text() == "one" and [*tmp_path.iterdir()] == [path]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    gone = subprocess.Popen(["true"])
    gone.wait()
    monkeypatch.setattr(os, "getpid", lambda: gone.pid)
    with replacing(tmp_path / "file") as left:
        left.write_text("half")
        monkeypatch.undo()
        kept = [left.with_name(left.name.replace("file", "file2")), tmp_path / "file.x-1.partial"]
        formatted = left.with_name(f"{left.name}.onnx")
        for other in (*kept, formatted):
            other.touch()
        with replacing(tmp_path / "file") as partial:
            partial.write_text("whole")
        assert (
            not left.exists() and not formatted.exists() and all(other.exists() for other in kept)
        )
        left.write_text("for the end of the context")


def test_what_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="full"), replacing(path) as partial:
        partial.write_text("half")
        raise OSError("full")
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
