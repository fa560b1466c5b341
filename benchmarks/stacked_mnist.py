"""Which of R3GAN's parts finds the 1,000 modes of stacked MNIST (Huang et al. 2024, table 1).

python benchmarks/stacked_mnist.py [--seeds 0 1 2] [--games "RpGAN + R1 + R2" ...]
    [--data_dir data/mnist]

Trains the classifier that reads the digits, then each game for each seed by the config, and tests
each once on 26,000 samples. The paper's column is of networks and a budget that are far larger.
"""

import argparse
from pathlib import Path

from tables import finished, last_row, mean_std

GAN = "--model.loss=non_saturating"
R1_ALONE = "--model.penalties=[{class_path: R1, init_args: {weight: 1.0}}]"
GAMES = {
    "RpGAN + R1 + R2": [],  # the config
    "GAN + R1 + R2": [GAN],
    "RpGAN + R1": [R1_ALONE],
    "GAN + R1": [GAN, R1_ALONE],
}
PAPER = {
    "RpGAN + R1 + R2": "1000 / 0.078",
    "GAN + R1 + R2": "693 / 0.927",
    "RpGAN + R1": "fails",
    "GAN + R1": "fails",
}


def run(game: str, seed: int, data_dir: str) -> Path:
    """The folder of one training."""
    name = f"stacked-{game.lower().replace(' + ', '-')}-s{seed}"
    flags = [f"--seed_everything={seed}", f"--data.data_dir={data_dir}", *GAMES[game]]
    return finished("gan", "stacked_mnist", name, *flags)


def main() -> None:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--games", nargs="+", choices=GAMES, default=list(GAMES))
    parser.add_argument("--data_dir", default="data/mnist")
    arguments = parser.parse_args()
    data = f"--data.data_dir={arguments.data_dir}"
    finished("classify", "mnist_convnet", "mnist_convnet", data)
    print("| game | modes | KL | floor of the KL | paper: modes / KL |\n|---|---|---|---|---|")
    for game in arguments.games:
        folders = [run(game, seed, arguments.data_dir) for seed in arguments.seeds]
        rows = [last_row(folder / "test.jsonl") for folder in folders]
        cells = [
            mean_std([row[f"test/{key}"] for row in rows], digits)
            for key, digits in (("modes", 0), ("kl", 3), ("kl_floor", 3))
        ]
        print(f"| {game} | {' | '.join(cells)} | {PAPER[game]} |", flush=True)


if __name__ == "__main__":
    main()
