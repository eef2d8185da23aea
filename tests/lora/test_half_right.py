"""What judges a model: a stub that is right by halves gets the share that was counted by hand.

A judge that compares predictions with themselves, or the annotation with itself, gives 1.
"""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sacrebleu import corpus_bleu, corpus_chrf
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from llm_tutorial.data.cldr import Pair
from llm_tutorial.data.messages import Message
from llm_tutorial.data.people_daily import LABELS, Document, Entity
from llm_tutorial.data.reviews import Span
from llm_tutorial.generation import greedy_answers
from llm_tutorial.lora import hops, sentiment, tagging, task, translation
from llm_tutorial.tokenizers import character_tokenizer


class Stub(nn.Module):
    """Gives what it is told to for each text, the annotation never asked."""

    def __init__(self, logits: dict[tuple[int, ...], Tensor], entities: dict[tuple[int, ...], Tensor] | None = None):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.known, self.entities = logits, entities or {}
        self.config = SimpleNamespace(num_entities=4)

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        rows = [tuple(row) for row in input_ids.tolist()]
        entities = torch.stack([self.entities[row] for row in rows]) if self.entities else None
        return SimpleNamespace(logits=torch.stack([self.known[row] for row in rows]), entities=entities)


def one_hot(labels: list[int], count: int) -> Tensor:
    return F.one_hot(torch.tensor(labels), count).float()


GOLD = [{Entity(0, 2, "PER"), Entity(3, 5, "LOC")}, {Entity(0, 1, "ORG")}]


def test_spans_found_and_missed() -> None:
    found = [{Entity(0, 2, "PER"), Entity(3, 4, "LOC")}, {Entity(0, 1, "LOC"), Entity(2, 3, "PER")}]
    assert tagging.score(found, GOLD) == {
        "precision": 1 / 4,
        "recall": 1 / 3,
        "f1": 2 / 7,
        "PER": 2 / 3,
        "LOC": 0.0,
        "ORG": 0.0,
    }


def test_an_entity_of_another_document_is_not_found() -> None:
    assert tagging.score(GOLD[::-1], GOLD)["f1"] == 0


def test_a_tagger_that_finds_half() -> None:
    documents = [Document("张三在北京", tuple(GOLD[0])), Document("党说", tuple(GOLD[1]))]
    tokenizer = character_tokenizer([document.text for document in documents], at_least=1)
    examples = tagging.tag(documents, tokenizer)
    said = [["B-PER", "I-PER", "O", "B-LOC", "O"], ["B-ORG", "O"]]  # the place's end is missed
    logits, chosen = {}, {}
    for example, labels, places in zip(examples, said, ([0, 1, -1], [1, 0, -1]), strict=True):
        row = tuple(example.input_ids.tolist())
        logits[row] = one_hot([LABELS.index(label) for label in labels], len(LABELS))
        chosen[row] = torch.tensor(places)
    metrics = tagging.evaluate(Stub(logits, chosen), examples, documents)
    assert metrics == {
        "precision": 2 / 3,
        "recall": 2 / 3,
        "f1": 2 / 3,
        "PER": 1.0,
        "LOC": 0.0,
        "ORG": 1.0,
        "gate": 0.5,
    }


@pytest.mark.parametrize("alone", [False, True])
def test_reviews_half_of_which_are_named_right(alone: bool) -> None:
    document = sentiment.Reviewed(torch.tensor([2, 4, 9, 3, 5, 9, 6, 8, 9, 7, 1]), tuple(
        Span(start, start + 2, label) for start, label in ((0, 1), (3, 1), (6, 0), (9, 0))
    ))  # fmt: skip

    class Even(nn.Module):
        """Votes for 1 at even ids: right about the first and the last review."""

        def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
            return SimpleNamespace(logits=F.one_hot((input_ids % 2 == 0).long(), 2).float())

    assert sentiment.accuracy(Even(), [document], alone) == 0.5


def test_cities_half_of_which_are_named_right() -> None:
    text = hops.hop_text(128, "half")
    asked = [mention for mention in text.mentions if not mention.stated]
    labels = [0] * 128
    for number, mention in enumerate(asked):
        labels[mention.place] = mention.city if number % 2 else (mention.city + 1) % 8
    for mention in text.mentions:
        if mention.stated:
            labels[mention.place] = mention.city  # these are not asked for
    answers = hops.answers(Stub({tuple(text.ids): one_hot(labels, 8)}), [text])
    assert [right for _, right in answers] == [bool(number % 2) for number in range(len(asked))]


def test_entities_half_of_which_are_names() -> None:
    text = hops.hop_text(128, "half")
    statements = [mention.place for mention in text.mentions if mention.stated]  # 8 of them
    nobody = [place for place in range(128) if place not in {mention.place for mention in text.mentions}]
    places = torch.tensor([*statements[:4], *nobody[:4], -1])
    stub = Stub({tuple(text.ids): torch.zeros(128, 8)}, {tuple(text.ids): places})
    assert hops.chosen(stub, [text]) == {"names": 0.5, "statements": 0.5}


MESSAGES = [
    Message("Open %s", "打开 %s", "app", 0),
    Message("Close %s", "关闭 %s", "app", 1),
    Message("Save all files", "保存所有文件", "app", 2),
    Message("Delete the file", "删除文件", "app", 3),
]


def test_translations_half_of_which_are_right() -> None:
    said = ["打开 %s", "关闭", "保存全部文件", "删除文件"]
    metrics = translation.score(dict(zip(MESSAGES, said, strict=True)))
    references = [["打开 %s", "关闭 %s", "保存所有文件", "删除文件"]]
    assert (metrics["exact"], metrics["placeholders"]) == (0.5, 0.5)
    assert metrics["chrf"] == pytest.approx(corpus_chrf(said, references).score)
    assert metrics["bleu"] == pytest.approx(corpus_bleu(said, references, tokenize="zh").score)
    assert max(metrics["chrf"], metrics["bleu"]) < 90


def test_a_translator_that_is_sure_of_half() -> None:
    read = translation.Reader(MESSAGES[:2], vocabulary=280, memory=False)
    rows = read.held_out(MESSAGES[2:])
    labels = [token for row in rows for asked in row.asked for token in [*read.ids(asked.message)[1], translation.END]]

    class Half(nn.Module):
        """One half for every other right token, one tenth for the rest."""

        def forward(self, batch: translation.Batch) -> Tensor:
            right = batch.labels[batch.number >= 0]
            given = torch.where(torch.arange(len(right)) % 2 == 0, 0.5, 0.1)
            return torch.full((len(right), 280), 1e-3).scatter(1, right[:, None], given[:, None]).log()

    even, odd = len(labels) - len(labels) // 2, len(labels) // 2
    expected = (even * math.log(2) + odd * math.log(10)) / len(labels)
    assert translation.held_out_loss(Half(), read, rows) == pytest.approx(expected, rel=1e-5)  # type: ignore[arg-type]


WORDS = ["<s>", "</s>", "<unk>", *"abcdefghij →一二三四五六七八"]
PAIRS = [Pair(*each, "") for each in (("a", "一"), ("b", "二三"), ("c", "四五"), ("d", "六"))]


@pytest.fixture
def tokenizer() -> Any:
    """Tokens are characters; there is none for padding."""
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")  # type: ignore[assignment]
    backend.decoder = decoders.Fuse()  # type: ignore[assignment]
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


class Reciter(nn.Module):
    """Knows what comes next in its row, but for some tokens: those it gives no more than any other."""

    def __init__(self, unknown: str):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.unknown = {WORDS.index(token) for token in unknown}

    def forward(self, input_ids: Tensor, logits_to_keep: Tensor, **_: Any) -> Any:
        following = F.pad(input_ids, (0, 1))[0, logits_to_keep + 1]
        logits = one_hot(following.tolist(), len(WORDS)) * math.log(len(WORDS) - 1)  # one half for the right one
        for place, token in enumerate(following.tolist()):
            if token in self.unknown:
                logits[place] = 0
                logits[place, 2] = 1e-4  # says <unk>
        return SimpleNamespace(logits=logits[None])


def test_answers_half_of_which_are_exact(tokenizer: Any) -> None:
    assert task.exact_match(Reciter("三六"), tokenizer, PAIRS) == 50
    assert task.exact_match(Reciter("三"), tokenizer, PAIRS) == 75


def test_the_loss_of_answers_half_of_which_are_known(tokenizer: Any) -> None:
    # ten answer tokens, four ends among them; 三 and 六 are as likely as any other
    expected = (8 * math.log(2) + 2 * math.log(len(WORDS))) / 10
    assert task.held_out_loss(Reciter("三六"), tokenizer, PAIRS) == pytest.approx(expected, rel=1e-4)


class Writer(nn.Module):
    """Writes a text for each prompt, and keeps what it was given."""

    def __init__(self, tokenizer: Any, texts: list[str]):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(()))
        self.texts = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
        self.given: dict[str, Any] = {}

    def generate(self, input_ids: Tensor, **options: Any) -> Tensor:
        self.given = {"input_ids": input_ids, **options}
        longest = max(map(len, self.texts))
        end = options["pad_token_id"]
        return torch.cat([input_ids, torch.tensor([[*ids, *[end] * (longest - len(ids))] for ids in self.texts])], 1)


def test_texts_half_of_which_hold_the_answer(tokenizer: Any) -> None:
    writer = Writer(tokenizer, ["一</s>", "二", "a四五", "五四"])
    assert task.contains_match(writer, tokenizer, PAIRS) == 50


def test_prompts_are_padded_without_a_padding_token_and_the_tokenizer_stays_as_it_was(tokenizer: Any) -> None:
    writer = Writer(tokenizer, ["一", "二三"])
    before = tokenizer.padding_side, tokenizer.pad_token, len(tokenizer)
    assert greedy_answers(writer, tokenizer, ["a →", "bcde →"]) == ["一", "二三"]
    assert (tokenizer.padding_side, tokenizer.pad_token, len(tokenizer)) == before
    assert writer.given["attention_mask"].tolist() == [[0, 0, 0, 1, 1, 1, 1], [1] * 7]
    rows = ["".join(WORDS[token] for token in row[-4:]) for row in writer.given["input_ids"].tolist()]
    assert rows == ["<s>a →", "de →"]
