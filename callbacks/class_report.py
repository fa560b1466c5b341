"""How a classifier does on each class, as a text and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from torchmetrics.classification import MulticlassCalibrationError, MulticlassConfusionMatrix

from recipes.parts.files import replace_file, replacing

BINS = 15  # of the calibration error, as in Guo et al. 2017
COUNTED = 20  # classes up to which a picture has the counts in it
NAMED = 40  # classes up to which it has their names


class ClassReport(Callback):
    """Writes `report.txt` and `confusion.png` to the run's folder after `test`.

    The report has each class's precision, recall and F1, and the expected calibration error (Guo et
    al. 2017, https://arxiv.org/abs/1706.04599), 0 to 1, of 15 bins of the largest probability:

        ECE = sum over bins b of n_b / n |accuracy_b - mean probability_b|

    The picture has a row for each class: the shares that its examples were taken for. Classes are
    called as the data's `class_names` say. The two are made if the module's `test_step` returns
    `target`, class numbers (batch,), and `probability`, (batch, classes), of known targets.

    ```yaml
    - class_path: ClassReport
    ```
    """

    def __init__(self) -> None:
        self.confusion: MulticlassConfusionMatrix | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.confusion = None

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        *args: object,
        dataloader_idx: int = 0,
    ) -> None:
        if not isinstance(outputs, dict) or not {"target", "probability"} <= outputs.keys():
            return
        target, probability = outputs["target"], outputs["probability"]
        if self.confusion is None:
            classes = probability.shape[1]
            self.confusion = MulticlassConfusionMatrix(classes).to(probability.device)
            self.calibration = MulticlassCalibrationError(classes, BINS).to(probability.device)
        self.confusion.update(probability, target)
        self.calibration.update(probability, target)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.confusion is None or trainer.fast_dev_run:
            return
        counts = self.confusion.compute().cpu().numpy()  # of all processes
        if not counts.sum():  # no target is known, of which there is no error
            return
        error = float(self.calibration.compute())
        if not trainer.is_global_zero:
            return
        names = getattr(trainer.datamodule, "class_names", None) or ()
        names = [*names, *map(str, range(len(names), len(counts)))][: len(counts)]
        text = report(counts, names)
        text += f"\nexpected calibration error, {BINS} bins: {error:.4f}\n"
        folder = Path(trainer.default_root_dir)
        replace_file(folder / "report.txt", text)
        draw(counts, names, folder / "confusion.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("test/confusion", [str(folder / "confusion.png")])
                logger.log_text("test/report", ["report"], [[text]])


def report(counts: np.ndarray, names: Sequence[str]) -> str:
    """scikit-learn's report: precision, recall and F1 of each class.

    Args:
        counts: examples by true and predicted class, (classes, classes)
        names: of the classes
    """
    from sklearn.metrics import classification_report  # half a second

    true, predicted = (np.repeat(each.ravel(), counts.ravel()) for each in np.indices(counts.shape))
    labels = range(len(counts))
    return classification_report(
        true, predicted, labels=labels, target_names=names, digits=4, zero_division=0
    )


def draw(counts: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Draws a confusion matrix as a PNG file; arguments as in `report`."""
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = min(max(4.0, 0.45 * classes + 2), 20.0)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted class", ylabel="true class")
    picture = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(picture, label="share of the true class", shrink=0.8)
    if classes <= NAMED:
        # A name may have a dollar sign, which would begin a formula.
        axes.set_xticks(range(classes), names, rotation=90, parse_math=False)
        axes.set_yticks(range(classes), names, parse_math=False)
    if classes <= COUNTED:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format="png")
