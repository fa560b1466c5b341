"""Losses are computed in the network's own floating type, and in float32 under mixed precision."""

import copy
import math

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn, optim
from torch.nn import functional as F

from datamodules import Diabetes
from recipes.classify import Classify
from recipes.distill import Distill
from recipes.distill.losses import DIST, DKD, KD, StandardizedKD
from recipes.gan import GAN
from recipes.gan.losses import LOSSES, Loss
from recipes.parts.networks import MLP
from recipes.regress import Regress
from recipes.study import Study
from recipes.study.finalists import training_metrics
from recipes.study.search import Grid
from trains import digits, fit


def still(params):
    return optim.SGD(params, lr=0.0)


def student(outputs=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))


def logged(module, data, tmp_path, precision="64-true"):
    """The terms that a step and a validation have logged; the weights stay as they are."""
    flags = {"limit_train_batches": 1, "log_every_n_steps": 1, "precision": precision}
    _, trainer = fit(module, data, tmp_path, logger=True, **flags)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}


def tables(data):
    """The first training batch, and all of the validation data, in float64."""
    images, targets = next(iter(data.train_dataloader()))
    batches = {"train": (images.double() / 16, targets)}
    images, targets = data.tables["val"].gather(torch.arange(360), 0)
    return batches | {"val": (images.double() / 16, targets)}


def test_a_classifier_s_loss_is_float64s(tmp_path):
    module, data = Classify(student(), still, label_smoothing=0.1), digits()
    found = logged(module, data, tmp_path)
    batches = tables(data)
    for split, smoothing in (("train", 0.1), ("val", 0.0)):
        inputs, targets = batches[split]
        with torch.no_grad():
            logits = copy.deepcopy(module.network).double()(inputs)
        loss = F.cross_entropy(logits, targets, label_smoothing=smoothing).item()
        assert found[f"{split}/loss"] == pytest.approx(loss, rel=1e-12)
    right = (logits.argmax(1) == targets).double().mean().item()
    assert found["val/accuracy"] == pytest.approx(right, rel=1e-12)


def kl(student, teacher):
    """sum p (log p - log q), from probabilities."""
    p, q = teacher.softmax(1), student.softmax(1)
    return (p * (p / q).log()).sum(1).mean().item()


@pytest.mark.parametrize("scheme", ["frozen", "online", "mutual"])
@pytest.mark.parametrize("loss", [KD, DKD, DIST, StandardizedKD])
def test_a_student_s_loss_is_float64s(tmp_path, scheme, loss):
    options = {"scheme": scheme, "loss": loss(), "control": True, "optimizer": still}
    module = Distill(student(), student(), **options)
    data, teacher = digits(), module.teacher
    teacher = teacher.network if scheme == "frozen" else teacher
    found = logged(module, data, tmp_path)
    inputs, targets, *_ = tables(data)["train"]
    logits, others = (n.double()(inputs).detach() for n in (module.student, teacher))
    hard = F.cross_entropy(logits, targets).item()
    soft = loss()(logits, others, targets, 4.0).item()
    if loss is KD:  # whose own definition
        assert soft == pytest.approx(16 * kl(logits / 4, others / 4), rel=1e-12)
    assert found["train/soft"] == pytest.approx(soft, rel=1e-12)
    assert found["train/hard"] == pytest.approx(hard, rel=1e-12)
    assert found["train/control"] == pytest.approx(hard, rel=1e-12)
    assert found["train/loss"] == pytest.approx(0.9 * soft + 0.1 * hard, rel=1e-12)
    if scheme == "online":
        alone = F.cross_entropy(others, targets).item()
        assert found["train/teacher"] == pytest.approx(alone, rel=1e-12)


class Scores(Callback):
    """The types of the scores that the two losses get."""

    def on_fit_start(self, trainer, pl_module):
        self.types, game = set(), pl_module.loss

        def noting(loss):
            def noted(real, fake):
                self.types |= {scores.dtype for scores in (real, fake) if scores is not None}
                return loss(real, fake)

            return noted

        pl_module.loss = Loss(*map(noting, game))


def game():
    generator = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))
    makers = {"generator_optimizer": still, "discriminator_optimizer": still}
    return GAN(generator, student(1), latent=3, **makers)


HALF = [(name, torch.float32) for name in ("bf16-mixed", "bf16-true")]


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", torch.float64), *HALF])
@pytest.mark.parametrize("name", ["hinge", "relativistic_average"])
def test_a_game_s_loss_is_in_the_networks_type_or_float32(tmp_path, name, precision, dtype):
    """Also of networks of one's own, whose last layer is rounded as all others are."""
    scores, module = Scores(), game()
    module.loss, module.needs_real = LOSSES[name], name != "hinge"
    fit(module, digits(), tmp_path, callbacks=[scores], max_steps=1, precision=precision)
    assert scores.types == {dtype}


def test_a_game_s_validation_is_float64s(tmp_path):
    module, data = game(), digits(batch_size=360)
    found = logged(module, data, tmp_path)
    real = tables(data)["val"][0] * 2 - 1
    torch.set_default_dtype(torch.float64)  # as within a step
    latents, _ = module.draw(360, 1, 0, 0)
    torch.set_default_dtype(torch.float32)
    fake = module.generator(latents).clamp(-1, 1)
    real, fake = module.discriminator(real), module.discriminator(fake)
    softplus = [(-real).exp().log1p(), fake.exp().log1p(), (-fake).exp().log1p()]
    assert found["val/loss"] == pytest.approx(sum(s.mean().item() for s in softplus), rel=1e-12)


class Half(nn.Module):
    """A network whose logits are bfloat16, as a stock linear layer's are under autocast."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, inputs):
        return self.linear(inputs.flatten(1)).bfloat16()


@pytest.mark.parametrize("recipe", ["classify", "distill"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_rounded_logits_have_a_loss_that_is_not(tmp_path, recipe, precision):
    data = digits()
    if recipe == "classify":
        module = Classify(Half(), still)
        network = module.network
    else:
        module = Distill(Half(), Half(), alpha=0.0, optimizer=still)
        network = module.student
    found = logged(module, data, tmp_path, precision)["train/loss"]
    inputs, targets = tables(data)["train"]
    with torch.no_grad(), torch.autocast("cpu", enabled=precision == "bf16-mixed"):
        logits = network(inputs.float())
    assert logits.dtype == torch.bfloat16
    assert found == pytest.approx(F.cross_entropy(logits.double(), targets).item(), rel=1e-6)


def test_a_study_s_metrics_are_float64s(tmp_path):
    """Of validation, and of training in the target's own unit."""
    study = Study(
        lambda: MLP(10, [4], 1), {"SGD": optim.SGD}, Grid([1e-300]), seeds=[0], splits=[3]
    )
    found = logged(study, Diabetes(split=3), tmp_path)
    data = study.trainer.datamodule
    best = study.rounds.best()
    train = training_metrics(best, study.networks, study.loss, data, study.device)[0, 0]
    (_, vector, _), split, network = best[0, 0], data.splits(3), MLP(10, [4], 1).double()
    nn.utils.vector_to_parameters(vector, network.parameters())
    with torch.no_grad():
        errors = {
            name: network(rows.inputs).squeeze(1) - rows.targets
            for name, rows in (("train", split.train), ("val", split.val))
        }
    mean = errors["val"].square().mean().item()
    assert found["val/loss"] == pytest.approx(mean, rel=1e-12)
    mean = errors["train"].square().mean().item()
    assert train["loss"] == pytest.approx(mean, rel=1e-12)
    assert train["rmse"] == pytest.approx(math.sqrt(mean) * split.target_std, rel=1e-12)


def test_a_regression_s_loss_is_float64s(tmp_path):
    module, data = Regress(lambda: MLP(10, [4], 1), still), Diabetes()
    found = logged(module, data, tmp_path)
    rows = data.splits(0).val
    with torch.no_grad():
        network = copy.deepcopy(module.network).double()
        mean = (network(rows.inputs).squeeze(1) - rows.targets).square().mean().item()
    assert found["val/loss"] == pytest.approx(mean, rel=1e-12)
