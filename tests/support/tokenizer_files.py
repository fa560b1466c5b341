"""Tokenizers that tests train, as files."""

import pytest


def byte_pairs(path, text, size=280, **settings):
    """A byte-level BPE of a text, as GPT-2's: it gives every text back."""
    library = pytest.importorskip("tokenizers", reason="needs: pip install -e '.[tokenizers]'")
    made = library.Tokenizer(library.models.BPE(**settings))
    level = library.pre_tokenizers.ByteLevel
    made.pre_tokenizer, made.decoder = level(add_prefix_space=False), library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=level.alphabet(), show_progress=False
    )
    made.train_from_iterator([text], trainer)
    made.save(str(path))
    return made


def lower_words(path, text):
    """Words in lower case: ends of lines, blanks and capitals do not come back."""
    library = pytest.importorskip("tokenizers", reason="needs: pip install -e '.[tokenizers]'")
    made = library.Tokenizer(library.models.WordLevel(unk_token="<unk>"))
    made.normalizer = library.normalizers.Lowercase()
    made.pre_tokenizer = library.pre_tokenizers.Whitespace()
    trainer = library.trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False)
    made.train_from_iterator([text], trainer)
    made.save(str(path))
    return made
