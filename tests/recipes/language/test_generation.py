"""Texts that a language model writes: cached or not they are the same, and drawn as they should."""

from pathlib import Path

import pytest
import torch
from torch import nn

from recipes.language.generation import generate, nucleus
from recipes.parts.recurrent import LSTMLanguageModel
from recipes.parts.transformer import TransformerLanguageModel
from trains import rows

LINES = "".join(f"{n} times {n + 1} is {n * (n + 1)}\n" for n in range(90))
SMALL = (
    *("--data=Text", "--data.path=lines.txt", "--data.batch_size=4", "--data.length=9"),
    *("--model.network.width=8", "--trainer.max_epochs=1", "--trainer.callbacks=[SampleText]"),
)


class Uncached(nn.Module):
    """Another network that sees the whole text each time."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, tokens):
        return self.network(tokens)[0]


@pytest.mark.parametrize("name", ["lstm", "learned", "rotary"])
def test_cached_sampling_equals_uncached(name):
    torch.manual_seed(0)
    if name == "lstm":
        network = LSTMLanguageModel(11, 2, 8, initial=1.0)
    else:
        network = TransformerLanguageModel(11, 40, 2, 2, 8, positions=name)
        for weight in network.parameters():
            nn.init.normal_(weight, std=0.5)
    prompt = torch.randint(11, (3, 4))
    found = [
        generate(each.double().eval(), prompt, 30, 0.9, 0.95, torch.Generator().manual_seed(5))
        for each in (network, Uncached(network))
    ]
    assert torch.equal(*found) and found[0].shape == (3, 30)
    assert found[0].unique().numel() > 5


def test_beyond_its_context_a_transformer_goes_on_from_the_last_half():
    torch.manual_seed(0)
    network = TransformerLanguageModel(11, 8, 1, 2, 8).double().eval()
    for weight in network.parameters():
        nn.init.normal_(weight, std=0.5)
    text = torch.randint(11, (1, 12))
    window = text[:, -8:]
    for token in generate(network, text, 20, 1.0, 0.0, torch.Generator())[0]:
        logits, _ = network(window)
        assert token == logits[0, -1].argmax()
        text = torch.cat([text, token.view(1, 1)], 1)
        is_full = window.shape[1] == 8
        window = text[:, -4:] if is_full else torch.cat([window, token.view(1, 1)], 1)


def test_the_nucleus_is_the_smallest_set_of_enough_probability():
    logits = torch.tensor([[0.5, 0.1, 0.3, 0.1]]).log()
    assert nucleus(logits, 1.0, 1.0)[0].tolist() == pytest.approx([0.5, 0.1, 0.3, 0.1])
    assert nucleus(logits, 1.0, 0.7)[0].tolist() == pytest.approx([0.625, 0, 0.375, 0])
    assert nucleus(logits, 1.0, 0.4)[0].tolist() == [1, 0, 0, 0]
    assert nucleus(logits, 1.0, 0.0)[0].tolist() == [1, 0, 0, 0]
    assert nucleus(logits, 0.5, 1.0)[0].tolist() == pytest.approx([25 / 36, 1 / 36, 9 / 36, 1 / 36])


@pytest.fixture
def folder(recipe, tmp_path):
    (tmp_path / "lines.txt").write_text(LINES)
    recipe("language", "fit", *SMALL, "--name=a", "--trainer.callbacks.every=10")
    return Path("runs/language/a")


def test_predict_goes_on_from_a_prompt(recipe, folder, tmp_path):
    checkpoint = f"--ckpt_path={folder}/checkpoints/last.ckpt"
    (tmp_path / "lines.txt").unlink()  # no file of the fit is needed
    ask = ("predict", checkpoint, "--prompt=3 times", "--tokens=40", "--count=3")
    recipe("language", *ask, "--temperature=0.8", "--top_p=0.9")
    first = (folder / "generated.txt").read_text()
    assert len(first) == 3 * 47 + 2 * 2 + 1 and first.startswith("3 times")
    recipe("language", *ask, "--temperature=0.8", "--top_p=0.9", "--output=mine.txt")
    assert Path("mine.txt").read_text() == first, "of one seed"
    recipe("language", *ask, "--temperature=0.8", "--top_p=0.9", "--seed_everything=1")
    assert (folder / "generated.txt").read_text() != first
    assert not (folder / "predictions.csv").exists()
    with pytest.raises(ValueError, match="--prompt: 'ß' is no character of the training text"):
        recipe("language", "predict", checkpoint, "--prompt=ß")
    with pytest.raises(ValueError, match="--prompt is empty"):
        recipe("language", "predict", checkpoint, "--prompt=")


@pytest.mark.slow
def test_samples_are_written_and_change_nothing(recipe, folder):
    found = sorted(path.name for path in (folder / "samples").iterdir())
    assert found[0] == "0000010.txt" and len(found) > 3
    assert (folder / "sample.txt").read_text() == (folder / "samples" / found[-1]).read_text()
    assert len((folder / "sample.txt").read_text()) == 502, "with the line's start"
    recipe("language", "fit", *SMALL, "--trainer.callbacks=[]", "--name=b")
    assert rows(folder) == rows(Path("runs/language/b"))
