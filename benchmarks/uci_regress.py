"""UCI regressions with one hidden layer of 50 units: the table of recipes/regress/README.md.

python benchmarks/uci_regress.py [--data_dir data/uci] [--sets yacht energy ...]

For every set and both losses, by recipes.study: learning rate, weight decay and length of training
are chosen for each of the published 20 splits on a fifth of its training rows (2 seeds); then five
networks are trained on all of them (mse: on nine tenths, the others tell the residuals' variance)
and tested once, each and as a deep ensemble. It may be stopped and started again.
"""

import argparse
import csv
import statistics
from pathlib import Path

from tables import finished

SETS = {  # number of inputs; batch size and epochs: 3,600 to 5,400 steps
    "yacht": (6, 32, 600),
    "energy": (8, 32, 300),
    "wine-quality-red": (11, 32, 100),
    "power-plant": (4, 128, 100),
}
PAPERS = {  # RMSE and NLL: Hernandez-Lobato & Adams 2015; Gal & Ghahramani 2016; Lakshminarayanan
    # et al. 2017
    "yacht": {"PBP": (1.02, 1.63), "MC dropout": (1.11, 1.55), "ensembles": (1.58, 1.18)},
    "energy": {"PBP": (1.80, 2.04), "MC dropout": (1.66, 1.99), "ensembles": (2.09, 1.38)},
    "wine-quality-red": {
        "PBP": (0.64, 0.97),
        "MC dropout": (0.62, 0.93),
        "ensembles": (0.64, 0.94),
    },
    "power-plant": {"PBP": (4.12, 2.84), "MC dropout": (4.02, 2.80), "ensembles": (4.11, 2.79)},
}


def tested(dataset: str, loss: str, data_dir: str) -> list[dict[str, str]]:
    """Rows of the test of one set and loss: every network, and every split's ensemble."""
    inputs, batch_size, epochs = SETS[dataset]
    metric, outputs = {"mse": ("rmse", 1), "gaussian_nll": ("nll", 2)}[loss]
    flags = (
        f"--model.loss={loss}",
        f"--model.metric={metric}",
        f"--model.network.inputs={inputs}",
        f"--model.network.outputs={outputs}",
        f"--data.dataset={dataset}",
        f"--data.data_dir={data_dir}",
        f"--data.batch_size={batch_size}",
        f"--trainer.max_epochs={epochs}",
    )
    name = f"uci-{dataset}-{loss}"
    study = finished("study", "uci", name, *flags, test=False)
    again = (
        "--model.search=Chosen",
        f"--model.search.study={study}",
        "--model.seeds=[0,1,2,3,4]",
        # Networks without a variance have that of their residuals on a tenth of the rows.
        f"--data.val_size={0.1 if loss == 'mse' else 0}",
    )
    folder = finished("study", "uci", f"{name}-again", *flags, *again)
    with (folder / "test.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def mean_error(rows: list[dict[str, str]], metric: str, ensemble: bool) -> str:
    """Mean over splits and the standard error of it, of the ensembles or of single networks."""
    values: dict[str, list[float]] = {}
    for row in rows:
        if (row["seed"] == "ensemble") == ensemble:
            values.setdefault(row["split"], []).append(float(row[metric]))
    splits = [statistics.fmean(split) for split in values.values()]
    error = statistics.pstdev(splits) / len(splits) ** 0.5
    return f"{statistics.fmean(splits):.3f} ± {error:.3f}"


def main() -> None:
    """Prints RMSE and NLL, in the target's own unit and in nats, beside the papers'."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", type=Path, default=Path("data/uci"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    arguments = parser.parse_args()
    lines = []
    for dataset in arguments.sets:
        rows = {loss: tested(dataset, loss, arguments.data_dir) for loss in ("mse", "gaussian_nll")}
        for metric, number in (("rmse", 0), ("nll", 1)):
            ours = [
                mean_error(rows[loss], metric, ensemble) if metric in rows[loss][0] else ""
                for loss in ("mse", "gaussian_nll")
                for ensemble in (False, True)
            ]
            papers = [f"{paper[number]:.2f}" for paper in PAPERS[dataset].values()]
            lines.append(f"| {dataset} | {metric.upper()} | {' | '.join(ours + papers)} |")
    print("| | | mse | mse, 5 | nll | nll, 5 | PBP | MC dropout | ensembles |")
    print("|---" * 9 + "|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
