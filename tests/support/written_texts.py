"""Sentences that tests write: what a class is about can be told by its words."""

import numpy as np

WORDS = {
    "food": "soup bread salt apple kitchen eat taste sweet".split(),
    "sport": "ball race team goal coach run match score".split(),
    "weather": "rain cloud wind storm sun snow cold degrees".split(),
}
COMMON = "the a of and to was it very not some".split()


def sentences(count, seed=0):
    """Pairs of a class and a text of 3 to 20 words."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        name = sorted(WORDS)[number % len(WORDS)]
        words = rng.choice(WORDS[name] + 2 * COMMON, rng.integers(2, 20)).tolist()
        found.append((name, " ".join([*words, str(rng.choice(WORDS[name]))])))
    return found


def write_lines(path, pairs):
    path.write_text("".join(f"{name} {text}\n" for name, text in pairs))
    return path


def write_csv(path, pairs):
    path.write_text("topic,review\n" + "".join(f'{name},"{text}"\n' for name, text in pairs))
    return path
