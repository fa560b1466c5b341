"""A pretrained encoder on Kim's sentences: linear probe, LoRA and full fine-tuning of MiniLM.

python benchmarks/sentence_encoder.py [--data data/text] [--model data/minilm] [--sets TREC CR]

TREC by the config recipes/classify/trec_encoder.yaml, on the given test set, from seeds 0 to 2,
which also draw the validation texts; CR, on ten folds. The rate of both is the one of the highest
validation accuracy of TREC's seed 0. The probe is logistic regression on frozen features, which are
computed once; each run's validation texts choose its C. Test texts are used once by each rate that
is chosen; the page says which were added later. It may be stopped and started again:
sentence_encoder.json keeps each run.
"""

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from datamodules import Sentences
from recipes.parts.files import replace_file
from recipes.parts.networks import evaluating
from recipes.parts.pretrained import TextEncoder
from recipes.seeds.result import final
from recipes.seeds.wanted import Wanted
from tables import finish, mean_std

FILE = Path(__file__).with_name("sentence_encoder.json")
RUNS, CHOOSING = {"TREC": 3, "CR": 10}, 0  # seeds, folds; the seed that chooses rates
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)  # C: the larger, the less regularisation
# Of Kim 2014, table 2, CNN-non-static: words start as word2vec's, and are trained.
PAPER = {"TREC": 93.6, "CR": 84.3}
PROBE = "linear probe"
LORA = (
    "--model.network=recipes.parts.wrappers.lora",
    "--model.network.network=TextEncoder",
    "--model.network.targets=/(query|value)/",  # as Hu et al. 2021
    "--model.network.rank=8",
)
# Flags, the prefix of the encoder's arguments, and the rates that are tried.
METHODS: dict[str, tuple[tuple[str, ...], str, tuple[float, ...]]] = {
    "LoRA": (LORA, "--model.network.network", (0.001, 0.003, 0.01)),
    "full": ((), "--model.network", (0.0001, 0.0003, 0.001)),
}


def stored() -> dict[str, dict[str, float]]:
    """What is done: the metrics of each run, by its name."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def keep(name: str, make: Callable[[], dict[str, float]]) -> dict[str, float]:
    """The metrics of a run, which is made first if need be, and kept at once."""
    if name not in stored():
        found = make()
        replace_file(FILE, json.dumps(stored() | {name: found}, indent=1) + "\n")
    return stored()[name]


def tuned(method: str, rate: float, name: str, number: int, given: argparse.Namespace) -> Wanted:
    """A run of fine-tuning.

    Args:
        method: of `METHODS`
        rate: learning rate
        name: TREC or CR
        number: of the seed, or of the fold
        given: folders of the texts and of the model
    """
    flags, encoder, _ = METHODS[method]
    flags += (f"{encoder}.path={given.model}", f"--data.tokens={given.model / 'tokenizer.json'}")
    flags += (f"--model.optimizer.lr={rate}",)
    if name == "TREC":
        files = {"path": "TREC.train.all", "test_path": "TREC.test.all"}
        flags += (f"{encoder}.outputs=6", f"--seed_everything={number}", f"--data.split={number}")
    else:
        files = {"path": "custrev.all"}
        flags += (f"{encoder}.outputs=2", "--seed_everything=0", "--data.test_path=null")
        flags += (f"--data.folds={RUNS[name]}", f"--data.fold={number}")
    flags += tuple(f"--data.{option}={given.data / file}" for option, file in files.items())
    own = f"encoder-{method}-{name}-{rate}-{number}"
    return Wanted("classify", own, ("--config=trec_encoder", *flags), "best")


def validated(run: Wanted) -> dict[str, float]:
    """The best validation accuracy of a run, which is not tested."""
    finish(run, test=False)
    rows = [json.loads(row) for row in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return {"val/accuracy": max(row["val/accuracy"] for row in rows if "val/accuracy" in row)}


def tested(run: Wanted) -> dict[str, float]:
    """The test accuracy of a run, by the state that was best on its validation texts."""
    finish(run)
    facts = {name: run.facts[name] for name in ("seconds", "commit")}
    return {"test/accuracy": final(run.folder)["test/accuracy"], **facts}


def chosen(method: str) -> float | None:
    """The rate that validation chooses; None if its runs are not all there."""
    names = {rate: f"{method}, TREC, validation, rate {rate}" for rate in METHODS[method][2]}
    found = {rate: stored().get(name) for rate, name in names.items()}
    if None in found.values():
        return None
    return max(found, key=lambda rate: found[rate]["val/accuracy"])


class Probe:
    """Linear classifiers on an encoder's frozen features, which are computed once a text.

    Args:
        encoder: as it is
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.known: dict[str, np.ndarray] = {}  # of each text

    def features(self, data: Sentences, part: str) -> np.ndarray:
        """Features of the texts of a part, (texts, width)."""
        table, texts = data.tables[part], [text for _, _, text in data.texts[part]]
        order = table.lengths.argsort()
        new = order[[texts[row] not in self.known for row in order.tolist()]]
        with torch.no_grad(), evaluating(self.encoder):
            for rows in new.split(data.batch_size) if len(new) else ():
                found = self.encoder.features(table.gather(rows, 0)[0]).numpy()
                self.known |= dict(zip([texts[row] for row in rows], found, strict=True))
        return np.stack([self.known[text] for text in texts])

    def test(self, data: Sentences) -> dict[str, float]:
        """Test accuracy of the classifier whose C is the best on the validation texts."""
        data.setup("fit")
        parts = {
            part: (self.features(data, part), table.labels.numpy())
            for part, table in data.tables.items()
        }
        fits = [LogisticRegression(C=c, max_iter=2000).fit(*parts["train"]) for c in STRENGTHS]
        best = max(fits, key=lambda fit: fit.score(*parts["val"]))
        return {"test/accuracy": float(best.score(*parts["test"])), "C": best.C}


def probe(given: argparse.Namespace) -> None:
    """Probes TREC from each seed, and CR on each fold."""
    probe = Probe(TextEncoder(str(given.model), outputs=1))
    shared = {"tokens": str(given.model / "tokenizer.json"), "encoding": "latin-1"}
    shared |= {"max_length": 64, "on_error": "skip"}
    trec = {"path": str(given.data / "TREC.train.all")}
    trec["test_path"] = str(given.data / "TREC.test.all")
    for seed in range(RUNS["TREC"]):
        data = Sentences(**trec, **shared, split=seed)
        keep(f"{PROBE}, TREC, {seed}", lambda data=data: probe.test(data))
    for fold in range(RUNS["CR"]):
        data = Sentences(str(given.data / "custrev.all"), **shared, folds=RUNS["CR"], fold=fold)
        keep(f"{PROBE}, CR, {fold}", lambda data=data: probe.test(data))


def tune(given: argparse.Namespace) -> None:
    """Chooses the rates of LoRA and full fine-tuning, then tests them from each seed and fold."""
    for method, (_, _, rates) in METHODS.items():
        for rate in rates:
            run = tuned(method, rate, "TREC", CHOOSING, given)
            keep(f"{method}, TREC, validation, rate {rate}", lambda run=run: validated(run))
    for name in given.sets:
        for number, method in product(range(RUNS[name]), METHODS):
            run = tuned(method, chosen(method), name, number, given)
            keep(key(method, name, number), lambda run=run: tested(run))


def key(method: str, name: str, number: int) -> str:
    """What a test is kept by: it holds the rate that was chosen, if there is one."""
    rate = f", rate {chosen(method)}" if method in METHODS else ""
    return f"{method}, {name}{rate}, {number}"


def accuracy(method: str, name: str) -> str:
    """Test accuracy in %, mean ± std of the seeds or folds that are done, if there are two."""
    count = RUNS[name]
    found = [stored().get(key(method, name, number)) for number in range(count)]
    done = [100 * run["test/accuracy"] for run in found if run]
    if len(done) < 2:
        return ""
    return mean_std(done) + (f" ({len(done)} of {count})" if len(done) < count else "")


def beside_paper() -> list[list[str]]:
    """Test accuracy in %, mean ± std of seeds or folds, beside the paper's."""
    rows = [["", *PAPER, "rate"]]
    for method in (PROBE, *METHODS):
        cells = [accuracy(method, name) for name in PAPER]
        rate = chosen(method) if method in METHODS else None
        rows.append([f"MiniLM, {method}", *cells, f"{rate:g}" if rate else ""])
    return [*rows, ["Kim 2014, CNN-non-static", *map(str, PAPER.values()), ""]]


def main() -> None:
    """Makes what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/text"), help="folder of the files")
    parser.add_argument("--model", type=Path, default=Path("data/minilm"), help="folder of MiniLM")
    parser.add_argument(
        "--sets", nargs="+", choices=RUNS, default=list(RUNS), help="to fine-tune on"
    )
    given = parser.parse_args()
    tune(given)
    probe(given)
    for row in beside_paper():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
