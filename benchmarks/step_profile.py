"""Where the time of a training step goes, ours and others': whose code takes it.

python benchmarks/step_profile.py [--only regression student ...]

The command line as users run it, beside a plain loop of the same mathematics and what people
would pick instead. A thousand times a second a signal asks which function the training is in: the
time is its file's owner's, or, as for C and other packages, that of whoever called it. Unlike a
profiler that is called for each function, this does not make small ones look dear. An operator of
torch, such as a * b, may count for the function that is called next.
step_profile.json keeps the shares, times the seconds of a step. For an idle core: five minutes.
"""

import argparse
import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import CodeType, FrameType

import torch
from matplotlib.figure import Figure
from tqdm import tqdm

import pages
from beside import distillation, fits, gans, languages, regressions, students
from beside.comparison import is_timed, kept_here, machine
from beside.fits import WARM, batches, loop
from recipes.parts.drawing import COLOURS, style
from recipes.parts.files import replace_file
from recipes.running.messages import silence_noise

HERE = Path(__file__).parent
FILE, PICTURE = HERE / "step_profile.json", HERE / "pictures" / "step_profile.png"
ROOT = str(HERE.parent)
EVERY = 0.000997  # seconds from one sample to the next: of no period that a step could have
CALLBACKS = ("convergence", "sharding", "stepping")  # in recipes/parts
OURS = "this project's"
# Part of a path, or a path and the beginning of a function's name: whose it is. The first counts.
OWNERS = {
    f"{ROOT}/callbacks": f"{OURS} callbacks",
    **{f"{ROOT}/recipes/parts/{name}": f"{OURS} callbacks" for name in CALLBACKS},
    f"{ROOT}/recipes/parts/logs": f"{OURS} log and files",
    f"{ROOT}/recipes/running": f"{OURS} log and files",
    f"{ROOT}/datamodules": "reading",
    f"{ROOT}/recipes": "the recipe",
    f"{ROOT}/benchmarks": "the recipe",  # where a plain loop is
    "lightning/pytorch/callbacks/progress": "Lightning's log and bar",
    "rich/": "Lightning's log and bar",
    "logger_connector": "Lightning's log and bar",
    "torchmetrics/": "Lightning's log and bar",
    "lightning/pytorch/core/module log": "Lightning's log and bar",
    "lightning/pytorch/loops": "Lightning's loops",
    "lightning/": "Lightning's hooks and plugins",
    "torch/utils/data": "reading",
    "torch/optim": "optimizer",
    "torch/": "forward, backward",
}
REST = "all else"
ATTRIBUTES = ("__setattr__", "__getattr__", "__instancecheck__")  # of torch, for whoever asks

Sides = dict[str, Callable[[int], float]]  # by name, the seconds of so many steps


def student(precision: str, bf16: bool) -> Sides:
    """784-800-800-10."""
    return {
        "recipes.classify": lambda steps: students.ours(precision, steps).seconds,
        "plain loop": lambda steps: loop(
            students.plain(students.network(), bf16), batches(students.RandomDigits()), steps
        ),
    }


def distilled() -> Sides:
    """784-1200-1200 to 784-800-800, without what is computed before the first step."""

    def ours(*flags: str) -> Callable[[int], float]:
        config, given = distillation.digits(), (distillation.FP32, *flags)
        return lambda steps: distillation.ours(config, steps, *given, first=WARM).seconds

    return {
        "teacher once": ours(),
        "teacher every step": ours(distillation.EVERY_STEP),
        "torchdistill's step": distillation.looped,
    }


def game(name: str) -> Sides:
    """A pair of networks of `gans`."""

    def of(steps: int) -> gans.Case:
        return replace(gans.CASES[name], steps=steps)

    def plain(steps: int) -> float:
        case = of(steps)
        return gans.looped(case, gans.plain(*case.networks(), case.latent))

    return {
        "recipes.gan": lambda steps: gans.ours(of(steps)).seconds,
        "Lightning's example": lambda steps: gans.example(of(steps)),
        "plain loop": plain,
    }


def lstm() -> Sides:
    """Of 128 units."""
    name = "LSTM of 128"
    return {
        "recipes.language": lambda steps: languages.ours(name, steps).seconds,
        "plain loop": partial(languages.looped, name),
    }


# Of a work, the steps that are sampled, and its sides.
WORKS: dict[str, tuple[int, Sides]] = {
    "regression": (
        10_000,
        {
            "recipes.regress": lambda steps: regressions.ours(steps).seconds,
            "stock Trainer": regressions.stock,
            "plain loop": lambda steps: loop(
                regressions.plain(regressions.network()), batches(regressions.data()), steps
            ),
        },
    ),
    "student": (600, student(students.FP32, bf16=False)),
    "student, bf16": (1200, student(students.BF16, bf16=True)),
    "distillation": (500, distilled()),
    "GAN, DCGAN": (100, game("DCGAN")),
    "GAN, MLP": (400, game("MLP")),
    "GAN, points 4x64": (2500, game("points 4x64")),
    "GAN, points 4x400": (200, game("points 4x400")),
    "LSTM": (600, lstm()),
}


def owner(path: str, name: str) -> str | None:
    """Whose a function is; nothing for one of Python's own library or of other packages.

    Args:
        path: of its file
        name: of the function
    """
    if name in ATTRIBUTES:
        return None
    function = f"{path.removesuffix('.py')} {name}".replace("\\", "/")
    return next((whose for part, whose in OWNERS.items() if part in function), None)


class Sampler:
    """Seconds, while it is on, that this thread spends in the code of each owner."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self.known: dict[CodeType, str | None] = {}
        self.last = 0.0  # sample

    def enable(self) -> None:
        """Begins."""
        self.last = time.thread_time()
        self.before = signal.signal(signal.SIGALRM, self.take)
        signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)

    def disable(self) -> None:
        """Ends."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self.before)

    def take(self, _: int, frame: FrameType | None) -> None:
        """Gives the time since the last sample to the innermost function that has an owner.

        Python hears of signals when a function in C has ended: a long one is a single sample, which
        therefore counts by its time.
        """
        now = time.thread_time()
        took, self.last = now - self.last, now
        while frame is not None:
            code = frame.f_code
            if code not in self.known:
                self.known[code] = owner(code.co_filename, code.co_name)
            if whose := self.known[code]:
                self.found[whose] += took
                return
            frame = frame.f_back
        self.found[REST] += took


def measure(side: Callable[[int], float], steps: int) -> dict[str, float]:
    """Microseconds of a step by owner."""
    side(2)  # what is imported late
    sampler = Sampler()
    fits.SAMPLERS.append(sampler)
    seconds = side(steps)
    fits.SAMPLERS.clear()
    scale = 1e6 * seconds / steps / sampler.found.total()
    return {whose: took * scale for whose, took in sampler.found.most_common()}


def kept() -> dict[str, dict[str, dict[str, float]]]:
    """Microseconds of a step, by work, side and owner."""
    return json.loads(FILE.read_text())["work"] if FILE.exists() else {}


def owners() -> list[str]:
    """All of them; torch's own last."""
    names = [*dict.fromkeys(OWNERS.values()), REST]
    return sorted(names, key=lambda name: name in ("optimizer", "forward, backward"))


def profiled() -> list[list[str]]:
    """A row for each side, a column for each owner."""
    rows = [["microseconds of a step", "side", *owners(), "together"]]
    for work, sides in kept().items():
        for side, found in sides.items():
            cells = [f"{found.get(name, 0.0):,.0f}" for name in owners()]
            rows.append([work, side, *cells, f"{sum(found.values()):,.0f}"])
    return rows


def draw() -> None:
    """Draws a bar for each side, a part for each owner, in steps of the work's last side."""
    bars = [
        (f"{work}: {side}", found, sum(list(sides.values())[-1].values()))
        for work, sides in kept().items()
        for side, found in sides.items()
    ]
    figure = Figure(figsize=(10, 1 + 0.28 * len(bars)), layout="constrained")
    axes = figure.subplots()
    for place, (_, found, unit) in enumerate(bars):
        left = 0.0
        for number, name in enumerate(reversed(owners())):
            width = found.get(name, 0.0) / unit
            hatch = "//" if number >= len(COLOURS) else None
            look = {"color": style(number)["color"], "hatch": hatch}
            axes.barh(place, width, left=left, label=None if place else name, **look)
            left += width
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars], fontsize="x-small")
    axes.invert_yaxis()
    axes.set(xlabel="time of a step over that of the last side of its work")
    axes.legend(fontsize="x-small", loc="lower right")
    figure.savefig(PICTURE, dpi=110)


def main() -> None:
    """Measures, and writes the table."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    silence_noise()
    kept_here(FILE)
    for name in tqdm([*filter(is_timed, given.only)]):
        steps, sides = WORKS[name]
        found = kept_here(FILE).get("work", {})
        found[name] = {side: measure(of, steps) for side, of in sides.items()}
        found = {name: found[name] for name in WORKS if name in found}
        replace_file(FILE, json.dumps({"machine": machine(), "work": found}, indent=1) + "\n")
    draw()
    pages.write()
    print("\n".join(f"| {' | '.join(row)} |" for row in profiled()))


if __name__ == "__main__":
    main()
