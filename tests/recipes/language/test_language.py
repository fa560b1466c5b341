"""Language: its loss and metrics by definition, the state that it carries, and interrupted runs."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from datamodules import Sentences, Text
from datamodules.loading.missing import MISSING
from marks import some
from recipes.language import Language
from recipes.language.module import next_token_loss
from recipes.parts.recurrent import LSTMLanguageModel
from recipes.parts.transformer import TransformerLanguageModel
from running_text import LINES, NETWORKS, SMALL
from trains import digits, fit, interrupt_after, middle_of_epoch, rows
from written_texts import sentences as written
from written_texts import write_lines


class Uniform(nn.Module):
    """A network of anyone's, without a state, for which all tokens are equally probable."""

    def __init__(self, vocabulary):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tokens):
        return self.logits.expand(*tokens.shape, -1)


@pytest.fixture
def lines(tmp_path):
    (tmp_path / "lines.txt").write_text(LINES)
    return tmp_path / "lines.txt"


def text(lines, **options):
    return Text(lines, **{"batch_size": 4, "length": 9, "val_size": 0.2} | options)


def sgd(params):
    return torch.optim.SGD(params, lr=0.5)


def lstm(**options):
    torch.manual_seed(1)
    vocabulary = len(set(LINES))
    return Language(LSTMLanguageModel(vocabulary, 1, 8, initial=0.5, **options), sgd)


def test_loss_is_minus_the_log_of_the_targets_probability():
    logits = torch.tensor([[[2.0, -1.0, 0.5], [0.0, 1.0, 3.0]]])
    found = next_token_loss(logits, torch.tensor([[0, 2]]))
    slowly = [
        -math.log(math.exp(row[target]) / sum(map(math.exp, row)))
        for row, target in zip(logits[0].tolist(), (0, 2), strict=True)
    ]
    assert found.tolist() == [pytest.approx(slowly, rel=1e-6)]
    assert next_token_loss(logits, torch.tensor([[0, MISSING]]))[0, 1] == 0


def test_a_uniform_model_has_perplexity_v(lines, tmp_path):
    count = len(set(LINES))
    zero = lambda params: torch.optim.SGD(params, lr=0.0)  # noqa: E731
    _, trainer = fit(Language(Uniform(count), zero), text(lines), tmp_path)
    metrics = trainer.callback_metrics
    assert metrics["val/perplexity"].item() == pytest.approx(count, rel=1e-5)
    assert metrics["val/loss"].item() == pytest.approx(math.log(count), rel=1e-5)
    assert metrics["val/bits_per_character"].item() == pytest.approx(math.log2(count), rel=1e-5)


@pytest.mark.parametrize("cell", some(["lstm", "gru"], 1))
def test_an_evaluation_is_one_long_pass_over_each_stream(lines, tmp_path, cell):
    """Each token counts once, although batches are chunks, and training has a state of its own."""
    module, trainer = fit(lstm(cell=cell), text(lines, test_size=0.3), tmp_path)
    (found,) = trainer.test(module, datamodule=trainer.datamodule, verbose=False)
    found |= trainer.validate(module, datamodule=trainer.datamodule, verbose=False)[0]
    for split in ("val", "test"):
        ids = trainer.datamodule.ids[split].long()
        part, losses = -(-(len(ids) - 1) // 4), []
        for first in range(0, len(ids) - 1, part):
            stream = ids[first : first + part + 1].unsqueeze(0)
            with torch.no_grad():
                logits, _ = module.network.eval()(stream[:, :-1])
            losses.append(next_token_loss(logits, stream[:, 1:]).flatten())
        mean = torch.cat(losses).mean()
        assert sum(map(len, losses)) == len(ids) - 1
        assert found[f"{split}/loss"] == pytest.approx(mean.item(), rel=1e-5)
        assert found[f"{split}/perplexity"] == pytest.approx(mean.exp().item(), rel=1e-5)


def test_training_is_truncated_back_propagation(lines, tmp_path):
    """A plain loop of the same mathematics, two epochs, has the same weights."""
    module, trainer = fit(lstm(), text(lines), tmp_path, max_epochs=2)
    network, other = module.network, lstm().network
    optimizer = sgd(other.parameters())
    for _ in range(2):
        state = None
        for inputs, targets in trainer.datamodule.train_dataloader():
            logits, state = other(inputs, state and tuple(part.detach() for part in state))
            known = targets.flatten() != MISSING
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1)[known], targets.flatten()[known]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_blocks_are_seen_without_a_state(lines, tmp_path):
    module, _ = fit(lstm(), text(lines, order="blocks"), tmp_path)
    assert "train" not in module.states and "val" in module.states
    assert not any(part.requires_grad for part in module.states["val"])


def test_weight_decay_is_of_matrices_alone():
    decayed = lambda params: torch.optim.AdamW(params, weight_decay=0.1)  # noqa: E731
    network = TransformerLanguageModel(7, 8, 1, 2, 8, bias=True)
    groups = Language(network, decayed).configure_optimizers().param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert {w.ndim for w in groups[0]["params"]} == {2} and {
        w.ndim for w in groups[1]["params"]
    } == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(network.parameters()))


@pytest.mark.parametrize("name", some(NETWORKS, ["lstm"]))
def test_an_interrupted_run_resumes_exactly(recipe, lines, monkeypatch, name):
    """In the middle of an epoch: state, order and dropout go on as if nothing had happened."""
    flags = ("fit", *SMALL, *NETWORKS[name])
    recipe("language", *flags, "--name=whole")
    with monkeypatch.context() as patch:
        interrupt_after(27, patch)
        with pytest.raises(MemoryError):
            recipe("language", *flags, *middle_of_epoch("runs/language/cut"), "--name=cut")
    path = Path("runs/language/cut/checkpoints/middle.ckpt")
    saved = torch.load(path, weights_only=True)
    assert saved["global_step"] == 20 and (saved["state"] is not None) == (name != "transformer")
    recipe("language", "fit", f"--ckpt_path={path}")
    folders = [Path("runs/language", each) for each in ("whole", "cut")]
    one, two = (torch.load(f / "checkpoints/last.ckpt", weights_only=True) for f in folders)
    assert all(torch.equal(one["state_dict"][k], two["state_dict"][k]) for k in one["state_dict"])
    assert rows(folders[0]) == rows(folders[1])
    if name == "lstm":  # the negative control
        torch.save(saved | {"state": None}, path)
        recipe("language", "fit", f"--ckpt_path={path}")
        assert rows(folders[0]) != rows(folders[1])


def test_sizes_come_from_the_data(recipe, lines):
    words = ("--data.tokens=words", "--data.words=20", "--trainer.max_epochs=1")
    recipe("language", "fit", *SMALL, *words, "--model.network.width=8", "--name=a")
    saved = torch.load("runs/language/a/checkpoints/last.ckpt", weights_only=True)
    assert saved["state_dict"]["network.embedding.weight"].shape == (20, 8)
    assert saved["vocabulary"]["kind"] == "words" and len(saved["vocabulary"]["symbols"]) == 20
    assert not any("val/bits_per_character" in row for row in rows(Path("runs/language/a")))


def test_a_text_of_other_tokens_is_refused(recipe, lines, tmp_path):
    recipe("language", "fit", *SMALL, *NETWORKS["lstm"], "--name=a", "--trainer.max_epochs=1")
    (tmp_path / "other.txt").write_text(LINES.replace("t", "x"))
    with pytest.raises(ValueError, match="--data: the network was trained on other tokens"):
        path = "runs/language/a/checkpoints/last.ckpt"
        recipe("language", "test", f"--ckpt_path={path}", "--data.path=other.txt")


def test_what_does_not_fit_is_refused(lines, tmp_path):
    with pytest.raises(ValueError, match="--data=Digits is no running text"):
        fit(lstm(), digits(), tmp_path)
    sentences = Sentences(write_lines(tmp_path / "sentences.txt", written(60)))
    with pytest.raises(ValueError, match="--data=Sentences is no running text"):
        fit(lstm(), sentences, tmp_path)
    few = Language(LSTMLanguageModel(5, 1, 8))
    with pytest.raises(ValueError, match=r"--model\.network does not take token"):
        fit(few, text(lines), tmp_path)
    many = Language(LSTMLanguageModel(99, 1, 8))
    with pytest.raises(ValueError, match=r"--model\.network\.vocabulary=99, but the text has"):
        fit(many, text(lines), tmp_path)
