"""TextCNN (Kim, 2014, arXiv:1408.5882): filters that look for n-grams, and a pooling over all places of a text."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from scipy import sparse
from sklearn.utils.extmath import randomized_svd
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.cnn.pooling import k_max_pool
from llm_tutorial.precision import widen

PAD, UNKNOWN = 0, 1
SCALE = 0.1
"""Standard deviation of the embeddings at the start."""
Pooling = Literal["max", "mean", "k-max", "attention"]
Vectors = Literal["tuned", "static", "both"]
POOLINGS, VECTORS = ("max", "mean", "k-max", "attention"), ("tuned", "static", "both")


class Encoded(NamedTuple):
    """Token ids of a text, and its label."""

    input_ids: list[int]
    label: int


def vocabulary(texts: Iterable[Sequence[str]], at_least: int = 2) -> dict[str, int]:
    """Numbers of tokens, the frequent ones first, after ``[PAD]`` (0) and ``[UNK]`` (1).

    Args:
        texts: The training split, each text a sequence of tokens: a string for characters, a list for words.
        at_least: What occurs less often is left out, so that ``[UNK]`` is trained, too.

    Example:
        >>> vocabulary(["好不好", "不贵"])
        {'[PAD]': 0, '[UNK]': 1, '好': 2, '不': 3}
    """
    counts = Counter(token for text in texts for token in text)
    kept = [token for token, count in counts.most_common() if count >= at_least]
    return {token: number for number, token in enumerate(["[PAD]", "[UNK]", *kept])}


def encode(tokens: Sequence[str], numbers: Mapping[str, int], at_least: int = 1) -> list[int]:
    """Token ids of a text, filled up with ``[UNK]`` where it is shorter than the largest filter.

    Args:
        tokens: A string for characters, a list for words.
        numbers: From ``vocabulary``.
        at_least: Tokens of the largest filter.

    Raises:
        ValueError: The text is empty.

    Example:
        >>> encode("好书", {"[PAD]": 0, "[UNK]": 1, "好": 2}, at_least=4)
        [2, 1, 1, 1]
    """
    if not tokens:
        raise ValueError("a text of 0 tokens has nothing to classify\n文本有 0 个词元，没有可分类的内容")
    return [numbers.get(token, UNKNOWN) for token in tokens] + [UNKNOWN] * (at_least - len(tokens))


def pad(rows: Sequence[Sequence[int]], device: Any = None) -> Tensor:
    """Texts of different lengths as one batch (texts, longest), padded on the right.

    Example:
        >>> pad([[5, 6, 7], [8]])
        tensor([[5, 6, 7],
                [8, 0, 0]])
    """
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], device=device)


def counted_vectors(
    rows: Sequence[Sequence[int]], vocabulary: int, width: int = 64, window: int = 5, seed: int = 0
) -> Tensor:
    """Embeddings from counts alone: what stands near a token, by positive mutual information, and its largest directions.

    Levy and Goldberg (2014) found word2vec to factorise such a matrix; smoothing is that of Levy et al. (2015).

    Args:
        rows: Ids of each training text; labels take no part.
        vocabulary: Tokens.
        width: Of the vectors.
        window: Tokens to each side; a neighbour at distance d counts 1/d.
        seed: Of the randomised decomposition.

    Returns:
        (vocabulary, width), with a standard deviation of 0.1.

    Example:
        >>> rows = [[2, 4, 2], [3, 4, 3], [5, 6, 5]] * 2
        >>> like = F.normalize(counted_vectors(rows, 7, width=3), dim=-1)
        >>> bool(like[2] @ like[3] > 0.99), bool((like[2] @ like[5]).abs() < 0.01)
        (True, True)
    """
    shape, pairs = (vocabulary, vocabulary), list[tuple[np.ndarray, np.ndarray, np.ndarray]]()
    for row in map(np.array, rows):
        for distance in range(1, min(window, len(row) - 1) + 1):
            pairs.append((row[:-distance], row[distance:], np.full(len(row) - distance, 1 / distance)))
    left, right, share = (np.concatenate(part) for part in zip(*pairs, strict=True))
    near = sparse.coo_matrix((share, (left, right)), shape).tocsr()
    near = (near + near.T).tocoo()
    total = np.bincount(near.row, near.data, vocabulary)
    smooth = total**0.75 / (total**0.75).sum()
    information = np.log(near.data / (total[near.row] * smooth[near.col]))
    kept = information > 0
    matrix = sparse.csr_matrix((information[kept], (near.row[kept], near.col[kept])), shape)
    directions, sizes, _ = randomized_svd(matrix, width, random_state=seed)
    found = torch.from_numpy(directions * np.sqrt(sizes)).float()
    return SCALE * found / found.std()


class TextCNN(nn.Module):
    """Filters of several region sizes over embeddings, each pooled over the text, then a linear layer.

    Args:
        vocabulary: Tokens, ``[PAD]`` (0) among them.
        classes: Labels.
        width: Of the embeddings.
        regions: Region sizes, the tokens that a filter sees.
        filters: Of each region size.
        dropout: Share of the pooled features that training hides.
        pooling: ``max``, ``mean``, ``k-max`` or ``attention``, over the places where a filter fits into the text.
        k: Of ``k-max``.
        vectors: (vocabulary, width) to start from; at random if left out.
        channel: What becomes of the vectors: ``tuned`` with the rest, ``static``, or ``both`` side by side.

    Raises:
        ValueError: No region size, one below 1, another pooling or channel, or vectors of another shape.

    Example:
        >>> TextCNN(100)(torch.tensor([[5, 6, 7, 8, 9]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int = 2,
        width: int = 64,
        regions: Sequence[int] = (2, 3, 4),
        filters: int = 32,
        dropout: float = 0.5,
        pooling: Pooling = "max",
        k: int = 3,
        vectors: Tensor | None = None,
        channel: Vectors = "tuned",
    ) -> None:
        super().__init__()
        if not regions or min(regions) < 1:
            raise ValueError(
                f"region sizes {tuple(regions)}: give at least one, each at least 1\n"
                f"区域大小 {tuple(regions)}：至少给一个，每个至少为 1"
            )
        _one_of("pooling", "池化", pooling, POOLINGS)
        _one_of("channel", "通道", channel, VECTORS)
        self.regions, self.pooling, self.k = tuple(regions), pooling, k
        self.embeddings = nn.ModuleList(
            _embedding(vocabulary, width, vectors, tuned)
            for tuned in {"tuned": [True], "static": [False], "both": [True, False]}[channel]
        )
        inputs = width * len(self.embeddings)
        self.convolutions = nn.ModuleList(nn.Conv1d(inputs, filters, region) for region in regions)
        features = filters * len(regions) * (k if pooling == "k-max" else 1)
        self.queries = nn.Parameter(torch.zeros(len(regions), filters)) if pooling == "attention" else None
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(features, classes)

    def maps(self, input_ids: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What every filter says at every place, for each region size.

        Args:
            input_ids: (batch, length), padded with 0 on the right.

        Returns:
            Responses before the ReLU (batch, filters, place), and the places inside the text (batch, 1, place).

        Raises:
            ValueError: A text has fewer tokens than the largest filter.
        """
        lengths = (input_ids != PAD).sum(-1)  # (batch,)
        self._check(lengths)
        x = torch.cat([table(input_ids) for table in self.embeddings], -1).transpose(1, 2)  # (batch, width, length)
        found = []
        for region, convolution in zip(self.regions, self.convolutions, strict=True):
            y = convolution(x)  # (batch, filters, length - region + 1)
            places = torch.arange(y.shape[-1], device=y.device)
            found.append((y, (places <= (lengths - region)[:, None])[:, None]))
        return found

    def features(self, input_ids: Tensor) -> Tensor:
        """The pooled maps of all filters: (batch, length) -> (batch, features)."""
        pooled = []
        for number, (y, inside) in enumerate(self.maps(input_ids)):
            places = y.masked_fill(~inside, float("-inf"))  # where none of the places in the text decides, 0 does
            if self.pooling == "max":
                pooled.append(F.relu(places.amax(-1)))
            elif self.pooling == "k-max":  # before the ReLU, after which many places would be equal
                places = F.pad(places, (0, max(self.k - y.shape[-1], 0)), value=float("-inf"))
                pooled.append(F.relu(k_max_pool(places, self.k)).flatten(1))
            elif self.pooling == "mean":
                pooled.append(widen(F.relu(places)).sum(-1).div(inside.sum(-1)).to(y.dtype))
            elif self.queries is not None:
                y = F.relu(y)
                scores = widen(torch.einsum("bcp,c->bp", y, self.queries[number]))
                weights = scores.masked_fill(~inside[:, 0], float("-inf")).softmax(-1).to(y.dtype)
                pooled.append(torch.einsum("bcp,bp->bc", y, weights))
        return torch.cat(pooled, -1)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Logits: (batch, length) -> (batch, classes)."""
        return self.classifier(self.dropout(self.features(input_ids)))

    def _check(self, lengths: Tensor) -> None:
        shortest, needed = int(lengths.min()) if len(lengths) else 0, max(self.regions)
        if shortest < needed:
            where = int(lengths.argmin()) if len(lengths) else 0
            raise ValueError(
                f"text {where} of the batch has {shortest} tokens, the largest filter spans {needed}: "
                f"encode(text, numbers, at_least={needed}) fills it up\n"
                f"批中第 {where} 条文本有 {shortest} 个词元，最大的卷积核跨 {needed} 个："
                f"用 encode(text, numbers, at_least={needed}) 补足"
            )


def _one_of(english: str, chinese: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise ValueError(
            f"unknown {english} {given!r}; there are {', '.join(known)}\n"
            f"没有名为 {given!r} 的{chinese}；有的是 {'、'.join(known)}"
        )


def _embedding(vocabulary: int, width: int, vectors: Tensor | None = None, tuned: bool = True) -> nn.Embedding:
    table = nn.Embedding(vocabulary, width, padding_idx=PAD)
    if vectors is None:
        nn.init.normal_(table.weight, std=SCALE)
    elif vectors.shape == table.weight.shape:
        table.weight.data.copy_(vectors)
    else:
        raise ValueError(
            f"vectors of the shape {tuple(vectors.shape)}, the table has {vocabulary} tokens of width {width}\n"
            f"向量的形状为 {tuple(vectors.shape)}，嵌入表有 {vocabulary} 个词元，宽度为 {width}"
        )
    table.weight.data[PAD] = 0
    return table.requires_grad_(tuned)


class SmallTransformer(nn.Module):
    """The opponent: layers of attention over the same embeddings, a mean over the text, a linear layer.

    Args:
        vocabulary: Tokens, ``[PAD]`` (0) among them.
        classes: Labels.
        width: Of the embeddings.
        layers: Encoder layers, normalised before each part.
        hidden: Width of the feed-forward part.
        heads: Of attention.
        dropout: In the layers and before the last one.
        vectors: (vocabulary, width) to start from; at random if left out.

    Example:
        >>> SmallTransformer(100)(torch.tensor([[5, 6, 7, 0]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int = 2,
        width: int = 64,
        layers: int = 1,
        hidden: int = 160,
        heads: int = 4,
        dropout: float = 0.1,
        vectors: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.embedding = _embedding(vocabulary, width, vectors)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, heads, hidden, dropout, "gelu", batch_first=True, norm_first=True)
            for _ in range(layers)
        )
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        self.classifier = nn.Linear(width, classes)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Logits: (batch, length) -> (batch, classes)."""
        outside = input_ids == PAD
        x = self.embedding(input_ids)
        x = x * x.shape[2] ** 0.5  # as in the paper, or the words would drown in the positions
        x = self.dropout(x + positions(x.shape[1], x.shape[2]).to(x))  # (batch, length, width)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=outside)
        x = self.norm(x).masked_fill(outside[..., None], 0).sum(1) / (~outside).sum(1, keepdim=True)
        return self.classifier(self.dropout(x))


def positions(length: int, width: int) -> Tensor:
    """Sines and cosines of Vaswani et al. (2017, arXiv:1706.03762), (length, width).

    Example:
        >>> positions(2, 4)
        tensor([[0.0000, 0.0000, 1.0000, 1.0000],
                [0.8415, 0.0100, 0.5403, 0.9999]])
    """
    rates = 10000 ** (-torch.arange(0, width, 2) / width)
    angles = torch.arange(length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], -1)


def loss_of(model: nn.Module, batch: Sequence[Encoded], device: Any = None) -> Tensor:
    """Summed cross-entropy of labelled texts, for ``llm_tutorial.training.fit``."""
    logits = widen(model(pad([each.input_ids for each in batch], device)))
    return F.cross_entropy(logits, torch.tensor([each.label for each in batch], device=device), reduction="sum")


@torch.no_grad()
def logits_of(model: nn.Module, rows: Sequence[Sequence[int]], size: int = 128) -> Tensor:
    """Logits of texts, in their order: (texts, classes). The model is in evaluation afterwards.

    Args:
        model: Takes (batch, length) ids, padded with 0.
        rows: Ids of each text.
        size: Texts read at once; it changes time and memory, not the result.
    """
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    parts = [order[at : at + size] for at in range(0, len(order), size)]
    logits = torch.cat([model(pad([rows[number] for number in part], device)) for part in parts])
    return widen(logits[torch.tensor(order, device=device).argsort()])
