"""What is done when training ends: once, on the device that trained, also where nothing is left."""

from lightning.pytorch.strategies import Strategy
from torch import nn

from callbacks.at_end import AtEnd
from datamodules import Digits
from recipes.classify import Classify
from trains import fit


class Noted(AtEnd):
    def __init__(self, events):
        self.events = events

    def at_end(self, trainer, pl_module):
        self.events.append("at end")


def trained(tmp_path, events, **how):
    module = Classify(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    return fit(module, Digits(batch_size=359), tmp_path, [Noted(events)], **how)[1]


def test_it_is_done_once_while_the_weights_are_where_they_were_trained(tmp_path, monkeypatch):
    """Lightning takes them to the CPU before a fit's own end."""
    events, teardown = [], Strategy.teardown
    monkeypatch.setattr(
        Strategy, "teardown", lambda self: [events.append("to the CPU"), teardown(self)]
    )
    trained(tmp_path, events)
    assert events == ["at end", "to the CPU"]


def test_it_is_done_where_nothing_is_left_to_train_but_not_where_nothing_was_trained(tmp_path):
    events = []
    trained(tmp_path, events).save_checkpoint(tmp_path / "end.ckpt")
    trained(tmp_path, events, resume=tmp_path / "end.ckpt")
    assert events == ["at end"] * 2
    trained(tmp_path, events, max_epochs=0)
    trained(tmp_path, events, limit_train_batches=0)
    assert events == ["at end"] * 2
