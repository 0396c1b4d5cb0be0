"""Files in their folder: one writer at a time, killed at any step, a full disk, a folder that takes nothing."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hfkd import outputs
from hfkd.outputs import alone, finish, publish, write_files

NAMES = ("x.csv", "x.json", "x.ledger.csv")


def texts(folder, word):
    """path -> text of three files that belong together."""
    return {folder / name: f"{word} {name}\n" for name in NAMES}


def lying(folder):
    """path -> text of all that lies in a folder, folders included."""
    return {path: path.read_text("utf-8") if path.is_file() else "a folder" for path in folder.rglob("*")}


class Killed(BaseException):
    """Stands in for the kill: from then on the process does nothing any more."""


def die_after(monkeypatch, steps):
    """Every change on the disk is a step; after so many of them each further one raises instead."""
    left = [steps]

    def dying(honest):
        def step(*given, **named):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return honest(*given, **named)
        return step

    for owner, name in ((os, "replace"), (Path, "write_bytes"), (Path, "mkdir"), (Path, "rmdir"), (Path, "unlink"),
                        (shutil, "rmtree")):  # fmt: skip
        monkeypatch.setattr(owner, name, dying(getattr(owner, name)))


def test_killed_at_any_step_all_files_are_new_or_none(tmp_path, monkeypatch):
    ends = []
    for steps in range(50):
        home = tmp_path / str(steps)
        with alone(home / "x.csv"):
            publish(home / "x.csv", texts(home, "old"))
        with monkeypatch.context() as killer:
            die_after(killer, steps)
            try:
                publish(home / "x.csv", texts(home, "new"))
                break
            except Killed:
                pass
        with alone(home / "x.csv"):  # the same command again
            assert lying(home).pop(home / "x.csv.checkpoints") == "a folder"
        assert lying(home) in (texts(home, "old"), texts(home, "new"))
        ends.append(lying(home) == texts(home, "new"))
    # mkdir, three files, the renaming that saves them; then three moves and two removals
    assert ends == [False] * 5 + [True] * 5


def test_the_disk_has_all_files_before_their_names_say_so(tmp_path, monkeypatch):
    steps, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (steps.append(("rename", Path(new).name)), replace(old, new)))

    def fsync(file):  # no buffer of this process keeps a part back either
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        steps.append(("on disk", path.read_text("utf-8") if path.is_file() else path.name))

    monkeypatch.setattr(os, "fsync", fsync)
    publish(tmp_path / "x.csv", texts(tmp_path, "new"))
    files = [("on disk", text) for text in texts(tmp_path, "new").values()]
    saved = [("on disk", f".x.csv.{os.getpid()}.tmp"), ("rename", ".x.csv.saved"), ("on disk", tmp_path.name)]
    assert steps == [*files, *saved, *(("rename", name) for name in sorted(NAMES))]
    steps.clear()
    write_files(texts(tmp_path, "new"))
    assert steps == [*files, *(("rename", name) for name in NAMES)]

    def refuse(_):  # some file systems do for folders
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    write_files(texts(tmp_path, "new"))


def test_a_disk_that_fails_late_leaves_everything_as_it_was(tmp_path, monkeypatch):
    publish(tmp_path / "x.csv", texts(tmp_path, "old"))

    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (lambda new: publish(tmp_path / "x.csv", new), write_files):
        with pytest.raises(OSError, match=r"x\.csv cannot be written \(Input/output error\)"):
            write(texts(tmp_path, "new"))
        assert lying(tmp_path) == texts(tmp_path, "old")


def test_saving_again_finishes_what_a_killed_process_had_saved(tmp_path, monkeypatch):
    with monkeypatch.context() as killer, pytest.raises(Killed):
        die_after(killer, 7)
        publish(tmp_path / "x.csv", texts(tmp_path, "old"))
    publish(tmp_path / "x.csv", {tmp_path / "x.csv": "new\n"})
    assert lying(tmp_path) == texts(tmp_path, "old") | {tmp_path / "x.csv": "new\n"}
    finish(tmp_path / "x.csv")  # nothing to do
    assert len(lying(tmp_path)) == 3


def test_a_full_disk_is_one_sentence_and_leaves_everything_as_it_was(tmp_path, monkeypatch):
    publish(tmp_path / "x.csv", texts(tmp_path, "old"))
    honest = Path.write_bytes

    def full(self, content):
        if "ledger" in self.name:  # the last of the three
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return honest(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    for write in (lambda new: publish(tmp_path / "x.csv", new), write_files):
        with pytest.raises(OSError, match=r"x\.csv cannot be written \(No space left on device\); what was saved is"):
            write(texts(tmp_path, "new"))
        assert lying(tmp_path) == texts(tmp_path, "old")


def test_a_folder_that_takes_nothing(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(outputs.os, "open", refuse)
    refused = r"x\.csv cannot be written \((Read-only file system|Not a directory)\)"
    with pytest.raises(OSError, match=refused), alone(tmp_path / "x.csv"):
        pass
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=refused), alone(tmp_path / "file" / "x.csv"):
        pass


def test_one_writer_at_a_time(tmp_path):
    out = tmp_path / "new" / "x.csv"
    with alone(out) as folder:
        (folder / "a.safetensors").write_text("kept")
        before = lying(tmp_path)
        sentence = rf"x\.csv is taken: another run \(process {os.getpid()}\) is writing to it; wait for that one, or"
        with pytest.raises(ValueError, match=sentence), alone(out):
            raise AssertionError
        assert lying(tmp_path) == before
        with alone(out.with_name("y.csv")):  # another file, the same folder
            pass
    assert lying(tmp_path) == {out.parent: "a folder", folder: "a folder", folder / "a.safetensors": "kept"}
    (folder / "b.safetensors").mkdir()
    with alone(out, fresh=True):
        assert [path.name for path in folder.iterdir()] == ["lock"]
    assert lying(out.parent) == {}
    with pytest.raises(ZeroDivisionError), alone(tmp_path / "b" / "c" / "x.csv"):  # folders made for nothing go
        raise ZeroDivisionError
    assert lying(tmp_path) == {out.parent: "a folder"}


HOLD = "import sys, time; from pathlib import Path; from hfkd.outputs import alone\n" \
       "with alone(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"  # fmt: skip


def test_the_lock_of_a_killed_process_is_nobodys(tmp_path):
    out = tmp_path / "x.csv"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(ValueError, match=rf"\(process {other.pid}\)"), alone(out):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert (tmp_path / "x.csv.checkpoints" / "lock").exists()
    (tmp_path / ".x.csv.1.tmp").mkdir()
    (tmp_path / "x.csv.checkpoints" / ".a.safetensors.1.tmp").write_text("half")
    (tmp_path / ".y.csv.1.tmp").mkdir()  # of another file: perhaps still being written
    with alone(out):
        assert sorted(path.name for path in tmp_path.rglob("*")) == [".y.csv.1.tmp", "lock", "x.csv.checkpoints"]
    assert [path.name for path in tmp_path.rglob("*")] == [".y.csv.1.tmp"]
