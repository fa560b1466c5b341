"""Kim 2014, table 2: sentences by a convolutional network of random words, ours and the paper's.

python benchmarks/sentences.py [--data data/text] [--sets TREC SST-2 CR MR]

The config recipes/classify/trec.yaml on each set: TREC and SST-2 on the given splits from three
seeds, CR and MR on ten folds. Each run is tested once, by the state of the epoch that was best on
its validation texts. It may be stopped and started again: sentences.json keeps what is done.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes.parts.files import replace_file
from recipes.seeds.result import final
from recipes.seeds.wanted import Wanted
from tables import finish, mean_std

FILE = Path(__file__).with_name("sentences.json")
CONFIG = "trec"


@dataclass(frozen=True)
class Set:
    """Sentences of the paper.

    Attributes:
        paper: test accuracy of CNN-rand, %
        path: file of those to train on, in the folder of the data
        val_path: of those to validate on; by default a tenth of `path`, other ones for each run
        test_path: of those to test on; by default a fold of `path`
    """

    paper: float
    path: str
    val_path: str | None = None
    test_path: str | None = None

    @property
    def runs(self) -> int:
        """How many: seeds, or folds."""
        return 3 if self.test_path else 10

    def flags(self, number: int, data: Path) -> list[str]:
        """Of the `fit` of one run.

        Args:
            number: seed or fold
            data: folder of the files
        """
        flags = [f"--data.path={data / self.path}"]
        flags += [f"--data.val_path={data / self.val_path}"] if self.val_path else []
        if self.test_path:
            files = [f"--data.test_path={data / self.test_path}", f"--data.split={number}"]
            return [*flags, *files, f"--seed_everything={number}"]
        cut = ["--data.test_path=null", f"--data.folds={self.runs}", f"--data.fold={number}"]
        return [*flags, *cut, "--seed_everything=0"]


SETS = {
    "TREC": Set(91.2, "TREC.train.all", test_path="TREC.test.all"),
    "SST-2": Set(82.7, "stsa.binary.train", "stsa.binary.dev", "stsa.binary.test"),
    "CR": Set(79.8, "custrev.all"),
    "MR": Set(76.1, "rt-polarity.all"),
}


def wanted(name: str, data: Path) -> list[Wanted]:
    """The runs of a set."""
    every = [SETS[name].flags(number, data) for number in range(SETS[name].runs)]
    return [
        Wanted("classify", f"sentences-{name}-{number}", (f"--config={CONFIG}", *flags), "best")
        for number, flags in enumerate(every)
    ]


def stored() -> dict[str, list[dict[str, Any]]]:
    """What is done of each set: test metrics and commit of each run, in order."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def tested(run: Wanted) -> dict[str, Any]:
    """Test metrics and commit of a run, which is made first if need be."""
    finish(run)
    metrics = final(run.folder).items()
    found = {key: value for key, value in metrics if key.startswith("test/")}
    return {"run": run.name, "commit": run.facts["commit"], **found}


def make(names: list[str], data: Path) -> None:
    """Makes what is missing of some sets, and keeps each run at once."""
    for name in names:
        for run in wanted(name, data):
            done = stored().get(name, [])
            if run.name not in [each["run"] for each in done]:
                every = stored() | {name: [*done, tested(run)]}
                replace_file(FILE, json.dumps(every, indent=1) + "\n")


def beside_paper() -> list[list[str]]:
    """Test accuracy in %, mean ± std of the sets that are done, beside the paper's."""
    rows = [["", "tested on", "ours", "Kim 2014, CNN-rand"]]
    for name, found in stored().items():
        accuracies, of = [100 * run["test/accuracy"] for run in found], SETS[name]
        if len(accuracies) == of.runs:
            on = f"given test set, {of.runs} seeds" if of.test_path else f"{of.runs} folds"
            rows.append([name, on, mean_std(accuracies), str(of.paper)])
    return rows


def main() -> None:
    """Makes what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/text"), help="folder of the files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    given = parser.parse_args()
    make(given.sets, given.data)
    for row in beside_paper():
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
