"""A Bernoulli mixture of MNIST by expectation maximisation, beside Adam, at equal passes.

python benchmarks/em_mnist.py [--data_dir data/mnist] [--seeds 0 1 2]

Trains recipes/em/mnist.yaml from the same k-means++ starts by whole M-steps, stepwise ones, and
gradient ascent at three rates with a cosine decay; 20 passes each. It may be stopped and started
again. Prints -log p(x) in nats an image: of validation images after 2 and 20 passes, and of test
images at the end, mean and standard deviation of the seeds.
"""

import argparse
import json

from tables import finished, last_row, mean_std

EACH = "--trainer.accumulate_grad_batches=1"
ADAM = (EACH, "--data.batch_size=100", "--trainer.callbacks+=LRDecay", "--model.optimizer=Adam")
HOW = {
    "whole M-steps, one a pass": (),
    "stepwise, exponent 0.6, batches of 1,000": (EACH, "--model.stepwise=0.6"),
    "Adam at 0.003, batches of 100": (*ADAM, "--model.optimizer.lr=0.003"),
    "Adam at 0.01, batches of 100": (*ADAM, "--model.optimizer.lr=0.01"),
    "Adam at 0.03, batches of 100": (*ADAM, "--model.optimizer.lr=0.03"),
}


def measure(how: str, seed: int, data_dir: str) -> tuple[float, float, float]:
    """Validation losses after 2 passes and after all, and the test loss, of one run."""
    name = "mnist-" + "".join(letter for letter in how if letter.isalnum()) + f"-s{seed}"
    flags = (f"--data.data_dir={data_dir}", f"--seed_everything={seed}", *HOW[how])
    run = finished("em", "mnist", name, *flags)
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    losses = [row["val/loss"] for row in rows if "val/loss" in row]
    return losses[1], losses[-1], last_row(run / "test.jsonl")["test/loss"]


def main() -> None:
    """Prints a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="data/mnist", help="folder of the four .gz files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    chosen = parser.parse_args()
    print("| | val/loss after 2 passes | after 20 | test/loss |\n|---|---|---|---|")
    for how in HOW:
        found = [measure(how, seed, chosen.data_dir) for seed in chosen.seeds]
        columns = [mean_std(list(values), 2) for values in zip(*found, strict=True)]
        print(f"| {how} | {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
