"""The MNIST student and DCGAN beside plain PyTorch, at the same precision, on CPU or GPU.

python benchmarks/precision_speed.py [--rounds 5] [--steps 200]

Ours trains by `trainer.fit` with the callbacks that the command line adds; the plain loop has the
same networks, batches that lie where it computes, and fused Adam, and nothing else. They take
turns; a ratio is of the rounds' medians, seconds of ours by seconds of the plain loop. Random
images in the shape of MNIST and Fashion-MNIST, which take the same time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F

from beside.gans import adam
from beside.pictures import RandomDigits
from callbacks import ChangedSettings, ChannelsLast, Compile, FiniteLoss, KeyedNoise
from recipes.classify import Classify
from recipes.gan import GAN
from recipes.gan.networks import DCGANDiscriminator, DCGANGenerator
from recipes.parts.centred import centred
from recipes.parts.networks import MLP, ConvNet
from recipes.running.messages import silence_noise

WARM = 20  # steps before the clock starts
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "student, MLP 800-800": lambda: MLP(784, [800, 800]),
    "student, ConvNet": lambda: ConvNet([32, 64]),
}
BATCH = {"student, MLP 800-800": 128, "student, ConvNet": 128, "DCGAN": 64}
SETTINGS = ["float32", "bf16", "bf16, compile", "bf16, channels_last"]
SETTINGS += ["fp16", "bf16, CUDA graphs"] if DEVICE.type == "cuda" else []


def settle() -> float:
    """The time, when all that was begun on a GPU is done."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock(Callback):
    """Seconds of a step, without the first ones."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: Trainer, *args: object) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == WARM:
            self.start = settle()

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == WARM + self.steps - 1:
            self.seconds = (settle() - self.start) / self.steps


class Stop(Callback):
    """Ends training after some batches, however they are counted."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        trainer.should_stop = trainer.fit_loop.total_batch_idx + 1 >= self.batches


def ours(name: str, setting: str, steps: int) -> float:
    """Seconds of a step of the recipe."""
    torch.manual_seed(0)
    module: LightningModule
    if name == "DCGAN":
        module = GAN(DCGANGenerator(100), DCGANDiscriminator(), 100)
    else:
        module = Classify(NETWORKS[name]())
    clock = Clock(steps)
    callbacks = [clock, Stop(WARM + steps), KeyedNoise(), ChangedSettings(), FiniteLoss()]
    callbacks += [ChannelsLast()] if "channels_last" in setting else []
    if "compile" in setting or "graphs" in setting:
        callbacks.append(Compile(mode="reduce-overhead" if "graphs" in setting else None))
    precision = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="gpu" if DEVICE.type == "cuda" else "cpu",
            devices=1,
            precision=precision[setting.split(",")[0]],
            max_epochs=-1,
            logger=CSVLogger(folder),
            callbacks=callbacks,
            limit_val_batches=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, RandomDigits(batch_size=BATCH[name]))
    return clock.seconds


class Plain:
    """Networks, their optimizers and precision, without Lightning.

    Args:
        name: of the networks
        setting: as for ours
    """

    def __init__(self, name: str, setting: str) -> None:
        game = name == "DCGAN"
        made = (DCGANGenerator(100), DCGANDiscriminator()) if game else (NETWORKS[name](),)
        last = torch.channels_last if "channels_last" in setting else torch.preserve_format
        self.networks = [network.to(DEVICE, memory_format=last) for network in made]
        if "compile" in setting or "graphs" in setting:
            for network in self.networks:
                network.compile(mode="reduce-overhead" if "graphs" in setting else None)
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        self.kind = kinds.get(setting.split(",")[0])
        self.scaler = torch.amp.GradScaler(DEVICE.type, enabled=self.kind is torch.float16)
        self.optimizers = [adam(network) for network in self.networks]
        self.step = self.game if game else self.supervised

    def autocast(self) -> torch.autocast:
        return torch.autocast(DEVICE.type, self.kind, enabled=self.kind is not None)

    def update(self, number: int, loss: Tensor) -> None:
        """One network's, by the gradient of its loss."""
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizers[number])

    def supervised(self, images: Tensor, labels: Tensor) -> None:
        """Cross-entropy."""
        self.optimizers[0].zero_grad()
        with self.autocast():
            logits = self.networks[0](images)
        self.update(0, F.cross_entropy(logits.float(), labels))
        self.scaler.update()

    def game(self, images: Tensor, labels: Tensor) -> None:
        """The non-saturating game."""
        generator, discriminator = self.networks
        self.optimizers[1].zero_grad()
        with self.autocast():
            fakes = generator(torch.randn(len(images), 100, device=DEVICE))
            real, fake = discriminator(centred(images)), discriminator(fakes.detach())
        self.update(1, F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean())
        discriminator.requires_grad_(False)
        self.optimizers[0].zero_grad()
        with self.autocast():
            scores = discriminator(fakes)
        self.update(0, F.softplus(-scores.float()).mean())
        discriminator.requires_grad_(True)
        self.scaler.update()


def plain(name: str, setting: str, steps: int) -> float:
    """Seconds of a step of a loop without Lightning."""
    torch.manual_seed(0)
    loop, data = Plain(name, setting), RandomDigits(batch_size=BATCH[name])
    data.setup("fit")
    data.tables["train"].to_device(DEVICE)
    done = 0
    while True:
        for batch in data.train_dataloader():
            if done == WARM:
                start = settle()
            loop.step(*data.on_after_batch_transfer(batch, 0)[:2])
            done += 1
            if done == WARM + steps:
                return (settle() - start) / steps


def main() -> None:
    """Prints a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", nargs="+", default=list(BATCH), help="networks")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "one CPU core"
    print(f"| {where}, ms a step | setting | ours | plain PyTorch | ratio |\n|---|---|---|---|---|")
    for name in arguments.only:
        steps = arguments.steps // (10 if name != "student, MLP 800-800" else 1)
        for setting in SETTINGS:
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(arguments.rounds):
                for found, side in zip(times, (ours, plain), strict=True):
                    found.append(side(name, setting, steps if DEVICE.type == "cpu" else 1000))
            own, other = (1000 * statistics.median(found) for found in times)
            row = f"| {name} | {setting} | {own:.2f} | {other:.2f} | {own / other:.2f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
