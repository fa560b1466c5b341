"""Texts: their tokens and splits, and batches in which every token is a target once."""

import gzip
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from datamodules import PennTreebank, Text, TinyShakespeare
from datamodules.loading.loader import Loader
from datamodules.loading.missing import MISSING
from datamodules.loading.text_streams import Blocks, Streams
from datamodules.reading.vocabulary import Vocabulary, tokens
from marks import some
from trains import seen_by


def batches(loader, epoch=0):
    loader.set_epoch(epoch)
    return list(loader)


def text(tmp_path, content, **options):
    (tmp_path / "mine.txt").write_text(content, encoding="utf-8")
    data = Text(tmp_path / "mine.txt", **options)
    data.setup("fit")
    return data


@pytest.mark.parametrize(
    ("count", "streams", "length"), some([(100, 4, 7), (101, 4, 5), (2, 1, 1), (10, 8, 3)], 2)
)
def test_streams_go_on_and_every_token_is_a_target_once(count, streams, length):
    ids = torch.arange(count, dtype=torch.int32)
    found = batches(Loader(Streams(ids, streams, length), streams))
    assert all(inputs.shape[0] == streams and inputs.shape[1] <= length for inputs, _ in found)
    inputs, targets = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
    known = targets != MISSING
    assert targets[known].tolist() == list(range(1, count)), "stream by stream, in the text's order"
    assert torch.equal(inputs[known], targets[known] - 1)


def test_two_processes_share_out_the_streams_of_one():
    ids = torch.arange(103, dtype=torch.int32)
    whole = batches(Loader(Streams(ids, 6, 4), 6))
    halves = [
        batches(Loader(Streams(ids, 6, 4), 3, rank=rank, world_size=2), epoch=1)
        for rank in range(2)
    ]
    for batch, first, second in zip(whole, *halves, strict=True):
        for together, one, other in zip(batch, first, second, strict=True):
            assert torch.equal(together[0::2], one) and torch.equal(together[1::2], other)


def test_blocks_come_in_a_new_order_with_new_cuts_every_epoch():
    loader = Loader(Blocks(torch.arange(1000, dtype=torch.int32), 16, 5), 4, shuffle=True, seed=5)
    epochs = [batches(loader, epoch) for epoch in (0, 0, 1)]
    first, again, other = (torch.cat([inputs for inputs, _ in epoch]) for epoch in epochs)
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.flatten().unique().numel() == first.numel(), "no token twice"
    assert {int(row[0]) % 16 for row in first} != {int(row[0]) % 16 for row in other}
    assert first.numel() >= 1000 - 16 - 4 * 16
    assert all(torch.equal(inputs + 1, targets) for inputs, targets in epochs[0])


def test_a_resumed_epoch_goes_on_with_the_next_chunk():
    streams = Streams(torch.arange(90, dtype=torch.int32), 3, 5)
    loader, again = Loader(streams, 3), Loader(streams, 3)
    whole = batches(loader)
    begun = iter(loader)
    for _ in range(2):
        next(begun)
    again.load_state_dict(loader.state_dict())
    assert torch.equal(next(iter(again))[0], whole[2][0])


@pytest.mark.parametrize("kind", ["characters", "bytes", "words"])
def test_a_text_comes_back_from_its_numbers(kind):
    lines = "O Romeo, Romeo!\nwherefore art thou Romeo?\n\nça va\n"
    known = Vocabulary.of(kind, tokens(lines, kind), [])
    assert known.decode(known.encode(lines)) == lines
    assert known.encode(lines).max() < len(known)


def test_words_are_those_that_are_frequent():
    data = "b a b a b c\nd\n"
    known = Vocabulary.of("words", tokens(data, "words"), [], 4)
    assert known.symbols == ("<unk>", "b", "<eos>", "a")
    assert known.encode("a c b\n").tolist() == [3, 0, 1, 2] and known.encode("zebra").tolist() == [
        0
    ]


def test_splits_are_parts_of_the_text_in_its_order(tmp_path):
    content = "".join(chr(97 + n % 26) for n in range(200)) + "é"
    data = text(tmp_path, content, val_size=0.1, test_size=31)
    whole = "".join(data.vocabulary.decode(data.ids[split]) for split in ("train", "val", "test"))
    assert whole == content and [len(data.ids[s]) for s in ("val", "test")] == [20, 31]
    assert len(data.vocabulary) == 27, "characters of all splits"


def test_the_files_of_a_folder_have_their_splits(tmp_path):
    (tmp_path / "b.txt").write_text("two ")
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"one "))
    (tmp_path / "valid.txt").write_text("three")
    (tmp_path / ".hidden").write_text("four")
    data = Text(tmp_path, test_size=0)
    data.setup("fit")
    found = {split: data.vocabulary.decode(ids) for split, ids in data.ids.items()}
    assert found == {"train": "one two ", "val": "three"}


def test_a_word_at_a_file_s_end_stays_one(tmp_path):
    (tmp_path / "a.txt").write_text("hello end")
    (tmp_path / "b.txt").write_text("Begin")
    (tmp_path / "Valid.txt").write_text("three")
    data = Text(tmp_path, test_size=0)
    assert data.read() == {"train": "hello end\nBegin", "val": "three"}


def test_words_that_training_never_meets_are_told(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("datamodules.text_data.rank_zero_info", said.append)
    few = "a b c d\n" * 20
    text(tmp_path, few + "e f\n" * 10, tokens="words", val_size=30, test_size=0)
    (note,) = said
    assert note.startswith(
        "note: 66.7% of the words held out are <unk>, which training never meets"
    )
    said.clear()
    text(tmp_path, few + "e f\n" * 10, tokens="words", words=4, val_size=30, test_size=0)
    text(tmp_path, few, tokens="words", val_size=30, test_size=0)
    assert not said


def test_a_fit_goes_on_with_the_text_that_it_began_with(tmp_path):
    """Else its states would be of other streams."""
    data = text(tmp_path, "abcdefghij" * 20)
    saved, other = data.state_dict(), text(tmp_path, "bacdefghij" * 20)
    other.trainer = SimpleNamespace(state=SimpleNamespace(fn="predict"))
    other.load_state_dict(saved)
    other.trainer.state.fn = TrainerFn.FITTING
    with pytest.raises(ValueError, match="--data=Text has another text than the run was trained"):
        other.load_state_dict(saved)
    other.load_state_dict(other.state_dict())


def test_shakespeare_is_whole():
    data = TinyShakespeare()
    data.setup("fit")
    assert len(data.ids["train"]) == 1_003_854 and len(data.ids["val"]) == 111_540
    assert len(data.vocabulary) == 65
    assert data.vocabulary.decode(data.ids["train"][:14]) == "First Citizen:"


def test_penn_treebank_is_checked(tmp_path):
    (tmp_path / "ptb.train.txt").write_text("not it\n")
    with pytest.raises(ValueError, match=r"ptb\.train\.txt is not the original file"):
        PennTreebank(tmp_path).prepare_data()


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("", {}, r"--data\.path=.*mine\.txt: no text to train on"),
        ("abc", {"val_size": 0.1}, "is 0 of them: too few tokens"),
        ("abcabcabc" * 9, {"words": 9}, "--data.words=9: tokens are characters"),
        ("abc" * 9, {"order": "blocks", "length": 64}, "--data.length=64 does not fit a text of"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, content, options, said):
    with pytest.raises(ValueError, match=said):
        text(tmp_path, content, **{"val_size": 0, "test_size": 0} | options).train_dataloader()


def test_files_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a\.txt is no text in UTF-8"):
        Text(tmp_path).setup("fit")
    with pytest.raises(FileNotFoundError, match=r"--data\.path=.*none: no such file or folder"):
        Text(tmp_path / "none").setup("fit")
    with pytest.raises(ValueError, match="a folder without a file"):
        (tmp_path / "empty").mkdir()
        Text(tmp_path / "empty").setup("fit")


def test_it_has_the_loaders_of_its_trainer(tmp_path):
    data = text(tmp_path, "abcdefghij" * 20, batch_size=3, length=5, test_size=0)
    data._trainer = seen_by(1, 2)
    inputs, _ = next(iter(data.train_dataloader()))
    assert inputs.shape == (3, 5) and data.val_dataloader().batches == 1
    with pytest.raises(ValueError, match=r"--data\.test_size=0: there is no text to test on"):
        data.test_dataloader()
