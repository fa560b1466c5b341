"""Language on tokens of a file: bits per character, and a checkpoint that needs no file."""

import math
from pathlib import Path

import pytest
import torch

from tokenizer_files import byte_pairs, lower_words
from trains import rows

LINES = "".join(f"{n} times {n + 1} is {n * (n + 1)}, ça va\n" for n in range(90))
SMALL = (
    *("--data=Text", "--data.path=lines.txt", "--data.batch_size=4", "--data.length=9"),
    *("--model.network.width=8", "--trainer.max_epochs=1", "--trainer.callbacks=[]"),
)


@pytest.fixture
def trained(recipe, tmp_path):
    """The folder of a run on tokens, of the text above."""
    (tmp_path / "lines.txt").write_text(LINES)

    def run(tokens):
        name = Path(tokens).stem
        recipe("language", "fit", *SMALL, f"--data.tokens={tokens}", f"--name={name}")
        return Path("runs/language", name)

    return run


def test_a_checkpoint_has_the_tokenizer(recipe, trained, tmp_path):
    made = byte_pairs("tokenizer.json", LINES)
    folder = trained("tokenizer.json")
    checkpoint = f"--ckpt_path={folder}/checkpoints/last.ckpt"
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)
    assert saved["state_dict"]["network.embedding.weight"].shape == (made.get_vocab_size(), 8)
    for name in ("lines.txt", "tokenizer.json"):
        (tmp_path / name).rename(tmp_path / f"away-{name}")
    recipe("language", "predict", checkpoint, "--prompt=3 times", "--tokens=20")
    assert (folder / "generated.txt").read_text().startswith("3 times")
    (tmp_path / "away-lines.txt").rename(tmp_path / "lines.txt")
    byte_pairs("tokenizer.json", LINES[::-1])  # as many, but others
    with pytest.raises(ValueError, match="--data: the network was trained on other tokens"):
        recipe("language", "fit", checkpoint, "--trainer.max_epochs=2")


def test_bits_are_per_character_or_not_said(trained):
    """The loss of all tokens in bits, by the characters of the validation text."""
    made = byte_pairs("tokenizer.json", LINES)
    ids = made.encode(LINES).ids
    train = len(ids) - 2 * int(0.1 * len(ids))
    held = ids[train : train + int(0.1 * len(ids))]
    row = rows(trained("tokenizer.json"))[-1]
    bits = row["val/loss"] * len(held) / math.log(2)
    assert row["val/bits_per_character"] == pytest.approx(bits / len(made.decode(held)), rel=1e-5)
    assert row["val/bits_per_character"] < 0.8 * row["val/loss"] / math.log(2)
    lower_words("words.json", LINES)
    row = rows(trained("words.json"))[-1]
    assert "val/loss" in row and "val/bits_per_character" not in row
