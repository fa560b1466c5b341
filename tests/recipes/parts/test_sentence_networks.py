"""Networks of sentences: against their definitions, and that padding changes nothing."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recipes.parts.networks import evaluating
from recipes.parts.sentences import LSTMClassifier, TextCNN, TransformerClassifier

MADE = {
    "cnn": lambda: TextCNN(20, 3, width=6, filters=4),
    "lstm": lambda: LSTMClassifier(20, 3, width=6, units=5, layers=2),
    "one way": lambda: LSTMClassifier(20, 3, width=6, units=5, both_ways=False),
    "transformer": lambda: TransformerClassifier(20, 3, context=30, width=8, heads=2),
}
LENGTHS = (7, 1, 4)


@pytest.fixture
def tokens():
    rows = [torch.randint(1, 20, (length,)) for length in LENGTHS]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_what_stands_behind_a_sentence_changes_nothing(make, tokens):
    network = make().double()
    with torch.no_grad(), evaluating(network):
        together = network(tokens)
        for row, length, logits in zip(tokens, LENGTHS, together, strict=True):
            alone = network(row[:length].unsqueeze(0))[0]
            torch.testing.assert_close(logits, alone, rtol=1e-10, atol=1e-12)
        wider = network(F.pad(tokens, (0, 9)))
    torch.testing.assert_close(wider, together, rtol=1e-10, atol=1e-12)
    loss = network(tokens).sum()
    loss.backward()
    assert not network.embedding.weight.grad[0].any(), "padding learns nothing"


def test_the_cnn_takes_the_largest_value_over_every_window_with_a_word(tokens):
    network = TextCNN(20, 3, width=6, windows=(2, 3), filters=4).double()
    with torch.no_grad(), evaluating(network):
        found = network(tokens)
        for row, length, logits in zip(tokens, LENGTHS, found, strict=True):
            words, largest = network.embedding.weight[row[:length]], []
            for filters in network.filters:
                size = filters.kernel_size[0]
                zeros = torch.zeros(size - 1, 6, dtype=words.dtype)
                around = torch.cat([zeros, words, zeros])
                windows = [around[i : i + size] for i in range(length + size - 1)]
                values = [
                    torch.einsum("fws,sw->f", filters.weight, window) + filters.bias
                    for window in windows
                ]
                largest.append(torch.stack(values).relu().amax(0))
            torch.testing.assert_close(logits, network.head(torch.cat(largest)))


def test_the_lstm_is_torchs_of_packed_sequences_both_ways(tokens):
    network = LSTMClassifier(20, 3, width=6, units=5).double()
    both = nn.LSTM(6, 5, batch_first=True, bidirectional=True).double()
    for reader, suffix in zip(network.readers, ("", "_reverse"), strict=True):
        for name, weight in reader.named_parameters():
            getattr(both, f"{name}{suffix}").data = weight.data
    with torch.no_grad(), evaluating(network):
        lengths = torch.tensor(LENGTHS)
        words = network.embedding(tokens)
        packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(both(packed)[0], batch_first=True)
        ends = torch.cat([states[torch.arange(3), lengths - 1, :5], states[:, 0, 5:]], 1)
        torch.testing.assert_close(network(tokens), network.head(ends))


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="width=10 does not divide by heads=4"):
        TransformerClassifier(20, 3, width=10)
