"""How good generated digits, MNIST and Fashion-MNIST images are, and what they look like.

python benchmarks/gan_images.py [--configs digits mnist fashion_mnist] [--seeds 0 1 2]
    [--mnist_dir data/mnist] [--fashion_dir data/fashion-mnist]

Trains the classifiers whose features compare images, then each config for each seed; tests each
once, on as many samples as there are test images; prints the table, every value with its floor:
that of as many training images. With all three configs it draws the samples of the first seed to
benchmarks/pictures/gan_images.png.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.image import imread

from tables import finished, last_row, mean_std

NAMES = {"digits": "pixels", "mnist": "convnet", "fashion_mnist": "convnet"}  # of extractors
TITLES = {"digits": "digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
COLUMNS = {"kid": 4, "fid": 3, "precision": 3, "recall": 3, "density": 3, "coverage": 3}
PICTURE = Path(__file__).parent / "pictures" / "gan_images.png"


def draw(folders: list[Path]) -> None:
    """The samples of several runs side by side."""
    figure = Figure(figsize=(12, 4.3), layout="constrained")
    for axes, folder in zip(figure.subplots(1, len(folders)), folders, strict=True):
        axes.imshow(imread(folder / "samples.png"), interpolation="nearest")
        axes.set_title(TITLES[folder.name.rpartition("-")[0]])
        axes.set_axis_off()
    figure.savefig(PICTURE, dpi=100)


def main() -> None:
    """Prints a table in Markdown: a row of values and a row of floors for each config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mnist_dir", default="data/mnist")
    parser.add_argument("--fashion_dir", default="data/fashion-mnist")
    arguments = parser.parse_args()
    folders = {"mnist": arguments.mnist_dir, "fashion_mnist": arguments.fashion_dir}
    sources = {config: [f"--data.data_dir={folder}"] for config, folder in folders.items()}
    if "mnist" in arguments.configs:
        finished("classify", "mnist_convnet", "mnist_convnet", *sources["mnist"])
    if "fashion_mnist" in arguments.configs:
        flags = ["--data=FashionMNIST", "--data.shift=1", *sources["fashion_mnist"]]
        finished("classify", "mnist_convnet", "fashion_convnet", *flags)
    print(f"| | {' | '.join(COLUMNS)} |\n|{'---|' * (len(COLUMNS) + 1)}")
    for config in arguments.configs:
        runs = [
            finished(
                "gan",
                config,
                f"{config}-s{seed}",
                f"--seed_everything={seed}",
                *sources.get(config, []),
            )
            for seed in arguments.seeds
        ]
        rows = [last_row(run / "test.jsonl") for run in runs]
        for suffix in ("", "_floor"):
            cells = [
                mean_std([row[f"test/{key}_{NAMES[config]}{suffix}"] for row in rows], digits)
                for key, digits in COLUMNS.items()
            ]
            print(f"| {config}{suffix.replace('_', ', ')} | {' | '.join(cells)} |", flush=True)
    if arguments.configs == list(NAMES):
        draw([Path("runs", "gan", f"{config}-s{arguments.seeds[0]}") for config in NAMES])


if __name__ == "__main__":
    main()
