"""The LightningDataModule that all of this project's are made of."""

from typing import Any, ClassVar

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

OLD = "pytorch_lightning"


class DataModule(LightningDataModule):
    """Lightning's, which tells what to import where the Trainer is of another package.

    The same package under its old name has other classes, and fails by `Expected a parent`.

    Attributes:
        headings: of --help, and the arguments below each; others stand before the first one
        is_here: whether `setup` uses no network, even where `prepare_data` has not been called
    """

    is_here = True
    headings: ClassVar[dict[str, str]] = {
        "splits": "val_size test_size split split_seed",
        "folds": "folds fold repeat",
        "batches": "batch_size reshuffle seed num_workers block streams",
    }

    @property
    def trainer(self) -> Any:  # noqa: ANN401 - a Trainer, or None
        """The Trainer that it is attached to."""
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: Any) -> None:  # noqa: ANN401 - a Trainer, or None
        if type(trainer).__module__.partition(".")[0] == OLD:
            name = type(self).__name__
            raise ValueError(f"{name} is no datamodule of {OLD}: import lightning.pytorch as pl")
        self._trainer = trainer

    @property
    def goes_on(self) -> bool:
        """Whether a fit goes on with a state that is loaded, and so needs the same data."""
        return self.trainer is not None and self.trainer.state.fn == TrainerFn.FITTING
