"""Importance weighted autoencoders on MNIST at a budget, beside Burda et al. 2016, table 1.

python benchmarks/vae_mnist.py [--data_dir data/mnist] [--seeds 0 1 2] [--samples 1 5]

Trains recipes/vae/mnist.yaml, 100 epochs, by one code an image (VAE) and by five (IWAE), and tests
each run once: -log p(x) in nats by 5,000 codes an image. It may be stopped and started again.
Prints mean and standard deviation of the seeds, and the paper's values.
"""

import argparse

from tables import finished, last_row, mean_std

PAPER = {1: 86.76, 5: 85.54, 50: 84.78}  # one stochastic layer


def measure(samples: int, seed: int, data_dir: str) -> tuple[float, float, float]:
    """The test set's bound, -log p(x) and active units, of one run."""
    flags = [f"--data.data_dir={data_dir}", f"--seed_everything={seed}"]
    if samples > 1:
        flags += ["--model.method=iwae", f"--model.samples={samples}"]
    run = finished("vae", "mnist", f"mnist-k{samples}-s{seed}", *flags)
    row = last_row(run / "test.jsonl")
    return row["test/loss"], row["test/nll"], row["test/active_units"]


def main() -> None:
    """Prints a row for each number of codes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data/mnist", help="folder of the four .gz files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 5], help="codes an image")
    chosen = parser.parse_args()
    print("| | test/loss | test/nll | active units | the paper's test/nll |\n|---|---|---|---|---|")
    for samples in chosen.samples:
        found = [measure(samples, seed, chosen.data_dir) for seed in chosen.seeds]
        loss, nll, units = (list(values) for values in zip(*found, strict=True))
        name = f"IWAE, k = {samples}" if samples > 1 else "VAE"
        values = mean_std(loss, 2), mean_std(nll, 2), mean_std(units), PAPER.get(samples, "")
        print(f"| {name} | {' | '.join(map(str, values))} |", flush=True)


if __name__ == "__main__":
    main()
