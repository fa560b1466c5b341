"""Tokens of a file of the `tokenizers` library: what it gives, whole, and what is refused."""

import sys

import pytest
import torch

from datamodules import Text
from datamodules.reading.tokenizer_file import TokenizerFile, from_plain
from datamodules.reading.vocabulary import Vocabulary
from tokenizer_files import byte_pairs, lower_words

LINES = "O Romeo, Romeo!\nwherefore art thou Romeo?\n\nça va\n" * 5


def test_it_is_the_library_s_and_gives_the_text_back(tmp_path):
    made = byte_pairs(tmp_path / "tokenizer.json", LINES)
    found = TokenizerFile.read(str(tmp_path / "tokenizer.json"), "--data.tokens")
    ids = found.encode(LINES)
    assert ids.tolist() == made.encode(LINES).ids and len(ids) < len(LINES) / 2
    assert ids.dtype == torch.int32 and found.decode(ids) == LINES
    assert len(found) == made.get_vocab_size() > ids.max()
    assert found.prompt(None, "--prompt").tolist() == made.encode("\n").ids
    again = from_plain(found.plain())
    assert again == found and again.decode(ids) == LINES
    with pytest.raises(ValueError, match="--prompt is empty"):
        found.prompt("", "--prompt")


def test_a_text_is_neither_cut_nor_padded_nor_drawn_at_random(tmp_path):
    """What the file asks for, for sentences while a network trains."""
    path = tmp_path / "tokenizer.json"
    whole = byte_pairs(path, LINES).encode(LINES).ids
    made = byte_pairs(path, LINES, dropout=0.9)
    made.enable_truncation(7)
    made.enable_padding(length=999)
    made.add_special_tokens(["<s>"])
    processors = sys.modules["tokenizers"].processors
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", made.token_to_id("<s>"))]
    )
    made.save(str(path))
    assert made.encode(LINES).ids != whole
    assert TokenizerFile.read(str(path), "--data.tokens").encode(LINES).tolist() == whole


def test_the_size_holds_the_highest_number(tmp_path):
    made = byte_pairs(tmp_path / "tokenizer.json", LINES)
    highest = made.get_vocab_size() - 1
    content = made.to_str(pretty=False).replace(f":{highest}", ":999")
    found = TokenizerFile(content)
    assert len(found) == 1000 > found.tokenizer.get_vocab_size() == highest + 1


def test_where_ends_of_lines_are_dropped_a_text_begins_with_any_token(tmp_path):
    lower_words(tmp_path / "tokenizer.json", LINES)
    found = TokenizerFile.read(str(tmp_path / "tokenizer.json"), "--data.tokens")
    assert found.prompt(None, "--prompt").tolist() == [0]


def test_characters_are_counted_where_tokens_give_the_text_back(tmp_path):
    path, file = tmp_path / "mine.txt", str(tmp_path / "tokenizer.json")
    path.write_text(LINES, encoding="utf-8")

    def data(tokens):
        made = Text(path, tokens, val_size=0.4, test_size=0)
        made.setup("fit")
        return made

    byte_pairs(file, LINES)
    exact = data(file)
    whole = "".join(exact.vocabulary.decode(exact.ids[split]) for split in ("train", "val"))
    assert whole == LINES
    assert exact.characters == {"val": len(exact.vocabulary.decode(exact.ids["val"]))}
    lower_words(file, LINES)
    assert data(file).characters == {} == data("words").characters
    characters, counted = data("characters"), data("bytes")
    assert characters.characters == {"val": len(characters.ids["val"])}
    assert 0 < counted.characters["val"] < len(counted.ids["val"]), "a cedilla has two bytes"


def test_what_is_no_tokenizer_is_refused(tmp_path, monkeypatch):
    text = tmp_path / "mine.txt"
    text.write_text(LINES)

    def refused(tokens, kind=ValueError, **options):
        with pytest.raises(kind) as error:
            Text(text, str(tokens), **options).setup("fit")
        assert "\n" not in str(error.value)
        return str(error.value)

    path = tmp_path / "tokenizer.json"
    said = "--data.tokens=charcters: characters, bytes, words, or a file, tokenizer.json"
    assert refused("charcters") == said
    assert refused(path, FileNotFoundError) == f"--data.tokens={path}: no such file"
    path.write_text("{]")
    assert refused(path).startswith(f"--data.tokens={path}: Expecting property name")
    path.write_text('{"a": 1}')
    assert refused(path).startswith(f"--data.tokens={path} is no file of a tokenizer: ")
    path.write_text("[1]")
    assert refused(path).startswith(f"--data.tokens={path} is no file of a tokenizer: ")
    assert refused(path, words=9).startswith("--data.words=9: tokens are")
    byte_pairs(path, LINES)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    said = f"--data.tokens={path}: the file of a tokenizer needs: pip install -e '.[tokenizers]'"
    assert refused(path) == said
    with pytest.raises(ValueError, match=r"\[tokenizers\]"):
        TokenizerFile(path.read_text()).prompt("O", "--prompt")


def test_symbols_come_back_from_plain_values():
    known = Vocabulary("words", ("<unk>", "a"))
    assert from_plain(known.plain()) == known
