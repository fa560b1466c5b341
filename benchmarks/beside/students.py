"""The MNIST student, 784-800-800-10, beside plain loops."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from beside.comparison import Comparison, Goal
from beside.fits import WARM, Fit, apart, batches, fit, loop, made, part, weights
from beside.pictures import RandomDigits
from recipes.classify import Classify
from recipes.parts.networks import MLP

STEPS, PROOF = 300, 20  # that are timed, and after which the weights are compared
CONFIG = {
    "model": {"network": made("MLP", inputs=784, widths=[800, 800], outputs=10)},
    "data": made("beside.pictures.RandomDigits"),
}
FP32, BF16 = "--trainer.precision=32-true", "--trainer.precision=bf16-mixed"
Step = Callable[[Tensor, Tensor], None]


def network() -> nn.Module:
    """The student."""
    return MLP(784, [800, 800], 10)


def ours(precision: str, steps: int = STEPS, first: int = WARM) -> Fit:
    """The recipe, by the command line; its Adam is fused."""
    return fit(Classify, CONFIG, steps, first, [precision])


def plain(model: nn.Module, bf16: bool = False) -> Step:
    """One step of the same: fused Adam, and nothing else."""
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(images)
        cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def common(model: nn.Module) -> Step:
    """What most people write: torch's default Adam, and the loss read in each step."""
    optimizer = torch.optim.Adam(model.parameters())
    losses = []

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    return step


def stock() -> DataLoader:
    """Where most people read from: (batch, 1, 28, 28) floats, as their transforms make them."""
    data = RandomDigits()
    data.setup("fit")
    table = data.tables["train"]
    images = table.images.unsqueeze(1).float() / 255
    return DataLoader(TensorDataset(images, table.labels), 128, shuffle=True)


def forever(loader: DataLoader) -> object:
    """Epoch after epoch."""
    while True:
        yield from loader


def looped(make: Callable[[nn.Module], Step]) -> float:
    """Seconds of a plain loop on the batches that ours reads."""
    return loop(make(network()), batches(RandomDigits()), STEPS)


def proof(make: Callable[[nn.Module], Step], precision: str = FP32) -> float:
    """The largest difference of ours and of a loop after the same steps from the same start."""
    found = ours(precision, PROOF, 0)
    model = network()
    model.load_state_dict(part(found.before, "network"))
    loop(make(model), batches(RandomDigits()), PROOF, 0)
    return apart(weights(model), part(found.after, "network"))


def comparison() -> Comparison:
    """Sides and goals."""
    bf16 = partial(plain, bf16=True)
    return Comparison(
        "MNIST student 784-800-800-10, 300 steps",
        {
            "recipes.classify": lambda: ours(FP32).seconds,
            "plain loop, fused Adam": lambda: loop(
                plain(network()), batches(RandomDigits()), STEPS
            ),
            "the loop most people write": lambda: loop(common(network()), forever(stock()), STEPS),
            "recipes.classify, bf16": lambda: ours(BF16).seconds,
            "plain loop, bf16": lambda: loop(bf16(network()), batches(RandomDigits()), STEPS),
        },
        [
            Goal("recipes.classify", "plain loop, fused Adam", 1.05),
            Goal("recipes.classify", "the loop most people write", 0.75),
            Goal("recipes.classify, bf16", "plain loop, bf16", 1.05),
        ],
        {
            "plain loop, fused Adam": lambda: proof(plain),
            "the loop most people write": lambda: proof(common),
            "plain loop, bf16": lambda: proof(bf16, BF16),
        },
        tolerance=2e-5,
    )
