"""Modes found on a ring and a grid, after PacGAN's table 1: five games at an equal budget.

python benchmarks/pacgan.py [--data ring grid] [--seeds 0 1 2 3 4]

Every game has the config's networks and sees the 100,000 points as often as the config says, in
batches of 256 for each update of the discriminator. Its learning rate is the one of three with the
most modes times high-quality samples on the validation points, by the first seed; then every seed
is tested once. The paper's columns are of 400,000 updates of networks of 4x400.
"""

import argparse
from pathlib import Path

from tables import finished, last_row, mean_std

RATES = (0.0005, 0.002, 0.005)
OPTIMIZERS = ("generator_optimizer", "discriminator_optimizer")


def betas(one: float, two: float) -> list[str]:
    """Adam's, as flags for both optimizers."""
    return [f"--model.{optimizer}.betas=[{one},{two}]" for optimizer in OPTIMIZERS]


def packed(pack: int) -> list[str]:
    """The non-saturating game with so many points shown at a time, as flags."""
    game = ["--model.loss=non_saturating", "--model.penalties=null", *betas(0.5, 0.999)]
    return [*game, f"--model.pack={pack}", f"--model.discriminator.pack={pack}"]


WGAN_GP = [
    "--model.loss=wasserstein",
    "--model.penalties=[{class_path: GradientPenalty, init_args: {weight: 0.1}}]",
    "--model.discriminator_steps=5",
    "--data.batch_size=1280",
    *betas(0.5, 0.9),
]
GAMES = {"GAN": packed(1), "PacGAN2": packed(2), "PacGAN4": packed(4), "WGAN-GP": WGAN_GP}
GAMES["R3GAN"] = []  # the config
PAPER = {  # modes, share of high quality in %, reverse KL
    "ring": {"GAN": (6.3, 98.2, 0.45), "PacGAN2": (7.9, 95.6, 0.07), "PacGAN4": (7.8, 95.9, 0.07)},
    "grid": {
        "GAN": (17.3, 94.8, 0.70),
        "PacGAN2": (23.8, 91.3, 0.13),
        "PacGAN4": (24.8, 93.6, 0.04),
    },
}


def run(data: str, game: str, rate: float, seed: int, test: bool) -> Path:
    """The folder of one training."""
    rates = [f"--model.{optimizer}.lr={rate}" for optimizer in OPTIMIZERS]
    flags = [f"--seed_everything={seed}", *rates, *GAMES[game]]
    name = f"{data}-{game.lower()}-lr{rate}-s{seed}"
    return finished("gan", data, name, *flags, test=test)


def best_rate(data: str, game: str, seed: int) -> float:
    """Of RATES, by validation."""

    def quality(rate: float) -> float:
        row = last_row(run(data, game, rate, seed, test=False) / "metrics.jsonl")
        return row["val/modes"] * row["val/high_quality"]

    return max(RATES, key=quality)


def main() -> None:
    """Prints a table in Markdown for each of the data."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=["ring", "grid"], default=["ring", "grid"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    for data in arguments.data:
        print(f"\n| {data} | rate | modes | high quality, % | reverse KL | paper |", flush=True)
        print("|---|---|---|---|---|---|")
        for game in GAMES:
            rate = best_rate(data, game, arguments.seeds[0])
            folders = [run(data, game, rate, seed, test=True) for seed in arguments.seeds]
            rows = [last_row(folder / "test.jsonl") for folder in folders]
            columns = [
                mean_std([row["test/modes"] for row in rows]),
                mean_std([100 * row["test/high_quality"] for row in rows]),
                mean_std([row["test/reverse_kl"] for row in rows], 3),
                " / ".join(map(str, PAPER[data].get(game, ()))),
            ]
            print(f"| {game} | {rate} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
