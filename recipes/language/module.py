"""Cross-entropy of each next token, by truncated back-propagation through time."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import ClosedUnitInterval, PositiveInt
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric

from datamodules.loading.loader import keyed_generator
from datamodules.loading.missing import MISSING, is_known
from datamodules.reading.tokenizer_file import from_plain
from datamodules.reading.vocabulary import Tokens
from recipes.language.checks import check_network, check_same, vocabulary_of
from recipes.language.generation import generate
from recipes.language.prediction import Continuations, WriteTexts
from recipes.language.states import (
    State,
    detached,
    next_logits,
    of_all_processes,
    of_this_process,
)
from recipes.parts.groups import Groups
from recipes.parts.hyperparameters import save_hyperparameters
from recipes.parts.known import mean_of_known
from recipes.parts.logs import log_terms, split_of
from recipes.parts.networks import evaluating
from recipes.parts.noise import global_seed
from recipes.parts.numbers import PositiveFinite
from recipes.parts.sharding import distribute
from recipes.parts.weights import Patterns, Start


def next_token_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """-log p(target) of each token, in nats, (batch, length); 0 where the target is missing.

    Args:
        logits: (batch, length, vocabulary)
        targets: (batch, length), int64; `MISSING` behind the end of the text
    """
    losses = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=MISSING, reduction="none"
    )
    return losses.view_as(targets)


class Language(LightningModule):
    """Trains a network to predict each next token of a text.

    Args:
        network: LSTMLanguageModel, TransformerLanguageModel, or any class_path: maps tokens
            (batch, length) to logits (batch, length, vocabulary); one that carries a state maps
            tokens and state to logits and state, and has an attribute `carries_state`
        optimizer: of the network's parameters, matrices and embeddings in a first group, biases and
            the weights of norms in a second one without weight decay; any class_path; default:
            fused Adam at 0.001
        weights: file of the weights to start from: a state_dict of anyone, by torch.save or
            safetensors, or a checkpoint; not read when a run is resumed or tested
        weights_except: layers, or patterns of names, that stay as initialised: head, "*.bias"
        groups: parameter groups: rates and weight decay by patterns of names, and layer-wise
            decay; by default none
    """

    monitor = ("val/loss", "min")  # by which a state is the best

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable = lambda params: torch.optim.Adam(params, fused=True),
        weights: str | None = None,
        weights_except: Patterns = None,
        groups: Groups | None = None,
    ) -> None:
        super().__init__()
        save_hyperparameters(self)
        self.network, self.optimizer = network, optimizer
        self.groups = groups
        self.start = Start(weights_except, weights=weights)
        self.states: dict[str, State | None] = {}  # behind the latest batch of each split
        self.saved: list[Tensor] | None = None  # of the checkpoint that is gone on from
        self.vocabulary: Tokens | None = None
        self.nats = MeanMetric(nan_strategy="disable")  # of an evaluation's tokens
        self.continuations: Continuations | None = None

    @staticmethod
    def widths(arguments: Namespace, data: LightningDataModule) -> dict[str, int]:
        """The sizes of a network that the data need, where they are not given."""
        return {"vocabulary": len(vocabulary_of(data)), "context": data.length}

    def configure_model(self) -> None:
        distribute(self, network=self.network)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.groups is not None:
            return self.groups.make(self.optimizer, network=self.network)
        weights = list(self.network.parameters())
        matrices = {"params": [weight for weight in weights if weight.ndim > 1]}
        vectors = {"params": [weight for weight in weights if weight.ndim == 1]}
        return self.optimizer([matrices, vectors | {"weight_decay": 0.0}])

    # The method.

    def losses(self, batch: tuple[Tensor, Tensor], batch_idx: int, split: str) -> Tensor:
        """The loss of each token of a batch, nats, (batch, length).

        A network that carries a state goes on from the one behind the batch before, as a constant:
        back-propagation is truncated at the length of a row. An epoch begins without a state.
        """
        inputs, targets = batch
        state = self.states.get(split) if batch_idx else None
        logits, state = next_logits(self.network, inputs, state)
        if getattr(self.network, "carries_state", False) and self.reads_on(split):
            self.states[split] = detached(state)
        return next_token_loss(logits, targets)

    def reads_on(self, split: str) -> bool:
        """Whether rows of a batch go on where those of the batch before ended."""
        return split != "train" or getattr(self.trainer.datamodule, "order", "streams") == "streams"

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        losses = self.losses(batch, batch_idx, "train")
        loss = mean_of_known(self, losses.flatten(), batch[1].flatten())
        log_terms(self, {"train/loss": loss}, len(losses))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        losses = self.losses(batch, batch_idx, split_of(self.trainer))
        self.nats.update(losses[is_known(batch[1])])

    def on_validation_epoch_end(self) -> None:
        loss = self.nats.compute()
        self.nats.reset()
        found = {"loss": loss, "perplexity": loss.exp()}
        data, split = self.trainer.datamodule, split_of(self.trainer)
        if characters := data.characters.get(split):
            tokens_per_character = len(data.ids[split]) / characters
            found["bits_per_character"] = loss / math.log(2) * tokens_per_character
        for name, value in found.items():
            self.log(f"{split}/{name}", value, prog_bar=name == "loss", sync_dist=True)

    test_step, on_test_epoch_end = validation_step, on_validation_epoch_end

    # Texts.

    def generate(self, prompt: Tensor, count: int, *key: int, **how: float) -> Tensor:
        """Continues texts, (batch, count), from (batch, length), as a pure function of the key."""
        options = {"temperature": 1.0, "top_p": 1.0} | how
        with evaluating(self.network):
            prompt = prompt.to(self.device)
            generator = keyed_generator(*key)
            return generate(self.network, prompt, count, generator=generator, **options)

    def prepare_prediction(
        self,
        prompt: str | None = None,
        tokens: PositiveInt = 500,
        temperature: PositiveFinite = 1.0,
        top_p: ClosedUnitInterval = 1.0,
        count: PositiveInt = 1,
    ) -> Continuations:
        """What is written: texts that go on from a prompt; the data are not needed.

        Args:
            prompt: that texts begin with; by default the start of a line, if the text has lines
            tokens: that are added to it: characters, bytes or words
            temperature: that logits are divided by; below 1 the probable is favoured
            top_p: tokens are drawn from the most probable ones that have this share of the
                probability; 0: always the most probable one
            count: of texts
        """
        how = {"temperature": float(temperature), "top_p": float(top_p)}
        self.continuations = Continuations(prompt, int(tokens), count, how)
        return self.continuations

    def configure_callbacks(self) -> list[Callback]:
        return [WriteTexts(self.continuations)] if self.continuations else []

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        if self.continuations is None:  # of the data, as `recipes.export` compares
            return {"logits": next_logits(self.network, batch[0])[0]}
        asked, (numbers,) = self.continuations, batch
        prompt = self.vocabulary.prompt(asked.prompt, "--prompt").repeat(len(numbers), 1)
        key = global_seed(), batch_idx
        added = self.generate(prompt, asked.tokens, *key, **asked.how).cpu()
        asked.texts += map(self.vocabulary.decode, torch.cat([prompt, added], 1))
        return {}  # no table: WriteTexts has them

    # Start and end of a fit.

    def setup(self, stage: str) -> None:
        if stage == "predict":
            return
        found = vocabulary_of(self.trainer.datamodule)
        check_same(found, self.vocabulary)
        check_network(self.network, found, self.device)
        self.vocabulary = found

    def on_fit_start(self) -> None:
        self.start.give(self, weights=self.network)

    def on_train_start(self) -> None:
        if self.saved is not None:
            self.states["train"] = of_this_process(self.saved, self)
        self.saved = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = self.states.get("train")
        checkpoint["vocabulary"] = self.vocabulary.plain()
        checkpoint["state"] = state and of_all_processes(state, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trained = from_plain(checkpoint["vocabulary"])
        check_same(self.vocabulary, trained)  # the order of the two hooks depends on the strategy
        self.vocabulary = trained
        self.saved = checkpoint["state"]

    def summary(self, metrics: Mapping[str, Tensor]) -> str:
        """How well the text is predicted at the end."""
        names = ("loss", "perplexity", "bits_per_character")
        found = {name: metrics.get(f"val/{name}") for name in names}
        parts = [f"{k.replace('_', ' ')} {v:.4g}" for k, v in found.items() if v is not None]
        return f"validation: {', '.join(parts)}" if parts else ""
