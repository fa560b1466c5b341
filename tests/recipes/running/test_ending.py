"""How runs end before their time: signals, several processes, one line."""

import signal
import time
from pathlib import Path
from subprocess import Popen

import pytest
import torch

from forks import Forked, ended_well, ranks, send, until
from marks import slow, some
from recipes.running.ending import Ending
from trains import rows

TWO = ("--config=ddp", "--data.batch_size=32")
LONG = ("--trainer.max_epochs=400", "--trainer.enable_progress_bar=false")
SMALL = ("--model.network=MLP", "--model.network.inputs=64", "--model.network.widths=[16]")
LIMIT = 10  # seconds from a signal to the end of every process; imports are not in it


def is_alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def started(name, *flags):
    """Two processes that train and have saved, as Lightning starts them: both their numbers."""
    config = ("--config=digits", *TWO, f"--name={name}", *LONG, *SMALL)
    note = ("--trainer.callbacks+=kills.Kill", "--trainer.callbacks.rank=0")
    first = Forked("recipes.classify", "fit", *config, *note, "--trainer.callbacks.step=-1", *flags)
    until(Path(f"runs/classify/{name}/checkpoints/last.ckpt").exists)
    return first, int(until(Path("pid-1").read_text))  # not while it is being written


@pytest.mark.parametrize("to", ["group", "first", "second"])
@pytest.mark.slow  # Lightning starts the second process by a fresh interpreter
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_every_process_and_the_run_can_go_on(sent, status, to):
    first, second = started("cut")
    time.sleep(0.3)
    told = time.monotonic()
    if to != "second":
        first.send_signal(sent)
    if to != "first":
        send(sent, second)
    assert first.wait() == status
    until(lambda: not is_alive(second))
    assert time.monotonic() - told < LIMIT
    assert "error" not in first.output()
    checkpoint = "runs/classify/cut/checkpoints/last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["epoch"] >= 0


@pytest.mark.parametrize("to", some([[0], [1], [0, 1]], 2))
def test_a_termination_signal_ends_processes_that_something_else_has_started(to):
    """As torchrun and SLURM do, by ranks in the environment; each ends with 143."""
    flags = ("--config=digits", *TWO, "--name=cut", *LONG, *SMALL)
    both = ranks(2, "recipes.classify", "fit", *flags)
    until(Path("runs/classify/cut/checkpoints/last.ckpt").exists)
    told = time.monotonic()
    for rank in to:
        both[rank].send_signal(signal.SIGTERM)
    assert [process.wait() for process in both] == [143, 143]
    assert time.monotonic() - told < LIMIT


SLOW = """
import time
from lightning.pytorch import Callback

class Slow(Callback):
    def __init__(self, where):
        self.where = where

    def _wait(self):
        open("there", "w").close()
        for _ in range(600):
            time.sleep(0.1)

    def on_validation_batch_start(self, trainer, *args):
        if self.where == "validation" and not trainer.sanity_checking:
            self._wait()

    def on_test_batch_start(self, trainer, *args):
        if self.where == "test":
            self._wait()

    def on_predict_batch_start(self, trainer, *args):
        if self.where == "predict":
            self._wait()

    def on_validation_epoch_end(self, trainer, module):
        if self.where == "compute":
            open("there", "w").close()
            import torch
            for _ in range(100):  # a second each, in which Python hears no signal
                torch.randn(2600, 2600) @ torch.randn(2600, 2600)

    on_test_epoch_end = on_validation_epoch_end

    def setup(self, trainer, module, stage):
        if self.where == "setup":
            self._wait()
"""


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("fit", "setup"),
        ("fit", "validation"),
        ("fit", "compute"),
        ("test", "test"),
        ("test", "compute"),
        slow("validate", "compute"),
        slow("predict", "predict"),
    ],
)
def test_a_termination_signal_is_answered_anywhere(recipe, command, where):
    Path("slow.py").write_text(SLOW)
    flags = ["--trainer.callbacks+=slow.Slow", f"--trainer.callbacks.where={where}"]
    if command != "fit":
        recipe("classify", "fit", "--name=mine", *SMALL, "--trainer.max_epochs=1")
        flags.append("--ckpt_path=runs/classify/mine/checkpoints/last.ckpt")
    process = Forked("recipes.classify", command, *flags)
    until(Path("there").exists)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143 and time.monotonic() - told < LIMIT


TEACHER = """
import time
from recipes.parts.networks import MLP

class Slow(MLP):
    def forward(self, inputs):
        open("there", "w").close()
        for _ in range(100):
            time.sleep(0.1)
        return super().forward(inputs)
"""


def test_a_termination_signal_is_answered_while_a_teacher_is_asked_for_the_cache():
    Path("teachers.py").write_text(TEACHER)
    flags = ("--model.teacher=teachers.Slow", "--model.teacher.inputs=64")
    flags += ("--model.teacher.widths=[8]", "--model.scheme=frozen")
    process = Forked("recipes.distill", "fit", "--name=mine", *flags)
    until(Path("there").exists)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143 and time.monotonic() - told < LIMIT
    assert not Path("runs").exists(), "nothing has been trained"


@pytest.mark.slow
def test_what_does_not_hear_the_signal_is_ended_all_the_same():
    """Python swallows what is raised while it collects garbage; here it is swallowed by hand."""
    Path("deaf.py").write_text(
        "from slow import Slow\n\nclass Deaf(Slow):\n    def _wait(self):\n        try:\n"
        "            super()._wait()\n        except BaseException:\n            super()._wait()\n"
    )
    Path("slow.py").write_text(SLOW)
    flags = ("--trainer.callbacks+=deaf.Deaf", "--trainer.callbacks.where=setup")
    process = Forked("recipes.classify", "fit", *flags)
    until(Path("there").exists)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143 and time.monotonic() - told < LIMIT


def test_ctrl_c_ends_with_130_and_says_how_to_go_on():
    process = Forked("recipes.classify", "fit", *LONG, *SMALL)
    checkpoint = Path("runs/classify/digits-1/checkpoints/last.ckpt")
    until(checkpoint.exists)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert f"resume with: fit --ckpt_path={checkpoint}" in process.output()
    assert "Traceback" not in process.output()


def test_a_process_that_lightning_kills_after_ctrl_c_is_no_news():
    """Before this one looks what has ended the run, or after."""
    ending, killed = Ending(), Popen(["sleep", "60"])
    killed.kill()
    killed.wait()
    ending.processes = [killed]
    error = SystemExit(1)
    error.__context__ = KeyboardInterrupt()
    assert ending._cause(error).status == 130
    lost = Ending()
    lost.processes = [killed]
    assert lost._cause(RuntimeError("Connection closed by peer")).line.endswith("by SIGKILL")


def test_a_terminated_run_resumes_identically(recipe):
    flags = ("--trainer.max_epochs=12", *SMALL)
    recipe("classify", "fit", "--name=whole", *flags)
    process = Forked("recipes.classify", "fit", "--name=cut", *flags)
    until(Path("runs/classify/cut/checkpoints/last.ckpt").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait() in (0, 143)  # it may have come to its end
    recipe("classify", "fit", "--ckpt_path=runs/classify/cut/checkpoints/last.ckpt")
    assert rows(Path("runs/classify/cut")) == rows(Path("runs/classify/whole"))


FAULT = """
import time
import torch.distributed as dist
from lightning.pytorch import Callback

class Fault(Callback):
    # Raises a mistake of the user's on some ranks, after a while of each; the others wait for them.
    def __init__(self, ranks, delays):
        self.ranks, self.delays = ranks, delays

    def on_train_start(self, trainer, module):
        time.sleep(self.delays[trainer.global_rank])
        if trainer.global_rank in self.ranks:
            raise ValueError("--data.path=mine: it is damaged")
        dist.barrier()
"""


MISTAKES = [  # who makes it, and the seconds after which each does
    ([0, 1], [0, 0]),
    ([0, 1], [1, 0]),
    ([0, 1], [0, 1]),
    ([0], [0, 0]),
    ([0], [1, 0]),
    ([1], [0, 0]),
    ([1], [0, 1]),
]


@pytest.mark.parametrize(
    ("launch", "who", "delays"),
    [
        *(("external", *mistake) for mistake in MISTAKES[::4]),
        *(slow("external", *mistake) for number, mistake in enumerate(MISTAKES) if number % 4),
        *(slow("lightning", *mistake) for mistake in MISTAKES),
    ],
)
def test_two_processes_and_one_mistake_are_one_line(launch, who, delays):
    """Whoever makes it, and whoever dies first."""
    Path("fault.py").write_text(FAULT)
    flags = ("--trainer.callbacks+=fault.Fault", f"--trainer.callbacks.ranks={who}")
    flags += (f"--trainer.callbacks.delays={delays}", "--config=digits", *TWO, *SMALL)
    if launch == "lightning":
        processes = [Forked("recipes.classify", "fit", *flags)]
    else:
        processes = ranks(2, "recipes.classify", "fit", *flags)
    assert [process.wait() for process in processes] == [1] * len(processes)
    output = "".join(process.output() for process in processes)
    said = [line for line in output.splitlines() if "rror" in line or "GLHF" in line]
    assert said == ["error: --data.path=mine: it is damaged"]


@pytest.mark.slow
def test_a_process_that_was_killed_is_named():
    flags = ("--trainer.callbacks+=kills.Kill", "--trainer.callbacks.rank=1")
    flags += ("--trainer.callbacks.step=4", "--config=digits", *TWO, *SMALL)
    first = Forked("recipes.classify", "fit", *flags)
    assert first.wait() == 1
    (line,) = [line for line in first.output().splitlines() if "rror" in line]
    number = Path("pid-1").read_text()
    assert line == f"error: process {number} of this run was ended by SIGKILL"


def test_a_mistake_that_all_make_before_they_meet_is_one_line():
    both = ranks(2, "recipes.classify", "fit", "--model.label_smoothing=2")
    assert [process.wait() for process in both] == [1, 1]
    output = "".join(process.output() for process in both)
    assert output.count("error: --model.label_smoothing") == 1


def test_nothing_is_left_of_the_notes(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "notes"))
    Path("notes").mkdir()
    ended_well(*ranks(2, "recipes.classify", "fit", *TWO, *SMALL, "--trainer.max_epochs=1"))
    assert not list(Path("notes").glob("recipes-*"))


def test_what_is_trained_can_be_copied(recipe):
    """Lightning's weight averaging copies the module, and with it all that it leads to."""
    average = ("--trainer.callbacks=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.1")
    recipe("classify", "fit", *average, *SMALL, "--trainer.max_epochs=2")
