"""What inputs are made of: columns, pixels or words; and what of a prediction is explained."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn

from datamodules.reading.tokenizer_file import TokenizerFile
from datamodules.reading.vocabulary import PADDING, Vocabulary
from datamodules.tabular import TabularData
from recipes.explain.subjects import Function, Masked, Subject, Words
from recipes.export.deployed import Deployed
from recipes.parts.weight_files import short
from recipes.running.options import similar


@dataclass(frozen=True)
class Explained:
    """What of a prediction is explained.

    Attributes:
        column: of what `predict_step` returns
        place: of a class in it; None: the column is a number
        name: of the class or the target
    """

    column: str
    place: int | None
    name: str

    def function(self, deployed: Deployed) -> Function:
        """It as a function of the network's inputs, in the target's unit or as a probability."""

        def of(inputs: Tensor) -> Tensor:
            found = deployed.predicted(inputs)[self.column]
            return found if self.place is None else found[:, self.place]

        return of


@dataclass
class Wanted:
    """Chooses what is explained, row by row.

    Args:
        deployed: preprocessing, network and predictions of a run
        label: name of the class; by default the predicted one
        target: name of the target, where there are several; by default the first
    """

    deployed: Deployed
    label: str | None = None
    target: str | None = None
    classes: list[str] = field(init=False)

    def __post_init__(self) -> None:
        names = getattr(self.deployed.data, "class_names", None) or ()
        self.classes = [str(name) for name in names]

    @torch.no_grad()
    def of(self, inputs: Tensor) -> list[Explained]:
        """What is explained of each row; inputs (n, ...) as the network takes them.

        Raises:
            ValueError: if there is no such class or target, or nothing that could be explained
        """
        found = self.deployed.predicted(inputs)
        if "probability" in found:
            if self.target is not None:
                raise ValueError(f"--target={self.target}: the run predicts classes, see --class")
            return [self._of_class(p) for p in found["probability"]]
        names = [name for name in found if name.startswith("prediction")]
        if not names:
            said = ", ".join(found) or "nothing"
            raise ValueError(f"the run predicts {said}: no probability or number")
        if self.label is not None:
            raise ValueError(f"--class={self.label}: the run predicts no classes")
        return [self._of_target(names)] * len(inputs)

    def _of_class(self, probabilities: Tensor) -> Explained:
        names = self.classes or [str(number) for number in range(len(probabilities))]
        if self.label is None:
            place = int(probabilities.argmax())
        elif self.label in names:
            place = names.index(self.label)
        else:
            hint = similar(self.label, names) or f", but {short(names, 10)}"
            raise ValueError(f"--class={self.label}: no such class{hint}")
        return Explained("probability", place, names[place])

    def _of_target(self, columns: list[str]) -> Explained:
        names = [name.removeprefix("prediction").removeprefix("_") for name in columns]
        if names == [""]:
            names = [getattr(self.deployed.data, "target_name", None) or "target"]
        wanted = names[0] if self.target is None else self.target
        if wanted not in names:
            raise ValueError(f"--target={wanted}: the run has {', '.join(names)}")
        return Explained(columns[names.index(wanted)], None, wanted)


Maker = Callable[[Function, Tensor], Subject]  # from what is explained, and an input of the network


def kind_of(data: LightningDataModule) -> str:
    """Table, picture or text.

    Raises:
        ValueError: if the data are none of these
    """
    if isinstance(data, TabularData):
        return "table"
    if getattr(data, "vocabulary", None) is not None and hasattr(data, "class_names"):
        return "text"
    if len(getattr(data, "input_shape", ())) == 3:
        return "picture"
    raise ValueError(f"--data={type(data).__name__}: no table, pictures or texts")


def maker(
    module: LightningModule, data: LightningDataModule, background: Tensor | None, patch: int
) -> Maker:
    """Makes what is explained of inputs.

    Args:
        module: of the run
        data: of the run
        background: training inputs, (rows, ...), but of texts
        patch: side of the patches of a picture, in pixels
    """
    kind = kind_of(data)
    if kind == "text":
        embedding = embedding_of(module, len(data.vocabulary))
        return lambda function, tokens: words(function, tokens, data.vocabulary, embedding)
    if kind == "picture":
        owner, names = patches(background.shape[1:], patch)
        black = torch.zeros_like(background[:1])
        none = [""] * len(names)
        return lambda function, image: Masked(
            function, image, black, owner, names, none, background
        )
    names, owner = columns(data)

    def row(function: Function, inputs: Tensor) -> Masked:
        values = cells(data, inputs, names, owner)
        return Masked(function, inputs, background, owner, names, values, background)

    return row


def columns(data: TabularData) -> tuple[list[str], Tensor]:
    """The columns of a table, and of which each encoded input is.

    A category is one column, although it is several inputs; so is a number and what says where it
    was missing.

    Returns:
        names, and numbers of them, (inputs,)
    """
    encoding = getattr(getattr(data, "fitted", None), "encoding", None)
    if encoding is None:
        count = data.input_shape[0]
        names = data.feature_names or [f"x{number}" for number in range(count)]
        return list(names), torch.arange(count)
    names = [*encoding.numbers, *encoding.categories]
    sources = [*encoding.numbers, *encoding.indicators]
    sources += [name for name, known in encoding.categories.items() for _ in known]
    return names, torch.tensor([names.index(source) for source in sources])


def cells(data: TabularData, inputs: Tensor, names: Sequence[str], owner: Tensor) -> list[str]:
    """What a row has in each column, as text: numbers in their own unit, categories by name."""
    raw = inputs.double() * data.input_std + data.input_mean
    encoding = getattr(getattr(data, "fitted", None), "encoding", None)
    categories = encoding.categories if encoding else {}
    found = []
    for number, name in enumerate(names):
        own = raw[owner == number]
        if name in categories:
            known = categories[name]
            found.append(known[int(own.argmax())] if own.max() > 0.5 else "another")
        else:
            size = own[0].abs() > 1e-6 * data.input_std[owner == number][0]  # else it is rounding
            found.append(f"{own[0].item() if size else 0:.4g}")
    return found


def patches(shape: Sequence[int], side: int) -> tuple[Tensor, list[str]]:
    """The square patches of a picture.

    Args:
        shape: channels, height, width
        side: of a patch, in pixels; those at the right and lower ends are smaller

    Returns:
        the number of the patch that each value is of, (channels, height, width), and names, by the
        row and column of their upper left pixel
    """
    channels, height, width = shape
    across = -(-width // side)
    rows, places = torch.arange(height) // side, torch.arange(width) // side
    owner = (rows.unsqueeze(1) * across + places).expand(channels, height, width)
    names = [f"{row},{place}" for row in range(0, height, side) for place in range(0, width, side)]
    return owner, names


def words(
    function: Function,
    tokens: Tensor,
    vocabulary: Vocabulary | TokenizerFile,
    embedding: nn.Embedding | None,
) -> Words:
    """A text, without its padding."""
    tokens = tokens[tokens != PADDING]
    if isinstance(vocabulary, TokenizerFile):
        return Words(function, tokens, vocabulary.words(tokens), embedding)
    return Words(function, tokens, [vocabulary.symbols[n] for n in tokens.tolist()], embedding)


def embedding_of(module: LightningModule, count: int) -> nn.Embedding | None:
    """The layer that embeds so many words, if there is exactly one.

    That of a pretrained encoder is told by itself: it may have rows beyond the tokenizer's tokens.
    """
    encoders = (m for m in module.modules() if hasattr(m, "get_input_embeddings"))
    if (encoder := next(encoders, None)) is not None:
        return encoder.get_input_embeddings()
    found = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.Embedding) and layer.num_embeddings == count
    ]
    return found[0] if len(found) == 1 else None
