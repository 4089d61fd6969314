"""A unigram tokenizer's pieces, learnt the same way on every machine.

The trainer in `tokenizers` adds numbers in the order of a randomly seeded hash map, so two runs differ; ours sums
in sorted order. The method is Kudo (2018): seed with frequent substrings of words, then estimate probabilities
by expectation and maximisation, and drop the pieces that the likelihood misses least, until the size is right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable

PIECE_CHARS_MAX = 16
SEED_PIECES_MAX = 100_000
WORDS_MAX = 50_000  # the most frequent; bounds time where a corpus has more
ROUNDS = 2  # of expectation and maximisation between two cuts
KEPT_PER_CUT = 0.75
SCORE_DIGITS = 9  # beyond what sums in another order, or another machine's logarithm, could change


def train_unigram(
    texts: Iterable[str], alphabet: list[str], size: int, on_progress: Callable[[float], None] = lambda _: None
) -> list[tuple[str, float]]:
    """Up to `size` pieces with their log-probabilities, the most probable first; the alphabet is always among them."""
    words = _count_words(texts)
    pieces = _seed(words, alphabet)
    cuts, cuts_needed = 0, max(1.0, math.log(len(pieces) / size) / -math.log(KEPT_PER_CUT))
    while True:
        on_progress(min(1.0, cuts / cuts_needed))
        cuts += 1
        for _ in range(ROUNDS):
            pieces = _estimate(words, pieces, alphabet, size)
        if len(pieces) <= size:
            break
        pieces = _cut(words, pieces, alphabet, max(size, int(len(pieces) * KEPT_PER_CUT)))
    ordered = sorted(pieces.items(), key=lambda item: (-round(item[1], SCORE_DIGITS), item[0]))
    return [(piece, round(score, SCORE_DIGITS)) for piece, score in ordered]


def _count_words(texts: Iterable[str]) -> list[tuple[str, int]]:
    from tokenizers import pre_tokenizers

    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(word for word, _ in splitter.pre_tokenize_str(text))
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:WORDS_MAX]


def _seed(words: list[tuple[str, int]], alphabet: list[str]) -> dict[str, float]:
    """Substrings that occur at least twice, by how much text they cover; and every character."""
    counts: Counter[str] = Counter()
    for word, count in words:
        for start in range(len(word)):
            for end in range(start + 2, min(len(word), start + PIECE_CHARS_MAX) + 1):
                counts[word[start:end]] += count
    found = [(piece, count * len(piece)) for piece, count in counts.items() if count > 1]
    found = sorted(found, key=lambda item: (-item[1], item[0]))[:SEED_PIECES_MAX]
    characters: Counter[str] = Counter()
    for word, count in words:
        for character in word:
            characters[character] += count
    weights = dict(found) | {character: characters[character] + 1 for character in alphabet}
    return _log_shares({piece: float(weight) for piece, weight in weights.items()})


def _log_shares(weights: dict[str, float]) -> dict[str, float]:
    total = math.log(math.fsum(weights.values()))
    return {piece: math.log(weight) - total for piece, weight in weights.items()}


def _edges(word: str, pieces: dict[str, float]) -> list[list[tuple[int, str, float]]]:
    """For each end, the pieces of the word that end there: (start, piece, log-probability)."""
    edges: list[list[tuple[int, str, float]]] = [[] for _ in range(len(word) + 1)]
    for start in range(len(word)):
        for end in range(start + 1, min(len(word), start + PIECE_CHARS_MAX) + 1):
            score = pieces.get(word[start:end])
            if score is not None:
                edges[end].append((start, word[start:end], score))
    return edges


def _estimate(
    words: list[tuple[str, int]], pieces: dict[str, float], alphabet: list[str], size: int
) -> dict[str, float]:
    """One round of expectation and maximisation: expected counts over all ways to split each word.

    Pieces that hardly occur are dropped, as long as `size` remain.
    """
    expected = dict.fromkeys(pieces, 0.0)
    for word, count in words:
        edges = _edges(word, pieces)
        forward = [1.0] + [0.0] * len(word)
        for end in range(1, len(word) + 1):
            forward[end] = sum(forward[start] * math.exp(score) for start, _, score in edges[end])
        backward = [0.0] * len(word) + [1.0]
        for end in range(len(word), 0, -1):
            for start, _, score in edges[end]:
                backward[start] += math.exp(score) * backward[end]
        if forward[-1] == 0.0:  # a word so long that its probability is beyond a float tells nothing
            continue
        for end in range(1, len(word) + 1):
            for start, piece, score in edges[end]:
                expected[piece] += count * forward[start] * math.exp(score) * backward[end] / forward[-1]
    always = set(alphabet)
    ranked = sorted(expected.items(), key=lambda item: (item[0] not in always, -item[1], item[0]))
    kept = {piece: max(value, 1e-3) for rank, (piece, value) in enumerate(ranked) if value >= 0.5 or rank < size}
    kept |= {piece: max(expected[piece], 1e-3) for piece in alphabet}
    return _log_shares(kept)


def _best_split(word: str, pieces: dict[str, float], but: str | None = None) -> tuple[list[str], float]:
    """The most probable split of a word, by Viterbi's algorithm."""
    edges = _edges(word, pieces)
    best: list[tuple[float, int, str]] = [(0.0, 0, "")] + [(-math.inf, 0, "")] * len(word)
    for end in range(1, len(word) + 1):
        for start, piece, score in edges[end]:
            if piece != but and best[start][0] + score > best[end][0]:
                best[end] = (best[start][0] + score, start, piece)
    split, at = [], len(word)
    while at > 0:
        split.append(best[at][2])
        at = best[at][1]
    return split[::-1], best[-1][0]


def _cut(words: list[tuple[str, int]], pieces: dict[str, float], alphabet: list[str], keep: int) -> dict[str, float]:
    """Drops the pieces whose loss costs the likelihood least: each would be spelt by its next best split."""
    used: Counter[str] = Counter()
    for word, count in words:
        for piece in _best_split(word, pieces)[0]:
            used[piece] += count
    always = set(alphabet)
    losses = []
    for piece, score in pieces.items():
        if piece not in always:
            _, without = _best_split(piece, pieces, but=piece)
            losses.append((-used[piece] * (score - without), piece))
    losses.sort()
    room = max(0, keep - len(always))
    kept = always | {piece for _, piece in losses[:room]}
    return {piece: score for piece, score in pieces.items() if piece in kept}
