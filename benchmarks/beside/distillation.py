"""A frozen teacher's logits computed once, beside what computes them in every step."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, softmax

from beside.comparison import Comparison, Goal
from beside.fits import Fit, apart, batches, fit, loop, made, part, weights
from beside.pictures import RandomDigits
from recipes.distill import Distill
from recipes.parts.networks import MLP

ROWS, EPOCHS, BATCH = 10_000, 20, 128
STEPS = EPOCHS * (ROWS // BATCH)
PROOF = 5  # steps after which weights are compared: Adam enlarges what rounding differs by
TEMPERATURE, ALPHA = 4.0, 0.9
FP32, BF16 = "--trainer.precision=32-true", "--trainer.precision=bf16-mixed"
EVERY_STEP, LAST = "--model.teacher_cache=off", "--trainer.callbacks+=ChannelsLast"
COLOURS, LOOKS = 640, 8  # pictures, and epochs over them


def ours(config: dict[str, Any], steps: int, *flags: str, first: int | None = None) -> Fit:
    """The recipe, by the command line; the teacher is saved beside it.

    Args:
        config: as in a file
        steps: that are timed
        flags: further ones
        first: step that the clock starts with; None: before what the fit prepares
    """
    with TemporaryDirectory() as folder:
        path = Path(folder, "teacher.pt")
        torch.manual_seed(0)
        torch.save(teacher_of(config).state_dict(), path)
        return fit(Distill, config, steps, first, [f"--model.teacher_weights={path}", *flags])


def digits() -> dict[str, Any]:
    """784-1200-1200-10 teaches 784-800-800-10."""
    return {
        "model": {
            "student": made("MLP", inputs=784, widths=[800, 800], outputs=10),
            "teacher": made("MLP", inputs=784, widths=[1200, 1200], outputs=10),
            "temperature": TEMPERATURE,
            "alpha": ALPHA,
        },
        "data": made("beside.pictures.RandomDigits", rows=ROWS, batch_size=BATCH),
    }


def colours() -> dict[str, Any]:
    """A convolutional network of 32 and 64 channels teaches one of half of them."""
    sizes = {"inputs": 3, "outputs": 10}
    return {
        "model": {
            "student": made("ConvNet", channels=[16, 32], **sizes),
            "teacher": made("ConvNet", channels=[32, 64], **sizes),
            "temperature": TEMPERATURE,
            "alpha": ALPHA,
        },
        "data": made("beside.pictures.RandomColours", rows=COLOURS, batch_size=BATCH),
    }


def teacher_of(config: dict[str, Any]) -> nn.Module:
    """The network that a config has as its teacher."""
    import recipes.parts.networks as networks

    said = config["model"]["teacher"]
    return getattr(networks, said["class_path"])(**said["init_args"])


class Forwarded:
    """What a network's last layer has put out, by a forward hook, as torchdistill collects it."""

    def __init__(self, network: nn.Module) -> None:
        self.kept: dict[str, Tensor] = {}
        network.register_forward_hook(self)

    def __call__(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.kept["output"] = output

    def pop(self) -> Tensor:
        """The output, once."""
        return self.kept.pop("output")


def torchdistill(student: nn.Module, teacher: nn.Module) -> Callable[[Tensor, Tensor], None]:
    """A step of torchdistill's DistillationBox with its KDLoss, written anew.

    https://github.com/yoshitomo-matsubara/torchdistill: the teacher answers in each step without
    gradients, hooks collect what both put out, and the loss is read for the metric logger.
    """
    optimizer = torch.optim.Adam(student.parameters(), fused=True)
    hooks = Forwarded(student), Forwarded(teacher)
    teacher.eval()
    read = []

    def step(images: Tensor, labels: Tensor) -> None:
        with torch.no_grad():
            teacher(images)
        student(images)
        own, other = (hook.pop() for hook in hooks)
        soft = kl_div(
            log_softmax(own / TEMPERATURE, 1), softmax(other / TEMPERATURE, 1), reduction="sum"
        )
        loss = ALPHA * TEMPERATURE**2 * soft / len(labels)
        loss = loss + (1 - ALPHA) * cross_entropy(own, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        read.append((loss.item(), optimizer.param_groups[0]["lr"]))

    return step


def networks() -> tuple[nn.Module, nn.Module]:
    """Student and teacher of the digits; the teacher as `ours` saves it."""
    torch.manual_seed(0)
    teacher = teacher_of(digits())
    return MLP(784, [800, 800], 10), teacher


def looped(steps: int = STEPS) -> float:
    """Seconds of torchdistill's step, by default for all epochs."""
    return loop(torchdistill(*networks()), batches(RandomDigits(ROWS, BATCH)), steps, 0)


def proof_of_cache() -> float:
    """Ours with and without the kept logits."""
    kept, asked = (ours(digits(), PROOF, FP32, *flags) for flags in ((), (EVERY_STEP,)))
    return apart(part(kept.after, "student"), part(asked.after, "student"))


def proof_of_loop() -> float:
    """Ours and torchdistill's step."""
    found = ours(digits(), PROOF, FP32)
    student, teacher = networks()
    student.load_state_dict(part(found.before, "student"))
    loop(torchdistill(student, teacher), batches(RandomDigits(ROWS, BATCH)), PROOF, 0)
    return apart(weights(student), part(found.after, "student"))


def comparison() -> Comparison:
    """Sides and goals of the digits."""
    return Comparison(
        "distillation 784-1200-1200 to 784-800-800, 20 epochs of 10,000",
        {
            "teacher once": lambda: ours(digits(), STEPS, FP32).seconds,
            "teacher every step": lambda: ours(digits(), STEPS, FP32, EVERY_STEP).seconds,
            "teacher once, bf16": lambda: ours(digits(), STEPS, BF16).seconds,
            "torchdistill's step": looped,
        },
        [
            Goal("teacher once", "teacher every step", 0.60),
            Goal("teacher once, bf16", "teacher every step", 0.35),
            Goal("teacher once", "torchdistill's step", 0.50),
        ],
        {"teacher every step": proof_of_cache, "torchdistill's step": proof_of_loop},
        tolerance=1e-4,
        rounds=0.6,
    )


def comparison_of_colours() -> Comparison:
    """Sides and goals of pictures of 32x32 pixels."""
    steps = LOOKS * (COLOURS // BATCH)
    return Comparison(
        "distillation of convolutional networks on 32x32, 8 epochs of 640",
        {
            "fp32, teacher every step": lambda: ours(colours(), steps, FP32, EVERY_STEP).seconds,
            "teacher once": lambda: ours(colours(), steps, FP32).seconds,
            "teacher once, channels last": lambda: ours(colours(), steps, FP32, LAST).seconds,
            "teacher once, channels last, bf16": lambda: ours(colours(), steps, BF16, LAST).seconds,
        },
        [
            Goal("teacher once, channels last, bf16", "fp32, teacher every step", 0.25),
            Goal("teacher once, channels last", "teacher once", 1.0),
        ],
        rounds=0.6,
    )
