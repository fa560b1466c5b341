"""The part of a module that says how good its samples are."""

from collections.abc import Mapping

from lightning.pytorch import LightningModule
from torch import Tensor

from recipes.parts.evaluation.base import Evaluation
from recipes.parts.evaluation.report import log_values, record, summary


class GenerativeModule(LightningModule):
    """A module that draws examples, and may evaluate them in validation and test.

    What it draws it hands to `self.evaluation.update` in its `validation_step`, which is its
    `test_step` as well.

    Attributes:
        evaluation: of samples; None: there is none
    """

    evaluation: Evaluation | None

    @property
    def split(self) -> str:
        """The data that an evaluation looks at: val or test."""
        return "test" if self.trainer.testing else "val"

    @property
    def evaluates(self) -> bool:
        """Whether the present validation or test is one that looks at samples."""
        return self.evaluation is not None

    def on_validation_start(self) -> None:
        if self.evaluates:
            self.evaluation.prepare(self.trainer.datamodule, self.split)

    def on_validation_epoch_end(self) -> None:
        log_values(self, self.evaluation if self.evaluates else None, self.split)

    def on_test_start(self) -> None:
        self.on_validation_start()

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self.on_validation_epoch_end()

    def on_fit_end(self) -> None:
        record(self.trainer, self.evaluation)

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """How good the samples are at the end, with their floors."""
        return summary(metrics)
