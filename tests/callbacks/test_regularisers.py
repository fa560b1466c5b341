"""L1, Prune and GradientClip against their definitions and torch's own."""

import shutil

import pytest
import torch
from lightning.pytorch import Callback, LightningModule
from torch import nn
from torch.nn.utils import prune

from callbacks import EMA, L1, Export, GradientClip, Prune, Unfreeze
from callbacks.prune import sparsity
from marks import slow
from recipes.parts.networks import MLP
from recipes.running.cli import main
from stepped.module import Automatic, Manual
from trains import digits, fit, weights


class Network(LightningModule):
    """Two layers, and what their weights were after every batch."""

    def __init__(self, make=lambda params: torch.optim.SGD(params, 0.1, momentum=0.9)):
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 2))
        self.make, self.seen = make, []
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(24, 6, generator=generator)
        self.targets = torch.randn(24, 2, generator=generator)

    def training_step(self, batch, batch_idx):
        return (self.network(self.inputs) - self.targets).square().mean()

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.seen.append(weights(self.network))

    def configure_optimizers(self):
        return self.make(self.parameters())

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(40, 1))


class Lasso(LightningModule):
    """1/2 |w - b|^2: with a penalty of s |w|, its minimum is sign(b) max(0, |b| - s)."""

    def __init__(self, optimizer):
        super().__init__()
        self.w = nn.Parameter(torch.ones(1, 6))
        self.bias = nn.Parameter(torch.ones(6))
        self.register_buffer("b", torch.tensor([[-2.0, -0.4, -0.1, 0.0, 0.3, 3.0]]))
        self.optimizer, self.seen = optimizer, []

    def training_step(self, batch, batch_idx):
        return (self.w - self.b).square().sum() / 2 + (self.bias - self.b).square().sum() / 2

    def on_train_batch_end(self, outputs, batch, batch_idx):
        self.seen.append(self.w.detach().clone())

    def configure_optimizers(self):
        return self.optimizer(self.parameters())

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(400, 1))


def soft(values, threshold):
    return values.sign() * (values.abs() - threshold).clamp(min=0)


def test_l1_finds_the_lasso_and_its_zeros(tmp_path):
    module, _ = fit(Lasso(lambda p: torch.optim.SGD(p, 0.1)), None, tmp_path, [L1(0.35)])
    torch.testing.assert_close(module.w, soft(module.b, 0.35))
    assert torch.equal(module.w == 0, soft(module.b, 0.35) == 0), "exactly zero"
    torch.testing.assert_close(module.bias, module.b[0]), "which is no matrix"


@pytest.mark.parametrize("accumulate", [1, 4])
def test_l1_is_the_proximal_gradient_iteration(tmp_path, accumulate):
    """Also under accumulation: once a step, and not once a batch."""
    module, _ = fit(
        Lasso(lambda p: torch.optim.SGD(p, 0.1)),
        None,
        tmp_path,
        [L1(0.35, module="")],
        accumulate_grad_batches=accumulate,
        limit_train_batches=20,
    )
    w = torch.ones(1, 6)
    for t, seen in enumerate(module.seen, 1):
        if t % accumulate == 0:
            w = soft(w - 0.1 * (w - module.b), 0.1 * 0.35)
        torch.testing.assert_close(seen, w)


def test_a_penalty_in_the_loss_makes_no_zeros(tmp_path):
    """The negative control: what the proximal step is for."""

    class Penalised(Lasso):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) + 0.35 * self.w.abs().sum()

    module, _ = fit(Penalised(lambda p: torch.optim.Adam(p, 0.1)), None, tmp_path)
    expected = soft(module.b, 0.35)
    assert (expected == 0).sum() == 3 and not (module.w == 0).any()


@pytest.mark.parametrize("callback", [L1(0.1, module="student"), Prune(0.5, module="student")])
def test_a_module_that_is_not_there_is_refused(tmp_path, callback):
    with pytest.raises(ValueError, match="module=student: there is no such module, but network"):
        fit(Network(), None, tmp_path, [callback])


def test_sparsity_is_its_equation():
    """Zhu & Gupta 2018, equation 1."""
    for step in range(60):
        t = min(max(step, 10), 50)
        expected = 0.9 + (0.0 - 0.9) * (1 - (t - 10) / (50 - 10)) ** 3
        assert sparsity(step, 10, 50, 0.9) == pytest.approx(expected, abs=1e-12)


def test_pruned_training_is_that_of_torchs_reparametrisation(tmp_path):
    options = {"final": 0.8, "start": 4, "end": 30, "every": 3}
    module, _ = fit(Network(), None, tmp_path, [Prune(**options)])

    other = Network()
    layers = [(layer, "weight") for layer in other.network if isinstance(layer, nn.Linear)]
    optimizer = other.configure_optimizers()
    total, done = sum(layer.weight.numel() for layer, _ in layers), 0
    for t, seen in enumerate(module.seen, 1):
        optimizer.zero_grad()
        other.training_step(None, 0).backward()
        optimizer.step()
        if 4 <= t <= 30 and ((t - 4) % 3 == 0 or t == 30):
            count = round(sparsity(t, 4, 30, 0.8) * total)
            # Left to itself, it judges the weights of before the update.
            sizes = {
                (layer, name): getattr(layer, "weight_orig", layer.weight).detach()
                for layer, name in layers
            }
            rule = prune.L1Unstructured
            prune.global_unstructured(layers, rule, sizes, amount=count - done)
            done = count
        masks = [getattr(layer, "weight_mask", torch.ones(())) for layer, _ in layers]
        origs = [getattr(layer, "weight_orig", layer.weight) for layer, _ in layers]
        (a, b), (first, last) = [o * m for o, m in zip(origs, masks, strict=True)], layers
        expected = torch.cat([a.flatten(), first[0].bias, b.flatten(), last[0].bias])
        torch.testing.assert_close(seen, expected.detach(), rtol=1e-5, atol=1e-6)
    pruned = sum(int((module.network[i].weight == 0).sum()) for i in (0, 2))
    assert pruned == round(0.8 * total) == 64


def test_only_what_is_trained_is_pruned_and_counted(tmp_path):
    class Half(Network):
        def configure_optimizers(self):
            self.network[0].requires_grad_(False)
            return self.make(self.network[2].parameters())

    module, _ = fit(Half(), None, tmp_path, [Prune(0.5, end="50%")])
    assert (module.network[0].weight != 0).all()
    assert (module.network[2].weight == 0).sum() == 10


def test_what_stands_still_is_not_pruned_though_an_optimizer_has_it(tmp_path):
    class Half(Network):
        def configure_optimizers(self):
            self.network[0].requires_grad_(False)
            return self.make(self.parameters())

    module, _ = fit(Half(), None, tmp_path, [Prune(0.5, end="50%")])
    assert (module.network[0].weight != 0).all()
    assert (module.network[2].weight == 0).sum() == 10


def test_what_is_frozen_is_pruned_once_it_learns(tmp_path):
    module = Network()
    start = module.network[0].weight.clone()
    unfreeze = Unfreeze({"2": 0, "0": 30}, module="network")
    prune, settled = Prune(0.5, end=20, every=1), []
    note = Callback()
    note.on_train_batch_end = lambda *args: settled.append(prune.is_settled)
    fit(module, None, tmp_path, [unfreeze, prune, note])
    assert settled == [False] * 30 + [True] * 10
    first, second = slice(0, 60), slice(70, 90)  # the weights of layers 0 and 2
    assert torch.equal(module.seen[29][first], start.flatten())
    assert (module.seen[29][second] == 0).sum() == 10
    assert sum(int((module.seen[39][each] == 0).sum()) for each in (first, second)) == 40


def test_what_is_never_trained_is_not_waited_for(tmp_path):
    unfreeze, prune = Unfreeze({"2": 0}, module="network"), Prune(0.5, end=20, every=1)
    fit(Network(), None, tmp_path, [unfreeze, prune])
    assert prune.is_settled and len(prune.masks) == 1


def test_a_run_that_ends_its_pruning_at_once_is_pruned(tmp_path):
    module, _ = fit(Network(), None, tmp_path, [Prune(0.5, start=0, end=0)])
    assert sum(int((module.network[i].weight == 0).sum()) for i in (0, 2)) == 40
    with pytest.raises(ValueError, match=r"Prune's start=90% is after its end=75%"):
        fit(Network(), None, tmp_path, [Prune(0.5, start="90%")])


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_exported_is_pruned_also_of_an_average(tmp_path, order):
    callbacks = [EMA("network", 5), Prune(0.5, end="50%"), Export("network")][::order]
    module, _ = fit(Network(lambda p: torch.optim.Adam(p, 0.01)), None, tmp_path, callbacks)
    exported = torch.load(tmp_path / "network.pt", weights_only=True)
    assert exported.keys() == module.network.state_dict().keys()
    zeros = sum(int((exported[f"{i}.weight"] == 0).sum()) for i in (0, 2))
    assert zeros == 40 and (exported["0.bias"] != 0).all()
    for i in (0, 2):
        raw = module.network[i].weight
        assert torch.equal(raw == 0, exported[f"{i}.weight"] == 0)
        assert not torch.equal(raw, exported[f"{i}.weight"])


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_clipping_is_lightnings_under_automatic_optimization(tmp_path, algorithm):
    trained = []
    for callbacks, trainer in (
        ([GradientClip(0.05, algorithm)], {}),
        ([], {"gradient_clip_val": 0.05, "gradient_clip_algorithm": algorithm}),
        ([], {}),
    ):
        module, _ = fit(Network(), None, tmp_path, callbacks, **trainer)
        trained.append(weights(module.network))
    assert torch.equal(trained[0], trained[1]) and not torch.equal(trained[0], trained[2])


def trained(module, *flags):
    """The weights after the command line has trained it."""
    main(module, ["fit", f"--name={module.__name__}", *flags])
    path = f"runs/stepped/{module.__name__}/checkpoints/last.ckpt"
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.parametrize("algorithm", ["norm", slow("value")])
def test_the_trainers_clipping_flag_works_under_manual_optimization(monkeypatch, algorithm):
    """By value, since by norm each optimizer clips its own; and the flag changes something."""
    monkeypatch.setenv("RECIPES_DEBUG", "1")
    flags = ["--model.one.dropout=0", "--trainer.max_epochs=1"]
    clip = ["--trainer.gradient_clip_val=0.001", f"--trainer.gradient_clip_algorithm={algorithm}"]
    manual, free = trained(Manual, *flags, *clip), trained(Automatic, *flags)
    shutil.rmtree("runs/stepped/Automatic")
    automatic = trained(Automatic, *flags, *clip)
    close = [torch.allclose(manual[key], value, atol=1e-6) for key, value in automatic.items()]
    assert all(close) or algorithm == "norm"
    assert not any(torch.equal(manual[key], value) for key, value in free.items())


def test_lightning_refuses_the_flag_there(tmp_path):
    """The negative control."""
    with pytest.raises(Exception, match="gradient clipping is not supported for manual"):
        fit(Manual(MLP(64, [4]), MLP(64, [4])), digits(), tmp_path, gradient_clip_val=0.01)
