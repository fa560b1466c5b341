"""The callback that has a language model write a text while it trains."""

from pathlib import Path
from typing import Any

import torch
from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor

from callbacks.at_end import AtEnd
from callbacks.ema import averaged, shard_again
from callbacks.lengths import Length, batches, check_steps
from recipes.parts.files import replace_file
from recipes.parts.numbers import PositiveFinite

TEXT = 3  # the key of the random numbers


class SampleText(AtEnd):
    """Writes a text of the language model's to `<run folder>/sample.txt`, the latest one.

    After every so many batches, and when training ends; each is also kept as `samples/0002000.txt`,
    by the weights after 2,000 batches, or their average if there is an `EMA`. W&B has them in the
    table `sample`. Tokens are drawn by the same random numbers each time, and training stays as it
    is, bit by bit.

    ```yaml
    - class_path: SampleText
      init_args: {every: 20%, temperature: 0.8}
    ```

    Args:
        every: length between two texts: batches, or in units: 1000ba (batches), 5ep (epochs), 10%
            (of the run); 0: only when training ends
        prompt: that it begins with; by default the start of a line, if the text has lines
        tokens: in it, beside the prompt
        temperature: that logits are divided by; below 1 the probable is favoured
        top_p: share of the probability that tokens are drawn from, the most probable ones first
    """

    def __init__(
        self,
        every: Length = "1ep",
        prompt: str | None = None,
        tokens: PositiveInt = 500,
        temperature: PositiveFinite = 1.0,
        top_p: ClosedUnitInterval = 1.0,
    ) -> None:
        self.every, self.prompt, self.tokens = every, prompt, int(tokens)
        self.how = {"temperature": float(temperature), "top_p": float(top_p)}
        self.step = 0

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.step = state_dict["step"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.interval = batches(self.every, trainer)
        self._start(pl_module)  # names a prompt that it cannot read before it trains

    # At the start of the next batch, as EMA may take the last one's weights after this callback.
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        if self.interval and self.step and self.step % self.interval == 0:
            self._write(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: object
    ) -> None:
        self.step += 1
        check_steps(trainer, self.every)

    def at_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, pl_module)

    def _start(self, module: LightningModule) -> Tensor:
        """The tokens that the text begins with, (1, tokens)."""
        return module.vocabulary.prompt(self.prompt, "SampleText's prompt").unsqueeze(0)

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:
            return
        shard_again(pl_module)
        # All processes write it, as each may hold a shard of the weights.
        with averaged(trainer, pl_module):
            start = self._start(pl_module)
            added = pl_module.generate(start, self.tokens, TEXT, **self.how).cpu()
        if not trainer.is_global_zero:
            return
        text = pl_module.vocabulary.decode(torch.cat([start, added], 1)[0])
        folder = Path(trainer.default_root_dir)
        (folder / "samples").mkdir(exist_ok=True)
        for path in (folder / f"samples/{self.step:07}.txt", folder / "sample.txt"):
            replace_file(path, f"{text}\n")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                # Lightning counts a row's step from 0.
                step = trainer.global_step - 1
                logger.log_text("sample", ["batches", "text"], [[self.step, text]], step=step)
