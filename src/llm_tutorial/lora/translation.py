"""Translation of software messages, which reads beside each message what stands around it in its catalogue.

A row of the source is a stretch of a catalogue: messages with their translation, all from the training split, and among
them messages that are asked for, each behind the pair that a translation memory finds for it. The encoder reads the row
as a whole; a decoder of one layer writes all the translations asked for, and may copy tokens of the row (See et al. 2017,
arXiv:1704.04368). Placeholders are numbered before anything else, so that a model need not spell them.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sacrebleu import corpus_bleu, corpus_chrf
from safetensors.torch import load_file, save_file
from sklearn.feature_extraction.text import TfidfVectorizer
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from llm_tutorial.data.messages import PLACEHOLDER, Message
from llm_tutorial.data.splits import key_of
from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseEncoder, rotary_angles, rotate
from llm_tutorial.precision import widen
from llm_tutorial.timing import Paced
from llm_tutorial.tokenizers import subword_tokenizer
from llm_tutorial.training import fit, linear_decay

PAD, PAIR, ASK, TO, END = range(5)
SLOTS = tuple(f"⟨{number}⟩" for number in range(8))
LONGEST = 64


def number_placeholders(text: str, english: str) -> str:
    """A text with the placeholders of its English replaced by their number.

    Args:
        text: The English itself, or its translation.
        english: Where the placeholders are counted.

    Example:
        >>> number_placeholders("{count} 个文件，共 %s", "%s of {count} files")
        '⟨1⟩ 个文件，共 ⟨0⟩'
    """
    names = list(dict.fromkeys(PLACEHOLDER.findall(english)))[: len(SLOTS)]
    return PLACEHOLDER.sub(lambda found: SLOTS[names.index(found[0])] if found[0] in names else found[0], text)


def fill_placeholders(text: str, english: str) -> str:
    """The way back: the numbers of a text replaced by the placeholders of an English; those it lacks are left out.

    Example:
        >>> fill_placeholders("⟨1⟩ 个文件，共 ⟨0⟩", "%d of %d files in %s")
        '%s 个文件，共 %d'
    """
    names = dict(zip(SLOTS, dict.fromkeys(PLACEHOLDER.findall(english)), strict=False))
    return re.sub("|".join(SLOTS), lambda found: names.get(found[0], ""), text)


class TranslationMemory:
    """The message most like another, by character n-grams, and its translation: what translators' tools offer.

    Args:
        messages: What it remembers.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = list(messages)
        self.vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(2, 5), sublinear_tf=True, dtype=np.float32)
        self.vectors = self.vectorizer.fit_transform([message.english for message in self.messages])
        self.places = defaultdict[str, list[int]](list)
        for place, message in enumerate(self.messages):
            self.places[key_of(message.english)].append(place)

    def nearest(self, messages: Sequence[Message]) -> list[Message]:
        """The most similar message to each, never another wording of the message itself.

        Args:
            messages: Of any split.

        Example:
            >>> memory = TranslationMemory([Message(text, "", "", 0) for text in ("Save file", "Save File…", "Open file")])
            >>> memory.nearest([Message("save file", "", "", 0)])[0].english
            'Open file'
        """
        found = []
        for start in range(0, len(messages), 512):
            part = messages[start : start + 512]
            likeness = (self.vectorizer.transform([m.english for m in part]) @ self.vectors.T).toarray()
            for row, message in zip(likeness, part, strict=True):
                row[self.places[key_of(message.english)]] = -1
                found.append(self.messages[int(row.argmax())])
        return found

    def translate(self, messages: Sequence[Message]) -> list[str]:
        """The neighbour's translation, with the message's own placeholders in it."""
        return [
            fill_placeholders(number_placeholders(near.chinese, near.english), message.english)
            for message, near in zip(messages, self.nearest(messages), strict=True)
        ]


class Asked(NamedTuple):
    """A message to translate, and where it stands in its row: its neighbour from the memory, itself, the end."""

    message: Message
    near: int
    start: int
    end: int


class Row(NamedTuple):
    """Ids of a stretch of the source, and the messages that are asked for in it."""

    input_ids: list[int]
    asked: list[Asked]


class Reader:
    """Makes rows of messages; subwords and memory come from the training split alone.

    Args:
        training: Its messages.
        vocabulary: Subwords, for both languages together.
        length: Tokens in a row with context.
        catalogue: Show the messages around.
        memory: Show the nearest pair of the memory.
        tokenizer: Of subwords that are known already.
    """

    def __init__(
        self,
        training: Sequence[Message],
        vocabulary: int = 3000,
        length: int = 1024,
        catalogue: bool = True,
        memory: bool = True,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.training, self.length, self.catalogue, self.memory = list(training), length, catalogue, memory
        self.tokenizer = tokenizer or message_tokenizer(training, vocabulary)
        self._ids = dict[Message, tuple[list[int], list[int]]]()

    @cached_property
    def nearest(self) -> dict[Message, Message]:
        """The memory's answers, filled as they are asked for; the training split's at once."""
        return dict(zip(self.training, self._memory.nearest(self.training), strict=True))

    @cached_property
    def _memory(self) -> TranslationMemory:
        return TranslationMemory(self.training)

    def ids(self, message: Message) -> tuple[list[int], list[int]]:
        """English and Chinese of a message, at most ``LONGEST`` tokens each."""
        if message not in self._ids:
            texts = (number_placeholders(text, message.english) for text in (message.english, message.chinese))
            english, chinese = (self.tokenizer.encode(text).ids[:LONGEST] for text in texts)
            self._ids[message] = english, chinese
        return self._ids[message]

    def rows(self, messages: Sequence[Message], asked: Callable[[Message], bool]) -> list[Row]:
        """The messages, one behind the other, in rows of at most ``length`` tokens; without context, each for itself.

        Args:
            messages: In their order. Those that are not asked for are shown with their translation.
            asked: Whether a message is to be translated.
        """
        rows = [Row([], [])]
        for message in messages:
            wanted = asked(message)
            if not (wanted or self.catalogue):
                continue
            near, part = self._part(message, wanted, self.memory)
            if rows[-1].input_ids and (not self.catalogue or len(rows[-1].input_ids) + len(part) > self.length):
                rows.append(Row([], []))
            at = len(rows[-1].input_ids)
            if wanted:
                rows[-1].asked.append(Asked(message, at, at + near, at + len(part)))
            rows[-1].input_ids.extend(part)
        return rows

    def _part(self, message: Message, asked: bool, memory: bool) -> tuple[int, list[int]]:
        """What a message takes of its row, and how much of that is its neighbour from the memory."""
        english, chinese = self.ids(message)
        if not asked:
            return 0, [PAIR, *english, TO, *chinese, END]
        near = self._part(self.nearest[message], False, False)[1] if memory else []
        return len(near), [*near, ASK, *english]

    def batches(self, share: float = 0.5, stretches: int = 2, seed: int = 0) -> Callable[[int], list[Row]]:
        """Batches by the number of their step: stretches of the catalogues, in which a share is asked for.

        Whatever context is shown, the messages asked for are the same: those that fill 1,024 tokens with all of it.

        Args:
            share: Of the messages, to be asked for.
            stretches: In a batch.
            seed: Of the stretches and of who is asked.
        """

        def batch_at(step: int) -> list[Row]:
            chance = random.Random(1_000_003 * seed + step)
            return [row for _ in range(stretches) for row in self._stretch(chance, share) if row.asked]

        return batch_at

    def _stretch(self, chance: random.Random, share: float) -> list[Row]:
        place, room = chance.randrange(len(self.training)), 1024
        stretch, asked = list[Message](), dict[str, bool]()  # all wordings of a message, or none
        while room > 0:
            message = self.training[(place + len(stretch)) % len(self.training)]
            wanted = asked.setdefault(key_of(message.english), chance.random() < share)
            room -= len(self._part(message, wanted, memory=True)[1])
            stretch.append(message)
        return self.rows(stretch[:-1], lambda message: asked[key_of(message.english)])

    def held_out(self, messages: Sequence[Message]) -> list[Row]:
        """Rows that ask for messages of another split, among all those of the training split.

        Args:
            messages: All of one split.
        """
        wanted = set(messages)
        if self.memory:
            missing = [message for message in messages if message not in self.nearest]
            self.nearest.update(zip(missing, self._memory.nearest(missing), strict=True))
        everything = sorted([*self.training, *messages], key=lambda message: (message.catalogue, message.index))
        return [row for row in self.rows(everything, wanted.__contains__) if row.asked]


def message_tokenizer(messages: Sequence[Message], vocabulary: int = 3000) -> Tokenizer:
    """Byte-level BPE over both languages, with a token for each mark and each numbered placeholder.

    Args:
        messages: The training split.
        vocabulary: Tokens in all.

    Example:
        >>> tokenizer = message_tokenizer([Message("Open %s", "打开 %s", "", 0)], 300)
        >>> tokenizer.decode(tokenizer.encode("打开 ⟨0⟩").ids, skip_special_tokens=False)
        '打开 ⟨0⟩'
    """
    texts = (number_placeholders(text, m.english) for m in messages for text in (m.english, m.chinese))
    return subword_tokenizer(texts, vocabulary, ["[PAD]", "[PAIR]", "[ASK]", "[TO]", "[END]", *SLOTS])


class Batch(NamedTuple):
    """Rows as tensors; the translations of a row are one sequence of the decoder, in which each sees itself alone.

    Attributes:
        input_ids: (batch, length).
        tokens: What the decoder has written, (batch, written).
        labels: What comes next, -100 at padding.
        number: Which translation of its row a token belongs to, -1 at padding.
        place: Its place in that translation.
        spans: Where the neighbour, the message and its end stand in the row, (batch, written, 3).
    """

    input_ids: Tensor
    tokens: Tensor
    labels: Tensor
    number: Tensor
    place: Tensor
    spans: Tensor


def collate(rows: Sequence[Row], written: Sequence[Sequence[Sequence[int]]]) -> Batch:
    """A batch of rows and of the translations, as far as they are written.

    Args:
        rows: Each with ``asked`` messages.
        written: For each of them the ids after ``TO``; the last id is only a label.
    """
    columns = [
        [
            (token, label, number, place, near, start, end)
            for number, ((_, near, start, end), ids) in enumerate(zip(row.asked, translations, strict=True))
            for place, (token, label) in enumerate(zip([TO, *ids[:-1]], ids, strict=True))
        ]
        for row, translations in zip(rows, written, strict=True)
    ]
    input_ids = pad_sequence([torch.tensor(row.input_ids) for row in rows], batch_first=True, padding_value=PAD)
    table = torch.zeros(len(rows), max(map(len, columns)), 7, dtype=torch.long)
    table[..., 1], table[..., 2] = -100, -1
    for line, column in zip(table, columns, strict=True):
        if column:
            line[: len(column)] = torch.tensor(column)
    tokens, labels, number, place = table[..., :4].unbind(-1)
    return Batch(input_ids, tokens, labels, number, place, table[..., 4:])


class DecoderLayer(nn.Module):
    """Attention to what is written, attention to the source, feed-forward.

    The source's tokens are related to a token in three ways: they follow its like, they belong to the neighbour, or to
    the message. Each is a bias that a head learns; half of the heads begin with a bias that makes them copy.

    Args:
        config: Sizes, as of the encoder.
    """

    def __init__(self, config: RelationSparseConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads, self.theta = config.num_attention_heads, config.rope_theta
        self.norms = nn.ModuleList(nn.RMSNorm(size, eps=1e-6) for _ in range(3))
        self.qkv, self.out = nn.Linear(size, 3 * size, bias=False), nn.Linear(size, size, bias=False)
        self.query, self.key_value = nn.Linear(size, size, bias=False), nn.Linear(size, 2 * size, bias=False)
        self.cross_out = nn.Linear(size, size, bias=False)
        self.up, self.down = nn.Linear(size, config.intermediate_size), nn.Linear(config.intermediate_size, size)
        self.dropout = nn.Dropout(config.dropout)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        copying = torch.arange(self.heads) < self.heads // 2
        self.relation = nn.Parameter(torch.tensor([[5.0], [3.0], [1.0]]) * copying)  # (3, heads)

    def forward(self, hidden: Tensor, memory: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Reads what is written and the source.

        Args:
            hidden: (batch, written, hidden_size).
            memory: ``key_value`` of the encoder's vectors, (batch, length, 2 * hidden_size).
            batch: What the vectors stand for.

        Returns:
            Vectors, and the attention to the source, (batch, heads, written, length).
        """
        rows, written, size = hidden.shape
        parts = self.qkv(self.norms[0](hidden)).view(rows, written, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        rotation = rotary_angles(batch.place, size // self.heads, self.theta)  # begins again with each translation
        query, key, value = rotate(parts[0], rotation), rotate(parts[1], rotation), parts[2]
        same = batch.number[:, :, None] == batch.number[:, None]
        seen = same & (batch.place[:, :, None] >= batch.place[:, None])
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=seen[:, None])
        hidden = hidden + self.dropout(self.out(read.transpose(1, 2).flatten(2)))

        query = self.query(self.norms[1](hidden)).view(rows, written, self.heads, -1).transpose(1, 2)
        key, value = memory.view(rows, -1, 2, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        scores = query @ key.mT * (size // self.heads) ** -0.5
        related = torch.einsum("bqlf,fh->bhql", source_relations(batch).to(self.relation.dtype), self.relation)
        scores = widen(scores + related).masked_fill((batch.input_ids == PAD)[:, None, None], -torch.inf)
        weights = scores.softmax(-1)
        read = weights.to(value.dtype) @ value
        hidden = hidden + self.dropout(self.cross_out(read.transpose(1, 2).flatten(2)))
        return hidden + self.dropout(self.down(F.gelu(self.up(self.norms[2](hidden))))), weights


def source_relations(batch: Batch) -> Tensor:
    """How the source's tokens are related to what is written, 0 or 1, (batch, written, length, 3).

    * the token before it is the one just written: a source's token to copy next;
    * it belongs to the neighbour;
    * it belongs to the message.
    """
    at = torch.arange(batch.input_ids.shape[1], device=batch.input_ids.device)
    before = F.pad(batch.input_ids[:, :-1], (1, 0), value=-1)
    near, start, end = batch.spans[..., None].unbind(-2)
    kinds = (before[:, None] == batch.tokens[..., None], (near <= at) & (at < start), (start <= at) & (at < end))
    return torch.stack(kinds, -1).float()


class Translator(nn.Module):
    """The encoder of the page and a decoder of one layer that writes or copies.

    Args:
        config: Of the encoder.
    """

    def __init__(self, config: RelationSparseConfig) -> None:
        super().__init__()
        self.encoder = RelationSparseEncoder(config)
        self.decoder = DecoderLayer(config)
        self.norm = nn.RMSNorm(config.hidden_size, eps=1e-6)
        self.copy = nn.Linear(config.hidden_size, 1)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = nn.Dropout(config.dropout)

    def encode(self, input_ids: Tensor) -> Tensor:
        """The keys and values that the decoder reads the source by, (batch, length, 2 * hidden_size)."""
        vectors = self.encoder(input_ids, (input_ids != PAD).long()).last_hidden_state
        return self.decoder.key_value(vectors)  # type: ignore[no-any-return]

    def forward(self, batch: Batch, memory: Tensor | None = None, at: Tensor | None = None) -> Tensor:
        """Log-probabilities of the next token.

        Args:
            batch: Rows and what is written.
            memory: What ``encode`` gave, if it is known already.
            at: Where they are wanted, (batch, written); everywhere but at padding if not given.

        Returns:
            (wanted, vocabulary).
        """
        memory = self.encode(batch.input_ids) if memory is None else memory
        hidden, weights = self.decoder(self.dropout(self.encoder.embedding(batch.tokens)), memory, batch)
        at = batch.number >= 0 if at is None else at
        hidden = self.norm(hidden[at])
        logits = widen(F.linear(hidden, self.encoder.embedding.weight, self.bias))
        copies = weights[:, : self.decoder.heads // 2].mean(1)[at]  # (wanted, length)
        source = batch.input_ids[:, None].expand(-1, at.shape[1], -1)[at]
        copied = torch.zeros_like(logits).scatter_add(1, source, copies)
        share = widen(self.copy(hidden)).sigmoid()
        return ((1 - share) * logits.softmax(-1) + share * copied + 1e-9).log()

    @torch.no_grad()
    def translate(self, rows: Sequence[Row], tokenizer: Tokenizer, batch_size: int = 8) -> dict[Message, str]:
        """The likeliest next token, again and again, until the end or ``LONGEST`` tokens.

        Args:
            rows: The messages.
            tokenizer: Of the rows.
            batch_size: Rows at once.
        """
        self.eval()
        translations = dict[Message, str]()
        rows = sorted(rows, key=lambda row: len(row.input_ids))
        for first in range(0, len(rows), batch_size):
            part = rows[first : first + batch_size]
            lines = [(number, asked, list[int]()) for number, row in enumerate(part) for asked in row.asked]
            memory = self.encode(collate(part, [[[END]] * len(row.asked) for row in part]).input_ids)
            for _ in range(LONGEST):
                unfinished = [line for line in lines if line[2][-1:] != [END]]
                if not unfinished:
                    break
                of_row = [[line for line in unfinished if line[0] == number] for number in range(len(part))]
                asking = [
                    row._replace(asked=[asked for _, asked, _ in mine]) for row, mine in zip(part, of_row, strict=True)
                ]
                batch = collate(asking, [[[*ids, END] for _, _, ids in mine] for mine in of_row])
                last = (batch.number >= 0) & (F.pad(batch.place[:, 1:], (0, 1)) == 0)
                for (*_, ids), token in zip(unfinished, self(batch, memory, last).argmax(-1).tolist(), strict=True):
                    ids.append(token)
            for _, asked, ids in lines:
                text = tokenizer.decode([token for token in ids if token > END], skip_special_tokens=False)
                translations[asked.message] = fill_placeholders(text, asked.message.english).strip()
        return translations


def save_translator(model: Translator, tokenizer: Tokenizer, folder: Path) -> None:
    """Writes weights of half precision, configuration and subwords.

    Args:
        model: The translator.
        tokenizer: Of its reader.
        folder: Made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half() for name, value in model.state_dict().items()}, folder / "model.safetensors")
    model.encoder.config.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))


def load_translator(folder: Path) -> tuple[Translator, Tokenizer]:
    """What ``save_translator`` wrote, ready to translate.

    Args:
        folder: Where it stands.
    """
    model = Translator(RelationSparseConfig.from_pretrained(folder))
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


def targets(reader: Reader, rows: Sequence[Row]) -> list[list[list[int]]]:
    """The translations that the rows ask for, each with its end."""
    return [[[*reader.ids(asked.message)[1], END] for asked in row.asked] for row in rows]


def loss_for(reader: Reader) -> Callable[[nn.Module, Sequence[Row], Any], Tensor]:
    """The loss, summed over the tokens asked for, as ``llm_tutorial.training.fit`` wants it."""

    def loss_of(model: nn.Module, rows: Sequence[Row], device: Any = None) -> Tensor:
        batch = Batch(*(part.to(device) for part in collate(rows, targets(reader, rows))))
        return F.nll_loss(model(batch), batch.labels[batch.number >= 0], reduction="sum")

    return loss_of


def count_for(reader: Reader) -> Callable[[Sequence[Row]], int]:
    """How many tokens that loss is summed over."""
    return lambda rows: sum(len(reader.ids(asked.message)[1]) + 1 for row in rows for asked in row.asked)


def train_translator(
    reader: Reader,
    steps: int,
    learning_rate: float,
    seed: int = 0,
    state: Path | None = None,
    description: str = "training",
    **options: Any,
) -> tuple[Translator, list[float], float]:
    """Trains a translator from nothing; the learning rate rises over 20 steps, then falls linearly to 0.

    Args:
        reader: Of the training split, with the context that is to be shown.
        steps: Of two stretches of the catalogues each.
        learning_rate: Of AdamW.
        seed: Of the weights, the stretches and dropout.
        state: Folder for the state of an unfinished run.
        description: Shown beside the progress bar.
        options: Of ``RelationSparseConfig``.

    Returns:
        The model, the mean loss of each step, and the median of the processor's seconds for a step.
    """
    torch.manual_seed(seed)
    model = Translator(translator_config(reader, **options))
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    batch_at = Paced(reader.batches(seed=seed))
    losses = fit(
        model, batch_at, optimizer, steps, linear_decay(optimizer, steps, warmup=20), state, seed,
        save_every=50, description=description, loss_of=loss_for(reader), count=count_for(reader),
    )  # fmt: skip
    return model, losses, batch_at.pace


def translator_config(reader: Reader, **options: Any) -> RelationSparseConfig:
    """Two layers; a "sentence" is a message asked for or a pair that is shown; no types, as nothing is annotated."""
    settings: dict[str, Any] = {
        "vocab_size": reader.tokenizer.get_vocab_size(),
        "num_hidden_layers": 2,
        "relations": ("same surface", "same sentence"),
        "sentence_ends": (PAIR, ASK),
    }
    return RelationSparseConfig(**settings | options)


@torch.no_grad()
def held_out_loss(model: Translator, reader: Reader, rows: Sequence[Row], batch_size: int = 8) -> float:
    """Mean loss over the tokens that rows ask for, in nats."""
    model.eval()
    parts = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    loss_of, count = loss_for(reader), count_for(reader)
    return sum(float(loss_of(model, part, None)) for part in parts) / count(rows)


def score(translations: dict[Message, str]) -> dict[str, float]:
    """How good translations are: chrF and BLEU by sacrebleu, those that are right to the letter, placeholders kept.

    Args:
        translations: Of each message.

    Example:
        >>> score({Message("%d files", "%d 个文件", "", 0): "%d 个文件"})
        {'chrf': 100.0, 'bleu': 100.0, 'exact': 1.0, 'placeholders': 1.0}
    """
    hypotheses, references = list(translations.values()), [[message.chinese for message in translations]]
    kept = [
        sorted(PLACEHOLDER.findall(text)) == sorted(PLACEHOLDER.findall(message.english))
        for message, text in translations.items()
        if PLACEHOLDER.search(message.english)
    ]
    return {
        "chrf": round(corpus_chrf(hypotheses, references).score, 6),
        "bleu": round(corpus_bleu(hypotheses, references, tokenize="zh").score, 6),
        "exact": float(np.mean([text == message.chinese for message, text in translations.items()])),
        "placeholders": float(np.mean(kept)) if kept else 1.0,
    }
