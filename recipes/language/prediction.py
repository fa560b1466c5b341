"""What `predict` writes: texts that go on from a prompt."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from callbacks import WritePredictions
from datamodules.loading.data_module import DataModule
from datamodules.loading.loader import Loader
from datamodules.loading.numbers import Numbers
from recipes.parts.files import replace_file

BLOCK = 16  # texts at a time


class Continuations(DataModule):
    """Texts that are written, in place of data: `predict` needs no file of the fit.

    Args:
        prompt: that each begins with, as in `Tokens.prompt`
        tokens: that are added to it
        count: of texts
        how: temperature and top_p, as in `nucleus`

    Attributes:
        texts: those that are written, with their prompt
    """

    def __init__(self, prompt: str | None, tokens: int, count: int, how: dict[str, float]) -> None:
        super().__init__()
        self.prompt, self.tokens, self.count, self.how = prompt, tokens, count, how
        self.texts: list[str] = []

    def predict_dataloader(self) -> Loader:
        """Batches of numbers, (batch,) each."""
        return Loader(Numbers(self.count), BLOCK)


class WriteTexts(Callback):
    """Prints texts, and writes them to `generated.txt` in the run's folder, or to `--output`.

    Args:
        data: that has them
    """

    def __init__(self, data: Continuations) -> None:
        self.data = data

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run or not trainer.is_global_zero:
            return
        given = [c.path for c in trainer.callbacks if isinstance(c, WritePredictions) and c.path]
        path = Path((given or [Path(trainer.default_root_dir, "generated.txt")])[0]).expanduser()
        text = "\n\n".join(self.data.texts)
        replace_file(path, f"{text}\n")
        rank_zero_info(f"{text}\ntext: {path}")
