"""How the built-in model chooses the sentences that it quotes. It never writes one of its own.

A sentence's score is the sum of the weights of the question's words that occur in it, divided by ln(e + its number of
words) so that length alone doesn't win. A word weighs its inverse document frequency over all the sentences at hand,
ln(1 + sentences / sentences with it), and half as much when it is one of a few common English words. Words are compared
by their first six letters without case (`decide` meets `decided`, `decision` doesn't); in Chinese and Japanese each
pair of characters is a word.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import unescape

from resolvers.core.ports.ai import Passage

MAX_PASSAGES = 3
MAX_SENTENCES = 4
MAX_SUMMARY_SENTENCES = 5
MIN_WORDS = 5
"""Of a sentence in a summary, where there are such sentences: a speaker's name and "fine" is no summary."""
MAX_SENTENCE_CHARACTERS = 300
TITLE_WORDS = 7
MAX_TITLE_CHARACTERS = 80

NO_PASSAGE = "I found no passage about this in the notes you can read."

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")
_TITLE_WORD = re.compile(r"[^\W_]+(?:['’.+#/-]*[^\W_]+)*[+#]*")
# A stop after one letter or a short number ("e.g.", "J. Smith", "3. Mai"), or before a small letter, ends nothing.
_STOP = r"(?<!\b\w)(?<!\b\d\d)[.!?…]+[\"'”’»)\]]*(?=\s)(?!\s+[a-z])"
_SENTENCE = re.compile(rf"[^\n]+?(?:{_STOP}|[。！？]+[」』”]?|(?=\n)|\Z)")
_ATTRIBUTE = re.compile(r"""([a-z]+)=(?:"([^"]*)"|'([^']*)')""")
_COMMON = frozenset(
    """a an and are as at be been but by can could did do does for from had has have how i if in is it its me my of on
    or our please should tell that the their them there these they this to us was we were what when where which who why
    will with would you your about""".split()  # noqa: SIM905 (sixty quotation marks help nobody)
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """`passage` is the rank of its passage, `index` its position in that."""

    passage: int
    index: int
    text: str
    words: tuple[str, ...]


def answer(question: str, passages: Iterable[Passage]) -> str:
    """`Title: "sentence. sentence."` for each quoted passage, best first; NO_PASSAGE without passages."""
    unique = list({(p.note, p.text.strip()): p for p in passages if p.text.strip()}.values())
    sentences = [sentence for rank, passage in enumerate(unique) for sentence in _sentences(rank, passage.text)]
    quotes: dict[int, list[Sentence]] = {}
    for sentence in _best(question, sentences):
        if sentence.passage in quotes or len(quotes) < MAX_PASSAGES:
            quotes.setdefault(sentence.passage, []).append(sentence)
    parts = []
    for rank, quoted in quotes.items():
        text = " ".join(sentence.text for sentence in sorted(quoted, key=lambda sentence: sentence.index))
        parts.append(f'{" ".join(unique[rank].title.split()) or "Untitled"}: "{text}"')
    return "\n\n".join(parts) or NO_PASSAGE


def digest(passages: Iterable[Passage]) -> str:
    """Up to five sentences, one a line, in their order: those whose words the passages use most.

    NO_PASSAGE without a sentence.
    """
    sentences = [sentence for rank, passage in enumerate(passages) for sentence in _sentences(rank, passage.text)]
    sentences = [sentence for sentence in sentences if len(sentence.words) >= MIN_WORDS] or sentences
    used = Counter(word for sentence in sentences for word in set(sentence.words) if word not in _COMMON)
    scores = [
        (sum(math.log(used[w]) for w in sorted(set(s.words) & used.keys())) / math.log(math.e + len(s.words)), s)
        for s in sentences
    ]
    # Longer sentences win when no word is used twice.
    best = sorted(scores, key=lambda pair: (-pair[0], -len(pair[1].words)))[:MAX_SUMMARY_SENTENCES]
    chosen = sorted((sentence for _, sentence in best), key=lambda sentence: (sentence.passage, sentence.index))
    return "\n".join(f"- {sentence.text}" for sentence in chosen) or NO_PASSAGE


def title(message: str) -> str:
    """The first seven significant words of `message`, each capitalised, at most 80 characters, no final punctuation."""
    words = _TITLE_WORD.findall(message[:2000])
    significant = [word for word in words if word.casefold() not in _COMMON]
    # A message of common words only ("What is this about?") still needs a title.
    chosen = (significant or words)[:TITLE_WORDS]
    text = " ".join(word[:1].upper() + word[1:] for word in chosen)
    if len(text) > MAX_TITLE_CHARACTERS:
        text = text[: MAX_TITLE_CHARACTERS + 1].rpartition(" ")[0] or text[:MAX_TITLE_CHARACTERS]
    return text or "Untitled"


def read_passages(text: str) -> list[Passage]:
    """The passages in `text`, as `resolvers.core.ports.ai.passages_block` writes them. Linear in the text's length."""
    passages = []
    for inside in _between(text, "<passages>", "</passages>"):
        for element in _between(inside, "<passage ", "</passage>"):
            head, _, body = element.partition(">")
            attributes = {name: unescape(a or b) for name, a, b in _ATTRIBUTE.findall(head)}
            chunk = attributes.get("chunk", "")
            number = int(chunk) if re.fullmatch(r"[0-9]{1,9}", chunk) else 0
            passages.append(Passage(attributes.get("title", ""), number, attributes.get("note", ""), unescape(body)))
    return passages


def without_passages(text: str) -> str:
    """`text` with its passages cut out."""
    before, opening, rest = text.partition("<passages>")
    return before + rest.rpartition("</passages>")[2] if opening else text


def _between(text: str, opening: str, closing: str) -> Iterator[str]:
    position = 0
    while (start := text.find(opening, position)) >= 0 and (end := text.find(closing, start)) >= 0:
        yield text[start + len(opening) : end]
        position = end + len(closing)


def _best(question: str, sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences to quote, best first; the beginning of the first passage when no word of the question occurs."""
    question_words = set(_words(question))
    frequency = Counter(word for sentence in sentences for word in question_words.intersection(sentence.words))
    weights = {
        word: math.log(1 + len(sentences) / count) * (0.5 if word in _COMMON else 1.0)
        for word, count in frequency.items()
    }
    scores = [
        # Sorted, because the sum of floats depends on the order, and a set's order changes between processes.
        (sum(weights[w] for w in sorted(question_words.intersection(s.words))) / math.log(math.e + len(s.words)), s)
        for s in sentences
    ]
    ranked = sorted((pair for pair in scores if pair[0] > 0), key=lambda pair: -pair[0])
    if not ranked:
        return [sentence for sentence in sentences if sentence.passage == 0][:2]
    # A sentence that shares only a common word with the question is left out when another shares more.
    return [sentence for score, sentence in ranked[:MAX_SENTENCES] if score >= ranked[0][0] / 3]


def _sentences(rank: int, text: str) -> Iterator[Sentence]:
    pieces = (" ".join(piece.split()) for piece in _SENTENCE.findall(text))
    for index, piece in enumerate(piece for piece in pieces if _WORD.search(piece)):
        shortened = piece if len(piece) <= MAX_SENTENCE_CHARACTERS else f"{piece[:MAX_SENTENCE_CHARACTERS]}…"
        yield Sentence(rank, index, shortened, tuple(_words(piece)))


def _words(text: str) -> Iterator[str]:
    for word in _WORD.findall(text.casefold()):
        if _IS_CJK.match(word):
            yield from (word[start : start + 2] for start in range(max(1, len(word) - 1)))
        else:
            yield word[:6]
