"""Losses of examples whose target is known, on one process and on several."""

import math
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch.nn import functional as F

from datamodules.loading.missing import MISSING, is_known
from recipes.classify import Classify
from recipes.parts.known import class_numbers, mean_of_known
from recipes.parts.labels import cross_entropies
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.regress.losses import Loss
from recipes.study.metrics import sums
from trains import seen_by


def module(processes=1):
    return SimpleNamespace(trainer=seen_by(world_size=processes), device_mesh=None)


def test_what_is_not_known_is_left_out():
    logits = torch.randn(4, 3, requires_grad=True)
    targets = torch.tensor([2, MISSING, 0, MISSING])
    mean_of_known(module(), cross_entropies(logits, targets), targets).backward()
    known = logits.detach()[[0, 2]].requires_grad_()
    F.cross_entropy(known, targets[[0, 2]]).backward()
    torch.testing.assert_close(logits.grad[[0, 2]], known.grad)
    assert not logits.grad[[1, 3]].any()


def test_where_nothing_is_known_nothing_is_learned():
    logits = torch.randn(2, 3, requires_grad=True)
    targets = torch.full((2,), MISSING)
    loss = mean_of_known(module(), cross_entropies(logits, targets), targets)
    loss.backward()
    assert loss == 0 and not logits.grad.any()


def test_the_mean_is_of_all_processes_together(monkeypatch):
    """One knows three targets of four, the other one: their own means would weigh it threefold."""
    losses = [torch.tensor([1.0, 2.0, 3.0, 0.0]), torch.tensor([10.0, 0.0, 0.0, 0.0])]
    targets = [torch.tensor([0, 0, 0, MISSING]), torch.tensor([0, MISSING, MISSING, MISSING])]
    counts = [is_known(target).sum().float() for target in targets]
    monkeypatch.setattr(dist, "all_reduce", lambda count, group: count.copy_(sum(counts)))
    found = [mean_of_known(module(2), *pair) for pair in zip(losses, targets, strict=True)]
    assert sum(found) / 2 == pytest.approx((1 + 2 + 3 + 10) / 4), "as gradients are averaged"


def test_numbers_that_are_missing_are_nan():
    assert is_known(torch.tensor([1.0, math.nan, math.inf])).tolist() == [True, False, True]
    assert is_known(torch.tensor([0, -100, MISSING])).tolist() == [True, True, False]


class Numbers(torch.utils.data.Dataset):
    """Rows of two inputs and their sum, which every other row lacks."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        inputs = torch.tensor([float(i), 1.0])
        return inputs, inputs.sum() if i % 2 else torch.tensor(math.nan)


def test_a_regression_learns_from_what_is_known_alone():
    """The step on rows of which half have a target is the step on that half."""
    found = []
    for rows in (range(8), range(1, 8, 2)):
        torch.manual_seed(0)
        network = Regress(lambda: MLP(2, [4], 1), lambda p: torch.optim.SGD(p, 0.01))
        data = torch.utils.data.Subset(Numbers(), rows)
        inputs, targets = next(iter(torch.utils.data.DataLoader(data, len(rows))))
        network.trainer = seen_by()
        network.trainer._logger_connector = SimpleNamespace(should_update_logs=False)
        network.is_first_evaluation = True
        network.training_step((inputs, targets), 0).backward()
        found.append([weight.grad for weight in network.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_members_of_a_study_are_measured_on_what_is_known_alone():
    """Each by its own rows: the sums over all rows are those over the known ones."""
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(2, 5, 2, generator=generator)
    targets = torch.randn(2, 5, generator=generator)
    unknown = targets.clone()
    unknown[0, 1] = unknown[1, 3] = unknown[1, 4] = math.nan
    found = sums(Loss("gaussian_nll"), outputs, unknown)
    for member, known in ((0, [0, 2, 3, 4]), (1, [0, 1, 2])):
        pick = (slice(member, member + 1), known)
        alone = sums(Loss("gaussian_nll"), outputs[pick], targets[pick])
        for name, value in alone.items():
            torch.testing.assert_close(found[name][member], value[0])


class Labels(torch.utils.data.Dataset):
    """Eight rows, the logits of class i % 3: right labels, a wrong one, and then none."""

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.eye(3)[i % 3], [0, 1, 2, 1, *[MISSING] * 4][i]


def test_an_evaluation_counts_what_is_known(tmp_path):
    """Also where a whole batch has no label."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(default_root_dir=tmp_path, accelerator="cpu", **quiet)
    loader = torch.utils.data.DataLoader(Labels(), 4)
    trainer.validate(Classify(torch.nn.Identity()), loader, verbose=False)
    assert trainer.callback_metrics["val/accuracy"] == 3 / 4
    assert trainer.callback_metrics["val/errors"] == 1


def test_the_class_of_a_soft_target_is_its_largest_share():
    nan = torch.nan
    targets = torch.tensor([[0.2, 0.8, 0.0], [nan, nan, nan], [1.0, 0.0, 0.0]])
    assert class_numbers(targets).tolist() == [1, MISSING, 0]
    numbers = torch.tensor([2, MISSING])
    assert class_numbers(numbers) is numbers


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_soft_targets_is_the_mean_of_both_classes(smoothing):
    """Weighted by their shares; what is not known costs nothing, and moves no logit."""
    logits = torch.randn(4, 3, requires_grad=True)
    one, two, own = torch.tensor([0, 1, 2, 0]), torch.tensor([1, 1, 0, 2]), torch.rand(4)
    shares = own[:, None] * F.one_hot(one, 3) + (1 - own)[:, None] * F.one_hot(two, 3)
    expected = own * cross_entropies(logits, one, smoothing)
    expected = expected + (1 - own) * cross_entropies(logits, two, smoothing)
    torch.testing.assert_close(cross_entropies(logits, shares, smoothing), expected)
    shares[1] = torch.nan
    losses = cross_entropies(logits, shares, smoothing)
    assert losses[1] == 0
    mean_of_known(module(), losses, class_numbers(shares)).backward()
    assert logits.grad.isfinite().all() and (logits.grad[1] == 0).all()
    assert logits.grad[0].abs().sum() > 0
