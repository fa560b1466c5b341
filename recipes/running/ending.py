"""How a run ends before its time: by a signal or an error, on one process or several, in one line.

Of the processes on a machine only the first speaks. Each other one leaves a note of what ended it,
with the time, and the first tells the earliest. So it does not matter who dies first: an error that
only follows from another's, such as a lost connection, is a later one.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from types import FrameType
from typing import NoReturn

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies.launchers import subprocess_script
from lightning.pytorch.utilities.exceptions import SIGTERMException

from recipes.parts.files import is_alive
from recipes.running.messages import KNOWN, one_line
from recipes.running.printable import printable

FOLDER = "RECIPES_NOTES"  # environment variable: where the notes of a run's processes are
TERMINATED, INTERRUPTED = 128 + signal.SIGTERM, 128 + signal.SIGINT  # exit statuses
# Seconds that a process has to end by itself when it was told to, or when another one has failed;
# the first one, which waits for those that it has started, has twice as many.
PATIENCE = 3.0
LOOK = 0.25  # seconds between two looks at the notes
os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # which is the parent's


@dataclass(frozen=True)
class Note:
    """What ended a process.

    Attributes:
        time: of this machine's monotonic clock, seconds
        status: that it exits with
        line: what to tell the user; empty for a signal
    """

    time: float
    status: int
    line: str

    @classmethod
    def of(cls, error: BaseException, command: Sequence[str] = ()) -> "Note":
        """What an error means for the process that it ends, now.

        Args:
            error: what was raised
            command: the arguments of the process, as typed
        """
        if isinstance(error, SIGTERMException):
            return cls(time.monotonic(), TERMINATED, "")
        causes = (error, error.__context__)  # Lightning makes an exit of a KeyboardInterrupt
        if any(isinstance(cause, KeyboardInterrupt) for cause in causes):
            return cls(time.monotonic(), INTERRUPTED, "")
        return cls(time.monotonic(), 1, printable(one_line(error, command=command)))


def local_rank() -> int:
    """The number of this process on its machine, as Lightning, torchrun or SLURM count."""
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or 0)


def shared_folder() -> Path | None:
    """Where the notes of this run's processes on this machine are; None if this started alone.

    Lightning's first process hands it down. Those that torchrun or SLURM start have one parent, and
    other numbers after a restart.
    """
    if given := os.environ.get(FOLDER):
        return Path(given)
    names = ("TORCHELASTIC_RUN_ID", "SLURM_PROCID", "LOCAL_RANK")
    if not any(name in os.environ for name in names):
        return None
    machine = ("GROUP_RANK", "SLURM_NODEID", "NODE_RANK")
    start = ("TORCHELASTIC_RESTART_COUNT", "SLURM_STEP_ID", "SLURM_RESTART_COUNT", "MASTER_PORT")
    names = (*machine, *start)
    numbers = [str(os.getppid()), *(os.environ.get(name, "") for name in names)]
    folder = Path(tempfile.gettempdir(), "-".join(["recipes", *numbers]))
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


class Ending(Callback):
    """What ends this process before its time, and what ends with it.

    As a callback it notes an error when it is raised, before anything is torn down for it.

    Args:
        command: the arguments of the process, as typed
    """

    def __init__(self, command: Sequence[str] = ()) -> None:
        self.command = command
        self.rank, self.is_over = local_rank(), threading.Event()
        self.note: Note | None = None  # of this process
        self.cause: Note | None = None  # of the run, as far as the first process knows
        self.processes: list = []  # that this one has started
        self._share(shared_folder())

    def __deepcopy__(self, memo: dict[int, object]) -> "Ending":
        """Itself: a process has one, which copies of what it trains lead to, too."""
        return self

    def _share(self, folder: Path | None) -> None:
        self.folder = folder
        if folder and not self.rank:
            (folder / "first").write_text(str(os.getpid()))

    # Notes.

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.write(exception)

    def write(self, error: BaseException) -> Note:
        """Notes what ended this process; what follows from that is no news."""
        if self.note is None:
            self.note = Note.of(error, self.command)
            if self.folder:
                partial = self.folder / f"{self.rank}-{os.getpid()}.partial"
                with suppress(OSError):  # the first process has ended, and removed the folder
                    partial.write_text(json.dumps(astuple(self.note)))
                    partial.rename(partial.with_suffix(".json"))
        return self.note

    def earliest(self) -> Note | None:
        """What ended a process of this run first, if anything has."""
        found = self.folder.glob("*.json") if self.folder else ()
        notes = [Note(*json.loads(path.read_text())) for path in found]
        return min(notes, key=lambda note: note.time, default=self.note)

    def killed(self) -> Note | None:
        """Of the started processes, one that has died without a word."""
        for process in self.processes:
            if (status := process.poll()) is not None and status < 0:
                name = signal.Signals(-status).name
                said = f"process {process.pid} of this run was ended by {name}"
                return Note(0.0, 1, said) if name != "SIGTERM" else Note(0.0, TERMINATED, "")
        return None

    # Signals.

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Within it SIGTERM raises SIGTERMException at once, wherever the process is.

        If that has not ended the process after a while, since it waits for another one or computes
        something long, it is ended all the same.
        """
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread is told of signals
            return
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        before = signal.signal(signal.SIGTERM, self._terminate)
        wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._enforce, args=(reader,), daemon=True).start()
        try:
            yield
        finally:
            self.is_over.set()
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGTERM, before)
            os.close(writer)

    def _terminate(self, number: int, frame: FrameType | None) -> NoReturn:
        error = SIGTERMException()
        self.write(error)
        raise error

    def _enforce(self, reader: int) -> None:
        while told := os.read(reader, 1):
            if told[0] == signal.SIGTERM and not self.is_over.wait(self._patience()):
                self._end_now(Note(0.0, TERMINATED, ""))
        os.close(reader)

    def _patience(self) -> float:
        return PATIENCE if self.rank else 2 * PATIENCE

    # Several processes.

    @contextmanager
    def together(self, trainer: Trainer) -> Iterator[None]:
        """Within it the processes of a run on this machine end together.

        Args:
            trainer: of the run
        """
        launcher = trainer.strategy.launcher
        # Lightning answers SIGTERM by talking to the other processes, wherever they are, and asks
        # the first one in every batch. Its observer kills this process, too, soon after another's
        # death, whatever it is about to say.
        trainer._signal_connector._sigterm_notifier_fn = lambda number, frame: None
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None
        observer = subprocess_script._launch_process_observer
        subprocess_script._launch_process_observer = self.processes.extend
        if trainer.world_size > 1 and not self.rank:
            if self.folder is None:
                self._share(Path(tempfile.mkdtemp(prefix="recipes-")))
                os.environ[FOLDER] = str(self.folder)
            threading.Thread(target=self._watch, daemon=True).start()
        try:
            yield
        except BaseException as error:
            self.cause = self._cause(error)
            if launcher is not None:
                launcher.kill(signal.SIGTERM)
            self._outlive()
            raise
        finally:
            subprocess_script._launch_process_observer = observer

    def _cause(self, error: BaseException) -> Note:
        """What ended the run: the earliest note, or a death that this error follows from."""
        mine = self.write(error)
        # After Ctrl-C Lightning itself kills those that it has started.
        told = isinstance(error, KNOWN) or mine.status == INTERRUPTED
        until = time.monotonic() + (0 if told or not self.processes else 1)
        while time.monotonic() < until and self.earliest() == mine:
            if killed := self.killed():
                return killed
            time.sleep(0.05)
        return self.earliest() or mine

    def _outlive(self) -> None:
        """Ends what this process has started and told to end."""
        until = time.monotonic() + 1.5 * PATIENCE
        for process in self.processes:
            with suppress(TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            process.kill()

    def _watch(self) -> None:
        """Ends this process when another has failed and it waits for that one in vain."""
        while not self.is_over.wait(LOOK):
            note = self.earliest() or self.killed()
            if note and not self.is_over.wait(self._patience()):
                self._end_now(note)

    def _end_now(self, note: Note) -> NoReturn:
        if note.line and not self.rank:
            print(f"error: {note.line}", file=sys.stderr, flush=True)
        for process in self.processes:
            process.kill()
        os._exit(note.status)

    def exit(self, error: BaseException) -> NoReturn:
        """Ends the process after an error, with one line for all processes of the machine.

        Raises:
            SystemExit: with the line, or 143 after SIGTERM, 130 after Ctrl-C
        """
        note = self.cause or self.write(error)
        silent = not note.line or (self.rank and self._first_tells())
        sys.exit(note.status if silent else f"error: {note.line}")

    def _first_tells(self) -> bool:
        """Whether the first process tells what has happened, or has told."""
        first = self.folder and self.folder / "first"
        if not first or not first.is_file():
            return False
        return is_alive(int(first.read_text())) or any(self.folder.glob("0-*.json"))

    def clean(self) -> None:
        """Removes the notes, unless processes that others have started may still look at them."""
        is_alone = self.note is None or FOLDER in os.environ
        if self.folder and not self.rank and is_alone:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.environ.pop(FOLDER, None)
