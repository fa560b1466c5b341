"""Pretrained encoders of texts, from a folder or the Hub, by the extra `pretrained`: transformers.

Weights are safetensors alone, and all code is the library's: nothing is unpickled, and no code of a
model's own is run. `Sentences` cuts texts by the encoder's own tokenizer: `--data.tokens`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from datamodules.loading.splits import Share
from datamodules.reading.tokenizer_file import TokenizerFile
from datamodules.reading.vocabulary import PADDING, swap
from recipes.parts.brief import brief
from recipes.parts.finite import first_diverged
from recipes.parts.networks import Head, Width
from recipes.parts.weight_files import short

EXTRA = "pip install -e '.[pretrained]'"
# What is fetched of a model on the Hub.
FILES = ["config.json", "tokenizer.json", "model*.safetensors", "model.safetensors.index.json"]
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
UNUSED = "pooler"  # a layer behind BERT's kind, in place of which `pool` stands
Pooling = Literal["mean", "first"]


def pool(states: Tensor, is_token: Tensor, pooling: Pooling) -> Tensor:
    """A sentence's embedding, (batch, width): the mean of its tokens' states, or the first state.

    Reimers & Gurevych 2019 (Sentence-BERT), section 3, MEAN and CLS,
    https://arxiv.org/abs/1908.10084; Devlin et al. 2019 (BERT) take the first.

    Args:
        states: (batch, length, width)
        is_token: whether a token or padding stands there, (batch, length)
        pooling: mean over the tokens, or first
    """
    if pooling == "first":
        return states[:, 0]
    weights = is_token.unsqueeze(2).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


class TextEncoder(nn.Module):
    """A pretrained encoder of texts, pooled, and a head that starts random.

    The names of its layers are the library's behind `encoder.`: of BERT `encoder.embeddings`,
    `encoder.encoder.layer.0` and so on. A checkpoint holds all weights: of the folder, a resumed
    run uses config.json.

    Args:
        path: folder with config.json and safetensors, as save_pretrained writes it; or the model's
            name on the Hub
        outputs: number of classes
        revision: on the Hub, where it is needed: best a commit, whose files never change
        pooling: what the head sees: mean, of the tokens' states, or first, of the first token
        dropout: share of that which is dropped while training, from 0 to below 1; within the
            encoder its own config says it

    Raises:
        ValueError: if the extra is not installed, there is no such folder, or the model is none of
            these, or damaged
    """

    def __init__(
        self,
        path: str,
        outputs: Width,
        revision: str | None = None,
        pooling: Pooling = "mean",
        dropout: Share = 0.1,
    ) -> None:
        super().__init__()
        self.folder = folder_of(path, revision)
        self.source = str(checked(self.folder))  # the file of the weights, for run.json
        self.encoder = read_encoder(self.folder)
        self.padding = self.encoder.config.pad_token_id
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.head = Head(self.encoder.config.hidden_size, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, classes) of tokens (batch, length)."""
        return self.head(self.dropout(self.features(tokens)))

    def features(self, tokens: Tensor) -> Tensor:
        """Embeddings (batch, width) of tokens (batch, length), `PADDING` behind shorter texts."""
        first = torch.arange(tokens.shape[1], device=tokens.device) == 0
        is_token = (tokens != PADDING) | first  # a text without a token is one of padding
        numbers = swap(tokens, self.padding)
        states = self.encoder(input_ids=numbers, attention_mask=is_token.long())
        return pool(states.last_hidden_state, is_token, self.pooling)

    @property
    def longest(self) -> int | None:
        """Tokens of the longest text, where positions have embeddings."""
        every = self.encoder.named_modules()
        found = (m for name, m in every if name.endswith("position_embeddings"))
        table = next((m for m in found if isinstance(m, nn.Embedding)), None)
        if table is None:
            return getattr(self.encoder.config, "max_position_embeddings", None)
        # RoBERTa's kind counts from behind the number of padding.
        return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)

    def check_data(self, data: LightningDataModule | None, option: str) -> None:
        """Refuses texts that are cut into other tokens than the encoder's, or are too long.

        Args:
            data: set up; without `vocabulary` they are taken as they are
            option: that the network was given by

        Raises:
            ValueError: with the option to change
        """
        if (tokens := getattr(data, "vocabulary", None)) is None:
            return
        own = self.folder / "tokenizer.json"
        if not isinstance(tokens, TokenizerFile):
            said = f"needs its own tokens: --data.tokens={own}"
            raise ValueError(f"{option}.path={self.folder} {said}")
        rows = self.encoder.get_input_embeddings().num_embeddings
        if len(tokens) > rows:
            raise ValueError(f"--data.tokens has {len(tokens)} tokens, {option} {rows}: of another")
        if tokens.padding != self.padding:
            said = f"padding is token {tokens.padding}, of {option} token {self.padding}"
            raise ValueError(f"--data.tokens: {said}: of another model")
        if own.is_file() and not tokens.has_tokens_of(own.read_text("utf-8")):
            raise ValueError(f"--data.tokens has other tokens than {own}")
        longest = self.longest
        if longest is not None and (length := getattr(data, "max_length", 0)) > longest:
            raise ValueError(f"--data.max_length={length}: {option} takes {longest} tokens at most")


def folder_of(path: str, revision: str | None) -> Path:
    """The folder of a model, which is fetched from the Hub if it is there.

    Args:
        path: of a folder, or a name on the Hub
        revision: on the Hub

    Raises:
        ValueError: if there is no such folder, it has a revision, or the Hub does not give it
    """
    option = f"path={path}"
    if (folder := Path(path).expanduser()).is_dir():
        if revision is not None:
            raise ValueError(f"{option}, revision={revision}: a folder here has no revisions")
        return folder
    if revision is None:
        said = "no such folder; a model of the Hub needs --model.network.revision"
        raise ValueError(f"{option}: {said}")
    if not HUB_NAME.fullmatch(path):
        raise ValueError(f"{option}: no such folder, and no name on the Hub: owner/model")
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise ValueError(f"{option} needs: {EXTRA}") from error
    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=FILES))
    except Exception as error:  # the library's and its client's are of many classes
        said = f"{type(error).__name__}: {brief(str(error), 200)}"
        raise ValueError(f"{option}, revision={revision}: the Hub: {said}") from error


def checked(folder: Path) -> Path:
    """The file of a folder's weights, or of several the list.

    Raises:
        ValueError: if it has none by safetensors, or no config.json
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"path={folder} has no config.json: no folder of a model")
    for name in ("model.safetensors", "model.safetensors.index.json"):
        if (folder / name).is_file():
            return folder / name
    pickled = [file.name for file in sorted(folder.iterdir()) if file.suffix in PICKLED]
    if pickled:
        way = "save_pretrained of the library writes safetensors"
        said = f"has {short(pickled)}, which may run code, and no model.safetensors: {way}"
        raise ValueError(f"path={folder} {said}")
    raise ValueError(f"path={folder} has no weights: model.safetensors")


def read_encoder(folder: Path) -> nn.Module:
    """An encoder with its weights, in float32; on the meta device without.

    Args:
        folder: `checked`

    Raises:
        ValueError: if the extra is not installed, the files are damaged, weights are missing or not
            finite, or the model is no encoder of texts
    """
    try:
        from transformers import AutoConfig, AutoModel
    except ModuleNotFoundError as error:
        raise ValueError(f"path={folder} needs: {EXTRA}") from error
    own = {"trust_remote_code": False, "local_files_only": True}
    with reading(folder):
        config = AutoConfig.from_pretrained(folder, **own)
    check_kind(config, folder)
    with reading(folder):
        if torch.empty(0).is_meta:
            encoder = AutoModel.from_config(config, trust_remote_code=False)
        else:
            form = {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
            encoder, found = AutoModel.from_pretrained(folder, config=config, **form, **own)
            check_whole(encoder, found, folder)
    if hasattr(encoder, UNUSED):
        setattr(encoder, UNUSED, None)
    return encoder.train()  # the library gives it in evaluation mode, without dropout


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Within it the library is silent, and what it raises is a ValueError that names the folder."""
    from transformers.utils import logging

    shows, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    except Exception as error:  # the library's, those of safetensors, and of JSON
        raise ValueError(f"path={folder}: {brief(str(error), 200)}") from error
    finally:
        logging.set_verbosity(verbosity)
        if shows:
            logging.enable_progress_bar()


def check_kind(config: Any, folder: Path) -> None:  # noqa: ANN401 - the library's
    """Refuses a model that is no encoder of texts, or has no token of padding."""
    kind = f"path={folder}: {config.model_type}"
    if getattr(config, "is_encoder_decoder", False) or not hasattr(config, "vocab_size"):
        raise ValueError(f"{kind} is no encoder of texts, as bert or roberta")
    if getattr(config, "pad_token_id", None) is None:
        raise ValueError(f"{kind} has no token of padding: no pad_token_id in config.json")


def check_whole(encoder: nn.Module, found: dict[str, Any], folder: Path) -> None:
    """Refuses weights that are missing or not finite, and names those that are not used.

    Args:
        encoder: that has been read
        found: what the library says of it: names in `missing_keys` and `unexpected_keys`
        folder: that it is from
    """
    missing = sorted(n for n in found["missing_keys"] if not n.startswith(f"{UNUSED}."))
    if missing:
        raise ValueError(f"the weights lack {short(missing)}")
    if diverged := first_diverged(encoder.state_dict()):
        raise ValueError(f"{diverged} is not finite: its training diverged")
    if unused := sorted(found["unexpected_keys"]):
        rank_zero_info(f"note: path={folder}: {short(unused)} are of no use here")
