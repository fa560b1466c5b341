"""Hooks that a callback inherits from Callback are not called, as Lightning calls each of them."""

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.profilers import Profiler

import recipes.running.assembly
from recipes.regress import Regress
from recipes.running.cli import main
from recipes.running.idle_hooks import HOOKS, leave_out_idle_hooks

SHORT = ("--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--trainer.logger=false")


class Actions(Profiler):
    """What Lightning has done, by its names: [Callback]EMA.on_train_batch_end."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def start(self, action_name):
        self.names.add(action_name)

    def stop(self, action_name):
        pass


class Watch(Callback):
    """Has one hook of a batch, and another as an attribute."""

    def __init__(self):
        self.actions, self.ends, self.backwards = Actions(), 0, 0
        self.on_before_backward = self.count

    def setup(self, trainer, pl_module, stage):
        trainer.profiler = self.actions

    def count(self, *args):
        self.backwards += 1

    def on_train_batch_end(self, *args):
        self.ends += 1


def hooks_of_a_fit():
    """The hooks of a batch that were called, with their callbacks."""
    watch = Watch()
    main(Regress, ["fit", *SHORT, "--trainer.enable_progress_bar=false"], [watch])
    assert watch.ends == watch.backwards == 2
    named = [name.removeprefix("[Callback]").rsplit(".", 1) for name in watch.actions.names]
    return {(key.partition("{")[0], hook) for key, *hook in named for hook in hook if hook in HOOKS}


@pytest.mark.usefixtures("undrawn")
def test_only_hooks_that_a_callback_has_are_called(monkeypatch):
    called = hooks_of_a_fit()
    assert {("Watch", "on_train_batch_end"), ("Watch", "on_before_backward")} <= called
    assert ("FiniteLoss", "on_train_batch_end") in called
    assert ("Watch", "on_train_batch_start") not in called
    assert ("ClassReport", "on_before_zero_grad") not in called
    monkeypatch.setattr(recipes.running.assembly, "leave_out_idle_hooks", lambda callback: None)
    every = hooks_of_a_fit()
    assert called < every and len(every) > 2 * len(called), "as Lightning does"


def test_a_hook_of_a_base_class_of_ones_own_stays():
    class Own(Watch):
        def on_test_batch_start(self, *args):
            super().on_test_batch_start(*args)

    callback = Own()
    leave_out_idle_hooks(callback)
    assert callback.on_validation_batch_end is None
    callback.on_train_batch_end()
    callback.on_before_backward()
    callback.on_test_batch_start(None, None, None, 0)
    assert callback.ends == callback.backwards == 1
