"""The tables of networks beside scikit-learn, of what beside_sklearn.py has found."""

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

from tables import mean_std

FILE = Path(__file__).with_name("beside_sklearn.json")
FOLDS = 5
Found = dict[str, dict[str, Any]]  # by fold and method: setting, seconds, and RMSE on val and test
Rows = list[list[str]]  # of a table, its header first


def stored() -> dict[str, Found]:
    """What is done, by set."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def complete() -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The sets of which all folds are done: what came of each, by method."""
    found = {}
    for name, folds in stored().items():
        methods = max(folds.values(), key=len)
        every = {method: [f[method] for f in folds.values() if method in f] for method in methods}
        if all(len(of_folds) == FOLDS for of_folds in every.values()):
            found[name] = every
    return found


def compared() -> Rows:
    """Test RMSE, mean ± std over folds, the least in bold, and mean seconds to train, by set."""
    rows = []
    for name, of in complete().items():
        rmse = {method: [each["test"] for each in found] for method, found in of.items()}
        best = min(rmse, key=lambda method: statistics.fmean(rmse[method]))
        row = [name]
        for method, found in of.items():
            text = mean_std(rmse[method], 3)
            seconds = statistics.fmean(each["seconds"] for each in found)
            row.append(f"{f'**{text}**' if method == best else text}, {seconds:.1f} s")
        rows.append(row)
    methods = next(iter(complete().values()), {})
    return [["", *methods], *rows]


def settings() -> Rows:
    """What was chosen on most folds, and on how many."""
    every = complete()
    rows = [["", *every]]
    for method in next(iter(every.values()), {}):
        row = [method]
        for of in every.values():
            texts = [
                ", ".join(f"{key} {value}" for key, value in each["setting"].items())
                for each in of[method]
            ]
            ((text, count),) = Counter(texts).most_common(1)
            row.append(f"{text} ({count} of {FOLDS})")
        rows.append(row)
    return rows
