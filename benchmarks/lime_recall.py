"""Which words matter to a sparse model of film reviews: how many of them explanations find.

python benchmarks/lime_recall.py [--data data/text/rt-polarity.all] [--texts 50]

Ribeiro et al. 2016, section 5.2 and figure 6, on MR (Pang & Lee 2005) in place of Books and DVDs: a
logistic regression with an L1 penalty, and a tree, that use at most ten words of any text. What
they use is known, and so the share of it that is among the ten words of an explanation, or among as
many as they use. A seed decides over the split and over what is drawn; texts without a word that
matters are left out. It takes half an hour on two slow cores.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor

from datamodules.reading.labelled_texts import read_labelled
from recipes.explain.methods import METHODS, Attribution, Options, captum
from recipes.explain.subjects import Subject, Words
from recipes.seeds.result import save
from tables import mean_std

FILE = Path(__file__).with_name("lime_recall.json")
SEEDS, MOST, SAMPLES = (0, 1, 2), 10, 1000
# Figure 6 and section 5.2: words found by the paper's LIME, %.
PAPER = {"logistic regression": "92.1", "tree": "above 90"}
NAMES = {
    "random": "random words",
    "feature_ablation": "one word left out",
    "kernel_shap": "kernel SHAP",
    "captum": "LIME, captum's defaults",
    "lime": "LIME",
}


class Texts:
    """Texts as sets of words.

    Args:
        path: a line each: 0 or 1, and the words
    """

    def __init__(self, path: Path) -> None:
        found = read_labelled(path, "text", "label", encoding="latin-1", on_error="skip")
        self.labels = np.array([int(label) for label in found.labels])
        self.sets = [sorted({*text.split()}) for text in found.texts]
        every = sorted({word for words in self.sets for word in words})
        self.number = {word: number for number, word in enumerate(every, 1)}  # 0 is padding

    def matrix(self, rows: Sequence[int]) -> csr_matrix:
        """Which words each text has, (rows, words + 1), of 0 and 1."""
        columns = [[self.number[word] for word in self.sets[row]] for row in rows]
        return self.of_tokens(columns)

    def of_tokens(self, tokens: Sequence[Sequence[int]]) -> csr_matrix:
        """The same of numbers of words, where 0 is none."""
        kept = [[token for token in row if token] for row in tokens]
        ends = np.cumsum([0, *map(len, kept)])
        columns = np.concatenate([np.array(row, dtype=int) for row in kept])
        shape = len(kept), len(self.number) + 1
        return csr_matrix((np.ones(len(columns)), columns, ends), shape)


def used_by_regression(model: LogisticRegression, matrix: csr_matrix) -> list[set[int]]:
    """The words with a weight, of each text."""
    weighty = np.flatnonzero(model.coef_[0])
    return [{*row.indices} & {*weighty} for row in matrix]


def used_by_tree(model: DecisionTreeClassifier, matrix: csr_matrix) -> list[set[int]]:
    """The words on each text's path that it has."""
    paths = model.decision_path(matrix)
    asked = [{*model.tree_.feature[path.indices]} for path in paths]
    return [{*row.indices} & words for row, words in zip(matrix, asked, strict=True)]


def sparse_regression(matrix: csr_matrix, labels: np.ndarray) -> LogisticRegression:
    """The largest C of a grid by which no text has more than ten words that matter."""
    best = None
    for c in np.geomspace(0.005, 1, 24):
        model = LogisticRegression(l1_ratio=1, C=c, solver="liblinear").fit(matrix, labels)
        if max(map(len, used_by_regression(model, matrix))) > MOST:
            break
        best = model
    return best


def sparse_tree(matrix: csr_matrix, labels: np.ndarray) -> DecisionTreeClassifier:
    """A path asks for no more than ten words."""
    return DecisionTreeClassifier(max_depth=MOST, random_state=0).fit(matrix, labels)


MODELS: dict[str, tuple[Callable, Callable]] = {
    "logistic regression": (sparse_regression, used_by_regression),
    "tree": (sparse_tree, used_by_tree),
}


def drawn(subject: Subject, options: Options) -> Attribution:
    """Any words, in any order."""
    draw = torch.Generator().manual_seed(options.seed)
    return Attribution(torch.rand(len(subject.features), generator=draw))


def by_defaults(subject: Subject, options: Options) -> Attribution:
    """LIME as captum has it where nothing is said: lasso of alpha 0.01, distances of inputs."""
    ones = torch.ones(1, len(subject.features))
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        found = captum().Lime(subject.with_present)
        values = found.attribute(
            ones,
            baselines=torch.zeros_like(ones),
            n_samples=options.samples,
            perturbations_per_eval=256,
        )
    return Attribution(values[0].double())


def recalls(values: Tensor, tokens: Sequence[int], used: set[int]) -> tuple[float, float]:
    """The share of the used words among the ten largest attributions, and among as many as used.

    An attribution of 0 names no word.
    """
    order = values.abs().argsort(descending=True).tolist()
    named = [tokens[i] for i in order if values[i] != 0]
    return tuple(len({*named[:most]} & used) / len(used) for most in (MOST, len(used)))


def measure(texts: Texts, name: str, seed: int, count: int) -> dict[str, Any]:
    """Mean recalls of one model and seed, by method, and the model's own accuracy.

    Args:
        texts: all of them
        name: of the model
        seed: of the split, and of what is drawn
        count: of texts that are explained
    """
    order = np.random.default_rng(seed).permutation(len(texts.sets))
    test, train = order[:2000], order[2000:]
    make, used_by = MODELS[name]
    model = make(texts.matrix(train), texts.labels[train])
    used = used_by(model, texts.matrix(test))
    chosen = [(row, words) for row, words in zip(test, used, strict=True) if words][:count]
    options = Options(samples=SAMPLES, seed=seed)
    how = {"random": drawn, "captum": by_defaults} | METHODS
    found: dict[str, list] = {method: [] for method in NAMES}
    for row, words in chosen:
        tokens = [texts.number[word] for word in texts.sets[row]]
        place = int(model.predict(texts.matrix([row]))[0])

        def probability(inputs: Tensor, place: int = place) -> Tensor:
            matrix = texts.of_tokens(inputs.tolist())
            return torch.from_numpy(model.predict_proba(matrix)[:, place])

        subject = Words(probability, torch.tensor(tokens), texts.sets[row], None)
        for method in NAMES:
            values = how[method](subject, options).values
            found[method].append(recalls(values, tokens, words))
    accuracy = model.score(texts.matrix(test), texts.labels[test])
    sizes = np.mean([len(words) for _, words in chosen])
    lengths = np.mean([len(texts.sets[row]) for row, _ in chosen])
    means = {method: np.mean(pairs, 0).tolist() for method, pairs in found.items()}
    return means | {"accuracy": accuracy, "used": float(sizes), "words": float(lengths)}


def compared() -> list[list[str]]:
    """The table of the page: words found, in %, among ten and among as many as are used."""
    stored = json.loads(FILE.read_text())
    header = ["explanation"]
    for name in MODELS:
        header += [f"{name}: among 10", "among as many"]
    rows = [header]
    for method, said in NAMES.items():
        row = [said]
        for name in MODELS:
            pairs = [stored[f"{name} {seed}"][method] for seed in SEEDS]
            row += [mean_std([100 * pair[k] for pair in pairs]) for k in range(2)]
        rows.append(row)
    paper = [cell for name in MODELS for cell in (PAPER[name], "")]
    return [*rows, ["LIME in the paper, on Books", *paper]]


def main() -> None:
    """Runs the command."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--data", type=Path, default=Path("data/text/rt-polarity.all"))
    parser.add_argument("--texts", type=int, default=50, help="explained, of each seed")
    arguments = parser.parse_args()
    texts = Texts(arguments.data)
    stored = json.loads(FILE.read_text()) if FILE.exists() else {}
    for seed in SEEDS:
        for name in MODELS:
            if (key := f"{name} {seed}") not in stored:
                stored[key] = measure(texts, name, seed, arguments.texts)
                save(FILE, stored)
            print(key, json.dumps(stored[key]), flush=True)


if __name__ == "__main__":
    main()
