"""Explains rows while a run predicts them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor

from datamodules.tabular import TabularData
from recipes.explain.kinds import Explained, Maker, Wanted, kind_of, maker
from recipes.explain.methods import GRADIENTS, METHODS, Attribution, Options
from recipes.explain.permutation import Importance, importance_of
from recipes.explain.subjects import Subject
from recipes.export.deployed import Deployed
from recipes.running.trained import training_batches

PERMUTATION = "permutation"


@dataclass
class Row:
    """A row that is explained.

    Attributes:
        name: as predictions.csv has it, or its number there
        subject: what it is made of
        explained: what of its prediction
        output: that, f(x)
        attributions: by method
    """

    name: str
    subject: Subject
    explained: Explained
    output: float
    attributions: dict[str, Attribution]


class Explainer(Callback):
    """Explains some of the rows that are predicted, by the weights that the run evaluated.

    Args:
        rows: their numbers, from 0; those that there are not are refused
        methods: names
        options: of the methods
        label: see `Wanted`
        target: see `Wanted`
        patch: side of the patches of a picture
        background: how many training rows stand for what is not there

    Attributes:
        kind: table, picture or text
        rows: what was found, in order
        importance: of a table's columns, if it was asked for
    """

    def __init__(
        self,
        rows: Sequence[int] | None,
        methods: Sequence[str],
        options: Options,
        label: str | None,
        target: str | None,
        patch: int,
        background: int,
    ) -> None:
        self.numbers, self.methods, self.options = rows, methods, options
        self.label, self.target, self.patch, self.count = label, target, patch, background
        self.inputs: list[Tensor] = []
        self.outputs: list[dict[str, Tensor]] = []
        self.names: list[str] = []
        self.rows: list[Row] = []
        self.importance: Importance | None = None

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: dict[str, Tensor],
        batch: Sequence[Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        data = trainer.datamodule
        self.inputs.append(batch[0])
        self.outputs.append(outputs)
        if hasattr(data, "identifiers") and len(batch) > 2 and kind_of(data) != "text":
            self.names += data.identifiers(batch[-1])
        else:
            first = len(self.names)
            self.names += [str(first + number) for number in range(len(batch[0]))]

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = trainer.datamodule
        self.kind = kind_of(data)
        deployed = Deployed(pl_module, data).eval()
        wanted = Wanted(deployed, self.label, self.target)
        background = None if self.kind == "text" else training_inputs(data, self.count)
        make = maker(pl_module, data, background, self.patch)
        with torch.enable_grad():
            self.rows = [
                self._explain(name, inputs, make, wanted) for name, inputs in self._chosen()
            ]
            if PERMUTATION in self.methods:
                self._permute(deployed, wanted, data)

    def _chosen(self) -> list[tuple[str, Tensor]]:
        """The rows' names and inputs.

        Raises:
            ValueError: if there are fewer rows
        """
        every = [row for inputs in self.inputs for row in inputs]
        count = len(every)
        numbers = self.numbers
        if numbers is None:
            numbers = range(min(count, 100 if self.kind == "table" else 8))
        if (most := max(numbers)) >= count:
            raise ValueError(f"--rows: there is no row {most}, the last one is {count - 1}")
        return [(self.names[number], every[number]) for number in numbers]

    def _explain(self, name: str, inputs: Tensor, make: Maker, wanted: Wanted) -> Row:
        (explained,) = wanted.of(inputs.unsqueeze(0))
        function = explained.function(wanted.deployed)
        subject = make(function, inputs)
        if not subject.features:
            raise ValueError(f"--rows: row {name} has no words")
        with torch.no_grad():
            output = function(inputs.unsqueeze(0)).item()
        row = Row(name, subject, explained, output, {})
        for method in self.methods:
            if method in GRADIENTS and not hasattr(subject, "point"):
                raise ValueError(f"--method={method}: the network has no single embedding of words")
            if method != PERMUTATION:
                row.attributions[method] = METHODS[method](subject, self.options)
        return row

    def _permute(self, deployed: Deployed, wanted: Wanted, data: TabularData) -> None:
        if self.kind != "table":
            raise ValueError(f"--method={PERMUTATION} is of the columns of a table")
        outputs = {name: torch.cat([o[name] for o in self.outputs]) for name in self.outputs[0]}
        found = torch.cat(self.inputs), outputs
        self.importance = importance_of(deployed, wanted, data, *found, self.options.seed)


def training_inputs(data: LightningDataModule, count: int) -> Tensor:
    """Some of the training inputs, as the network takes them, evenly taken from the first batches.

    Args:
        data: the run's, of which it may be that only what is predicted has been set up
        count: how many at most

    Returns:
        (rows, ...)
    """
    parts, rows = [], 0
    for inputs, *_ in training_batches(data):
        parts.append(inputs)
        rows += len(inputs)
        if rows >= count:
            break
    return torch.cat(parts)[:count]
