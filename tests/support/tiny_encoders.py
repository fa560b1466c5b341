"""Encoders that tests write: folders of small random networks, and their tokenizers."""

import pytest
import torch

from written_texts import COMMON, WORDS

SIZES = {
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 32, "max_position_embeddings": 40, "vocab_size": 60},
}


def tokenizer(path, special):
    """Words in lower case, between two tokens; `special`: padding and these are among its names."""
    library = pytest.importorskip("tokenizers", reason="needs: pip install -e '.[tokenizers]'")
    words = sorted({word for words in WORDS.values() for word in words} | {*COMMON})
    numbers = {word: number for number, word in enumerate([*special, *words])}
    unknown = next(name for name in special if "unk" in name.lower())
    first, last = (name for name in special if name in ("[CLS]", "[SEP]", "<s>", "</s>"))
    made = library.Tokenizer(library.models.WordLevel(numbers, unk_token=unknown))
    made.normalizer = library.normalizers.Lowercase()
    made.pre_tokenizer = library.pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(list(special))
    made.post_processor = library.processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, numbers[first]), (last, numbers[last])],
    )
    made.enable_truncation(7)  # which a run does not look at
    made.save(str(path))


def bert(folder):
    """One of BERT's kind, whose padding is token 0."""
    return written(folder, "Bert", ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))


def roberta(folder):
    """One of RoBERTa's kind, whose padding is token 1, and whose positions begin behind it."""
    return written(folder, "Roberta", ("<s>", "<pad>", "</s>", "<unk>"), pad_token_id=1)


def written(folder, kind, special, **options):
    """The folder of a model."""
    library = pytest.importorskip("transformers", reason="needs: pip install -e '.[pretrained]'")
    config = getattr(library, f"{kind}Config")(**SIZES, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = getattr(library, f"{kind}Model")(config)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(5)  # with the library's, all texts are much the same
    made.save_pretrained(folder)
    tokenizer(folder / "tokenizer.json", special)
    return folder
