"""Two recipes of a user's own, the same training under automatic and under manual optimization."""

import torch
from jsonargparse.typing import PositiveFloat
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn import functional as F

from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.logs import log_terms


class Automatic(LightningModule):
    """Two networks that learn the digits beside each other, one optimizer for both.

    Args:
        one: the first network
        two: the second network
        lr: of Adam
    """

    def __init__(self, one: nn.Module, two: nn.Module, lr: PositiveFloat = 0.01) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.one, self.two, self.lr = one, two, lr

    def losses(self, batch):
        inputs, targets = batch
        return [F.cross_entropy(network(inputs), targets) for network in (self.one, self.two)]

    def training_step(self, batch, batch_idx):
        one, two = self.losses(batch)
        log_terms(self, {"train/loss": one, "train/two": two}, len(batch[1]))
        return one + two

    def validation_step(self, batch, batch_idx):
        one, two = self.losses(batch)
        means = {"val/loss": one, "val/two": two}
        self.log_dict(means, batch_size=len(batch[1]), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.lr)


class Manual(Automatic):
    """Two networks that learn the digits beside each other, an optimizer each.

    Args:
        one: the first network
        two: the second network
        lr: of Adam
    """

    def __init__(self, one: nn.Module, two: nn.Module, lr: PositiveFloat = 0.01) -> None:
        super().__init__(one, two, lr)
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        losses = self.losses(batch)
        for number, (optimizer, loss) in enumerate(zip(self.optimizers(), losses, strict=True)):
            if number:  # one batch is one step
                optimizer._on_before_step = optimizer._on_after_step = lambda: None
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
        log_terms(self, {"train/loss": losses[0], "train/two": losses[1]}, len(batch[1]))
        return {"loss": losses[0], "two": losses[1]}

    def configure_optimizers(self):
        networks = (self.one, self.two)
        return [torch.optim.Adam(network.parameters(), self.lr) for network in networks]
