"""GAN: its step against the definition, with every Trainer flag, before and after a resume."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from torch import nn

import recipes
import recipes.gan.step
from callbacks import GradientClip
from datamodules.drawn import PREDICTION
from datamodules.loading.loader import keyed_generator, keyed_seed
from forks import ended_well, ranks
from marks import some
from recipes.gan import GAN
from recipes.gan.losses import LOSSES
from recipes.gan.networks import DCGANGenerator
from recipes.gan.penalties import R1, R2
from recipes.parts.manual_ddp import ManualDDP
from recipes.parts.stepping import Accumulation
from trains import digits, fit, interrupt_after, middle_of_epoch, rows

LATENT = 16


class Generator(nn.Module):
    """Digits from latents; with batch-norm, whose statistics count the passes."""

    def __init__(self, batch_norm=False):
        super().__init__()
        norm = [nn.BatchNorm1d(12)] if batch_norm else []
        self.layers = nn.Sequential(
            nn.Linear(LATENT, 12), *norm, nn.Tanh(), nn.Linear(12, 64), nn.Tanh()
        )

    def forward(self, latents):
        return self.layers(latents).view(-1, 1, 8, 8)


def sgd(params):
    return torch.optim.SGD(params, lr=0.1)


def gan(seed=1, batch_norm=False, pack=1, **kwargs):
    torch.manual_seed(seed)
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64 * pack, 9), nn.Tanh(), nn.Linear(9, 1))
    optimizers = {"generator_optimizer": sgd, "discriminator_optimizer": sgd}
    kwargs = {"latent": LATENT, "pack": pack, **optimizers, **kwargs}
    return GAN(Generator(batch_norm), discriminator, **kwargs)


def train(module, tmp_path, data=None, **kwargs):
    data = data or digits()
    return fit(module, data, tmp_path, **{"limit_val_batches": 0, **kwargs})


def flat(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def batches(count, size=64):
    """The first real batches, as the networks are shown them."""
    data = digits(batch_size=size)
    data.setup("fit")
    loader = iter(data.train_dataloader())
    return [next(loader)[0] / 16 * 2 - 1 for _ in range(count)]


def step(network, loss):
    """Plain gradient descent, written out."""
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter -= 0.1 * gradient


def squared_gradient(discriminator, images, pack):
    packs = images.detach().reshape(-1, pack * 64).requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(packs).sum(), packs, create_graph=True)
    return gradient.square().sum(1).mean()


def play(module, steps, updates, pack=2, loss="hinge", processes=1):
    """The game written out: R1 of weight 2 and R2 of weight 3; gradient descent.

    Args:
        module: whose networks are copied
        steps: of each, the number of its last batch and its batches
        updates: of D, each on its own share of each batch
    """
    generator, discriminator = map(copy.deepcopy, (module.generator, module.discriminator))

    def critic(images):
        return discriminator(images.reshape(-1, pack * 64)).flatten()

    for number, parts in steps:
        latents = []
        for rank, part in enumerate(parts):
            if rank < processes:
                torch.manual_seed(keyed_seed(0, number, rank))
            latents.append(torch.randn(len(part), LATENT).chunk(updates))
        shares = [part.chunk(updates) for part in parts]
        for update in range(updates):
            value = 0
            for share, z in zip(shares, latents, strict=True):
                real, fake = share[update], generator(z[update]).detach()
                value = value + LOSSES[loss].discriminator(critic(real), critic(fake))
                value = value + squared_gradient(discriminator, real, pack)
                value = value + 1.5 * squared_gradient(discriminator, fake, pack)
            step(discriminator, value / len(parts))
        value = 0
        for share, z in zip(shares, latents, strict=True):
            fake = generator(z[-1])
            value = value + LOSSES[loss].generator(critic(share[-1]), critic(fake))
        step(generator, value / len(parts))
    return generator, discriminator


def assert_played(module, networks):
    torch.testing.assert_close(flat(module.generator), flat(networks[0]))
    torch.testing.assert_close(flat(module.discriminator), flat(networks[1]))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("updates", [1, 4])
def test_steps_are_the_definition(tmp_path, loss, updates):
    """n updates of D on shares of their own, then one of G by the new D."""
    module = gan(loss=loss, discriminator_steps=updates, pack=2, penalties=[R1(2.0), R2(3.0)])
    steps = [(number, [real]) for number, real in enumerate(batches(2))]
    networks = play(module, steps, updates, loss=loss)
    train(module, tmp_path, max_steps=2)
    assert_played(module, networks)


@pytest.mark.parametrize("updates", [1, 2])
def test_accumulated_batches_make_one_step(tmp_path, updates):
    """Of the mean gradient, also in an epoch's last step, of one batch and not of two."""
    game = {"loss": "hinge", "discriminator_steps": updates, "pack": 2}
    module = gan(penalties=[R1(2.0), R2(3.0)], **game)
    real = batches(5)
    steps = [(1, real[:2]), (3, real[2:4]), (4, real[4:])]
    networks = play(module, steps, updates)
    counts, saved = Counts(), ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1)
    flags = {"limit_train_batches": 5, "enable_checkpointing": True}
    callbacks = [Accumulation(2), counts, saved]
    _, trainer = train(module, tmp_path, callbacks=callbacks, **flags)
    assert counts.batches == 5 and trainer.global_step == 3
    assert counts.steps == ([1] * updates + [0]) * 3
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["step=3.ckpt"]
    assert_played(module, networks)


class Counts(Callback):
    """Batches that were trained on, and what was stepped when."""

    def __init__(self):
        self.batches, self.steps = 0, []

    def on_train_batch_end(self, trainer, *args):
        self.batches += 1

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.steps.append(trainer.optimizers.index(optimizer))


@pytest.mark.parametrize("updates", [1, 2, 4])
def test_a_batch_is_a_step(tmp_path, updates):
    counts = Counts()
    saved = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=2, save_top_k=-1)
    module = gan(discriminator_steps=updates)
    flags = {"max_steps": 6, "enable_checkpointing": True, "max_epochs": -1}
    _, trainer = train(module, tmp_path, callbacks=[counts, saved], **flags)
    assert counts.batches == trainer.global_step == 6
    assert counts.steps == ([1] * updates + [0]) * 6
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {f"step={n}.ckpt" for n in (2, 4, 6)}


def test_stock_lightning_counts_every_optimizer_step(tmp_path, monkeypatch):
    """The negative control of the test above."""
    monkeypatch.setattr(recipes.gan.step, "count_steps_of", lambda *args: None)
    with pytest.raises(AssertionError):
        test_a_batch_is_a_step(tmp_path, 2)


def test_limits_are_of_batches(tmp_path):
    counts = Counts()
    flags = {"limit_train_batches": 3, "max_epochs": 2}
    _, trainer = train(gan(discriminator_steps=4), tmp_path, callbacks=[counts], **flags)
    assert counts.batches == trainer.global_step == 6


class Passes(nn.Module):
    """Counts a network's passes with and without a graph."""

    def __init__(self, network):
        super().__init__()
        self.network, self.passes = network, []

    def forward(self, *inputs):
        self.passes.append((len(inputs[0]), torch.is_grad_enabled()))
        return self.network(*inputs)


def test_one_pass_of_the_generator_serves_both(tmp_path):
    module = gan(discriminator_steps=2, batch_norm=True)
    module.is_checked = True  # which takes a pass, too
    module.generator = Passes(module.generator)
    train(module, tmp_path, max_steps=3)
    assert module.generator.passes == [(32, False), (32, True)] * 3


def test_the_discriminator_is_frozen_while_the_generator_learns(tmp_path):
    frozen, seen = [], []
    module = gan()
    module.discriminator[1].weight.requires_grad_(False)  # by the user

    class Look(Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            needs = [p.requires_grad for p in module.discriminator.parameters()]
            (frozen if optimizer is trainer.optimizers[0] else seen).append(needs)

    train(module, tmp_path, callbacks=[Look()], max_steps=2)
    assert frozen == [[False] * 4] * 2
    assert seen == [[False, True, True, True]] * 2, "what the user has frozen stays so"


def run(recipe, name, *flags):
    """A run of the command line, of two short epochs, and what it leaves: weights and rows."""
    short = ("--trainer.max_epochs=2", "--trainer.limit_train_batches=9")
    recipe("gan", "fit", f"--name={name}", "--config=game.yaml", *short, *flags)
    return left_by(name)


def left_by(name):
    folder = Path("runs/gan", name)
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    return saved["state_dict"], rows(folder), saved["global_step"]


@pytest.fixture
def game():
    """A config: unequal numbers of updates, lazy penalties, EMA, and a decay for each network."""
    Path("game.yaml").write_text(GAME)


CRITIC = "--model.discriminator"
GAME = """
model:
  generator:
    class_path: DCGANGenerator
    init_args: {latent: 8, shape: [1, 8, 8], channels: [6, 4]}
  discriminator:
    class_path: DCGANDiscriminator
    init_args: {shape: [1, 8, 8], channels: [4, 6], batch_norm: false, pack: 2}
  latent: 8
  discriminator_steps: 3
  pack: 2
  loss: relativistic_paired
  penalties:
    - {class_path: GradientPenalty}
    - {class_path: R1, init_args: {weight: 0.1}}
  penalty_interval: 2
  generator_optimizer: {class_path: Adam, init_args: {lr: 0.002}}
  discriminator_optimizer: {class_path: RMSprop, init_args: {lr: 0.001}}
data: {class_path: Digits, init_args: {batch_size: 48}}
trainer:
  log_every_n_steps: 1
  callbacks:
    - {class_path: LRDecay, init_args: {optimizers: [0]}}
    - {class_path: LRDecay, init_args: {optimizers: [1], schedule: linear}}
    - {class_path: EMA, init_args: {module: generator, half_life: 5}}
    - {class_path: Samples, init_args: {every: 4ba, count: 4}}
    - {class_path: Export, init_args: {module: generator}}
"""
FLAGS = {
    "plain": (),
    "accumulating": ("--trainer.accumulate_grad_batches=2",),
    "clipping": ("--trainer.gradient_clip_val=0.01",),
    "bf16": ("--trainer.precision=bf16-mixed",),
    "64": ("--trainer.precision=64-true", "--model.penalty_method=finite_difference"),
}


@pytest.mark.parametrize(
    "flags",
    some(["plain", "accumulating", "clipping", "bf16", "64"], ["accumulating"]),
)
def test_a_run_interrupted_in_an_epoch_resumes_identically(game, recipe, monkeypatch, flags):
    whole = run(recipe, "whole", *FLAGS[flags], "--trainer.val_check_interval=5")
    steps = 10 if flags == "accumulating" else 18
    assert whole[2] == steps
    rates = [row for row in whole[1] if "lr/Adam" in row]
    assert len({row["lr/Adam"] for row in rates}) > 5
    assert rates[1]["lr/RMSprop-1"] > rates[-1]["lr/RMSprop-1"]
    with monkeypatch.context() as patch:
        interrupt_after(steps - 3, patch)
        saving = middle_of_epoch("runs/gan/cut")
        saving = (*saving[:1], "--trainer.callbacks.every_n_train_steps=3", *saving[2:])
        with pytest.raises(MemoryError):
            run(recipe, "cut", *FLAGS[flags], "--trainer.val_check_interval=5", *saving)
    recipe("gan", "fit", "--ckpt_path=runs/gan/cut/checkpoints/middle.ckpt")
    cut = left_by("cut")
    assert cut[2] == whole[2]
    assert all(torch.equal(cut[0][key], value) for key, value in whole[0].items())
    assert [json.dumps(row) for row in cut[1]] == [json.dumps(row) for row in whole[1]]
    for path in Path("runs/gan/whole").rglob("*.p*"):
        other = Path("runs/gan/cut", *path.parts[3:])
        if path.suffix == ".png":
            assert path.read_bytes() == other.read_bytes()
        elif path.suffix == ".pt":
            one, two = (torch.load(p, weights_only=True) for p in (path, other))
            assert all(torch.equal(one[key], value) for key, value in two.items())


@pytest.mark.parametrize("limit", [0.01, 1e6])
def test_clipping_bounds_each_networks_own_gradient(tmp_path, limit):
    module = gan(loss="wasserstein", discriminator_steps=2)
    before = {"generator": flat(module.generator), "discriminator": flat(module.discriminator)}
    train(module, tmp_path, callbacks=[GradientClip(limit)], max_steps=1)
    moved = {name: (flat(getattr(module, name)) - old).norm() for name, old in before.items()}
    if limit < 1:
        assert moved["generator"] == pytest.approx(0.1 * limit, rel=1e-3)
        assert moved["discriminator"] <= 0.2 * limit * 1.001
    else:
        assert min(moved.values()) > 0.01


@pytest.mark.slow
def test_validation_and_logging_change_nothing(game, recipe):
    alone = run(recipe, "alone", "--trainer.limit_val_batches=0")
    often = run(recipe, "often", "--trainer.val_check_interval=2", "--trainer.log_every_n_steps=3")
    assert all(torch.equal(alone[0][key], value) for key, value in often[0].items())


def test_a_dry_run_leaves_nothing(game, recipe):
    recipe("gan", "fit", "--config=game.yaml", "--trainer.fast_dev_run=2")
    assert not Path("runs").exists()


@pytest.mark.parametrize("overflowing", ["discriminator", "generator", None])
def test_an_overflow_in_fp16_skips_only_that_networks_step(tmp_path, overflowing):
    """And the other's gradient is that of the new scale: backward and step are interleaved."""
    module = gan(loss="wasserstein")
    (real,) = batches(1)
    moved = dict(zip(NETWORKS, play_once(module, real, overflowing), strict=True))
    if overflowing:
        first = next(getattr(module, overflowing).parameters())
        first.register_hook(lambda gradient: gradient * torch.inf)
    before = {name: flat(getattr(module, name)) for name in NETWORKS}
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=2.0**10))
    _, trainer = train(module, tmp_path, plugins=[plugin], max_steps=1)
    assert trainer.global_step == 1
    for name, old in before.items():
        found = flat(getattr(module, name)) - old
        torch.testing.assert_close(found, moved[name], rtol=0.02, atol=2e-4)
        assert (found.norm() == 0) == (name == overflowing)


NETWORKS = ("generator", "discriminator")


def play_once(module, real, skipped):
    """How far both networks move in one step of the Wasserstein game; one may not."""
    generator, discriminator = map(copy.deepcopy, (module.generator, module.discriminator))
    torch.manual_seed(keyed_seed(0, 0, 0))
    fake = generator(torch.randn(len(real), LATENT))
    if skipped != "discriminator":
        step(discriminator, discriminator(fake.detach()).mean() - discriminator(real).mean())
    if skipped != "generator":
        step(generator, -discriminator(fake).mean())
    return [
        flat(new) - flat(getattr(module, name))
        for name, new in zip(NETWORKS, (generator, discriminator), strict=True)
    ]


def test_weights_are_clipped_after_each_update(tmp_path):
    module, _ = train(gan(weight_clip=0.02, loss="wasserstein"), tmp_path, max_steps=2)
    assert flat(module.discriminator).abs().max() == pytest.approx(0.02)
    assert flat(module.generator).abs().max() > 0.1


def test_lazy_penalties_are_as_strong(tmp_path):
    """Every other update with twice the weight; which updates does not depend on a resume."""
    calls = []

    class Penalty(R1):
        def points(self, real, fake):
            calls.append(len(real))
            return super().points(real, fake)

    settings = {"penalties": [Penalty(1.0)], "penalty_interval": 2, "discriminator_steps": 1}
    train(gan(**settings), tmp_path, max_steps=3)
    assert len(calls) == 2
    settings |= {"discriminator_steps": 2}
    train(gan(**settings), tmp_path, max_steps=3)
    assert len(calls) == 2 + 3


def test_alarms_and_terms_are_logged(game, recipe):
    _, logged, _ = run(recipe, "logged", "--model.penalty_interval=1")
    first = next(row for row in logged if "train/loss" in row)
    summed = first["train/generator"] + first["train/discriminator"] + first["train/penalty"]
    assert first["train/loss"] == pytest.approx(summed)
    assert 0 <= first["train/critic_accuracy"] <= 1
    assert {"train/critic_gap", "train/fake_gradient"} <= first.keys()
    assert "val/loss" in {key for row in logged for key in row}


@pytest.mark.parametrize("setting", ["plain", "accumulating", "fp16"])
def test_the_fake_gradient_is_that_of_one_example(tmp_path, setting):
    """Of a linear critic's score it is the norm of its weights, whatever scaled the loss."""
    module = gan(loss="wasserstein")
    module.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    # The scale changes with every step that does not overflow.
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=1)
    flags = {"plugins": [MixedPrecision("16-mixed", "cpu", scaler)]} if setting == "fp16" else {}
    callbacks = [Accumulation(2)] if setting == "accumulating" else []
    flags |= {"max_steps": 1, "log_every_n_steps": 1}
    _, trainer = train(module, tmp_path, callbacks=callbacks, **flags)
    found = trainer.callback_metrics["train/fake_gradient"].item()
    assert found == pytest.approx(module.discriminator[1].weight.norm().item(), rel=0.01)


@pytest.mark.slow
def test_conditional_networks_are_given_labels(tmp_path, recipe, game):
    flags = ("--model.classes=10", "--model.pack=1", "--model.discriminator.pack=1")
    flags += ("--model.generator.classes=10", "--model.discriminator.classes=10")
    run(recipe, "labelled", *flags)
    checkpoint = "runs/gan/labelled/checkpoints/last.ckpt"
    recipe("gan", "predict", f"--ckpt_path={checkpoint}")
    module = GAN.load_from_checkpoint(checkpoint)
    latents, labels = module.draw(20, 5)
    assert labels.tolist() == [*range(10)] * 2
    same = module.sample(latents[:1].expand(20, -1), labels)
    torch.testing.assert_close(same[:10], same[10:])
    assert (same[0] - same[1]).abs().max() > 1e-4


def test_samples_are_written_and_the_generator_is_exported(game, recipe):
    """Of the averaged weights, which the exported file has under the network's own names."""
    run(recipe, "whole")
    folder = Path("runs/gan/whole")
    recipe("gan", "predict", f"--ckpt_path={folder}/checkpoints/last.ckpt", "--seed_everything=5")
    samples = np.load(folder / "sample.npy")
    assert samples.shape[1:] == (1, 8, 8) and samples.dtype == np.float32
    assert samples.min() >= 0 and samples.max() <= 1 and samples.std() > 0.001
    generator = DCGANGenerator(8, [1, 8, 8], [6, 4])
    generator.load_state_dict(torch.load(folder / "generator.pt", weights_only=True))
    first = 45  # of 360 test rows in 8 equal batches
    latents = torch.randn(first, 8, generator=keyed_generator(PREDICTION, 5, 0))
    with torch.no_grad():
        expected = (generator.eval()(latents) + 1) / 2
    torch.testing.assert_close(torch.from_numpy(samples[:first]), expected)


@pytest.mark.parametrize(
    ("flags", "line"),
    some(
        [
            (
                ("--model.generator.shape=[1,12,12]",),
                r"generator makes \(1, 12, 12\), the data are",
            ),
            (("--model.latent=7",), "generator does not take latents .* --model.latent=7: mat1"),
            (("--model.discriminator.pack=1",), "discriminator does not take .* --model.pack=2 of"),
            ((f"{CRITIC}=MLP", f"{CRITIC}.inputs=128", f"{CRITIC}.widths=[4]"), "not one number"),
            (
                ("--data.batch_size=64",),
                "batch of 64 .* not a multiple of 6: .*steps=3 times .*pack=2",
            ),
            (("--data.batch_size=3",), "batch of 3 .* not a multiple of 6"),
            (("--model.discriminator.batch_norm=true",), "batch"),
            (("--model.classes=10",), "--model.classes with --model.pack"),
            (("--model.classes=10", "--model.pack=1", "--model.discriminator.pack=1"), "labels"),
            (("--model.loss=hinges",), "--model.loss"),
        ],
        4,
    ),
)
@pytest.mark.parametrize("sanity", some([0, 2], 1))
def test_what_does_not_fit_is_refused_before_the_first_step(game, recipe, flags, line, sanity):
    extra = ("--trainer.limit_train_batches=2", f"--trainer.num_sanity_val_steps={sanity}")
    with pytest.raises(ValueError, match=line):
        recipe("gan", "fit", "--config=game.yaml", *extra, *flags)
    assert not list(Path("runs").rglob("*.jsonl"))


def test_a_label_beyond_the_classes_is_refused(game, recipe):
    flags = ("--model.classes=9", "--model.pack=1", "--model.discriminator.pack=1")
    flags += ("--model.generator.classes=9", "--model.discriminator.classes=9")
    with pytest.raises(ValueError, match=r"--model.classes=9: --data=Digits has 10 classes"):
        recipe("gan", "fit", "--config=game.yaml", *flags)


PAIR = """
model:
  generator:
    class_path: MLPGenerator
    init_args: {latent: 16, widths: [12], shape: [1, 8, 8]}
  discriminator:
    class_path: MLPDiscriminator
    init_args: {inputs: 64, widths: [9], pack: 2}
  latent: 16
  pack: 2
  loss: hinge
  discriminator_steps: 2
  penalties:
    - {class_path: R1, init_args: {weight: 2.0}}
    - {class_path: R2, init_args: {weight: 3.0}}
  evaluation: {class_path: ImageQuality}
  generator_optimizer: {class_path: SGD, init_args: {lr: 0.1}}
  discriminator_optimizer: {class_path: SGD, init_args: {lr: 0.1}}
data: {class_path: Digits, init_args: {batch_size: 64}}
trainer: {max_steps: 3, limit_train_batches: 3, log_every_n_steps: 1}
"""


def test_two_processes_play_one_game(recipe):
    """The mean of what each computes of its part of the batch, with noise of its own."""
    Path("pair.yaml").write_text(PAIR)
    rates = [f"--model.{name}_optimizer.lr=0.0" for name in ("generator", "discriminator")]
    recipe("gan", "fit", "--config=pair.yaml", "--name=start", *rates)
    command = ["recipes.gan", "fit", "--config=pair.yaml", "--name=two"]
    two = ["--data.batch_size=32", "--trainer.accelerator=cpu"]
    ended_well(*ranks(2, *command, "--config=ddp", *two))
    start, found = (
        GAN.load_from_checkpoint(f"runs/gan/{name}/checkpoints/last.ckpt")
        for name in ("start", "two")
    )
    steps = [(number, [real[0::2], real[1::2]]) for number, real in enumerate(batches(3))]
    assert_played(found, play(start, steps, updates=2, processes=2))
    alone = ("--trainer.devices=1", "--trainer.strategy=auto", "--data.batch_size=64")
    recipe("gan", "validate", "--ckpt_path=runs/gan/two/checkpoints/last.ckpt", *alone)
    (one,) = rows(Path("runs/gan/two"), "validate")
    last = rows(Path("runs/gan/two"))[-1]
    for key in ("val/fid_pixels", "val/fid_pixels_floor", "val/loss"):  # other samples, as many
        assert last[key] == pytest.approx(one[key], rel=0.05)


def test_torch_s_own_ddp_is_refused(tmp_path):
    """It would wait for gradients of the network whose turn it is not, and fail."""
    module = gan()
    module.trainer = Trainer(strategy="ddp", accelerator="cpu", devices=1, logger=False)
    with pytest.raises(ValueError, match="ManualDDP"):
        module.setup("fit")
    for strategy in ("ddp_find_unused_parameters_true", ManualDDP()):
        module.trainer = Trainer(strategy=strategy, accelerator="cpu", devices=1, logger=False)
        module.setup("fit")
