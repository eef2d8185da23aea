"""What filters look for: the n-grams that fire them most, and what each n-gram of a text adds to the answer."""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from llm_tutorial.cnn.text_cnn import TextCNN


class Ngram(NamedTuple):
    """Tokens that stand side by side, and what they are worth."""

    tokens: tuple[str, ...]
    value: float


@torch.no_grad()
def strongest(
    model: nn.Module, layer: nn.Conv1d, texts: Sequence[Sequence[str]], rows: Sequence[Sequence[int]], count: int = 5
) -> list[list[Ngram]]:
    """The different n-grams that fire each filter of a layer most; of any model whose ``layer`` reads the tokens.

    Each text is read alone, in the model's evaluation, so that no padding takes part.

    Args:
        model: Takes ids (1, length).
        layer: One of its ``nn.Conv1d``, on the embeddings: one place a token, no stride, no padding.
        texts: The tokens of each text.
        rows: Their ids.
        count: N-grams of each filter.

    Returns:
        For each filter its n-grams, the strongest first; one that occurs several times has its strongest value.

    Raises:
        ValueError: The layer has a stride, padding or groups, or it was not run.

    Example:
        >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Identity())
        >>> class Reads(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.embed, self.conv = nn.Embedding(9, 1), nn.Conv1d(1, 1, 2)
        ...         self.embed.weight.data = torch.arange(9.0)[:, None]  # what a token says is its number
        ...         nn.init.ones_(self.conv.weight), nn.init.zeros_(self.conv.bias)
        ...     def forward(self, ids):
        ...         return self.conv(self.embed(ids).transpose(1, 2))
        >>> model = Reads()
        >>> strongest(model, model.conv, ["abc", "ca"], [[1, 2, 3], [3, 1]], count=2)
        [[Ngram(tokens=('b', 'c'), value=5.0), Ngram(tokens=('c', 'a'), value=4.0)]]
    """
    if layer.stride != (1,) or layer.padding != (0,) or layer.groups != 1:
        raise ValueError(
            f"stride {layer.stride}, padding {layer.padding}, groups {layer.groups}: "
            "a place is one n-gram only with stride 1, no padding and one group\n"
            f"步幅 {layer.stride}、填充 {layer.padding}、分组 {layer.groups}："
            "只有步幅为 1、没有填充、不分组时，一个位置才对应一个 n 元组"
        )
    caught: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: caught.append(output))
    was_training, reach = model.training, range(0, layer.kernel_size[0] * layer.dilation[0], layer.dilation[0])
    best: list[dict[tuple[str, ...], float]] = [{} for _ in range(layer.out_channels)]
    device = next(model.parameters()).device
    try:
        model.eval()
        for tokens, row in zip(texts, rows, strict=True):
            caught.clear()
            model(torch.tensor([row], device=device))
            if not caught:
                raise ValueError(
                    "the layer was not run: it is no part of this model\n该层没有运行：它不是这个模型的一部分"
                )
            values, places = caught[0][0].float().max(-1)  # (filters,): the best place of each filter in this text
            for found, value, place in zip(best, values.tolist(), places.tolist(), strict=True):
                if place + reach[-1] < len(tokens):
                    ngram = tuple(tokens[place + step] for step in reach)
                    found[ngram] = max(value, found.get(ngram, value))
    finally:
        hook.remove()
        model.train(was_training)
    return [
        [Ngram(ngram, value) for value, ngram in heapq.nlargest(count, ((value, key) for key, value in found.items()))]
        for found in best
    ]


@torch.no_grad()
def contributions(model: TextCNN, tokens: Sequence[str], row: Sequence[int], label: int = 1) -> list[Ngram]:
    """What each n-gram of a text adds to the logit of a label less that of the other; with the bias it is exact.

    A pooled feature is the value of one filter at one place, and the logits are linear in these.

    Args:
        model: With max pooling and two classes.
        tokens: Of the text.
        row: Their ids.
        label: For which an n-gram speaks if its value is positive.

    Returns:
        Different n-grams, those that matter most first; the sum of all is the difference of logits without its bias.

    Raises:
        ValueError: Another pooling, or more classes.

    Example:
        >>> model = TextCNN(9, regions=(2,), filters=8).eval()
        >>> ids = torch.tensor([[2, 3, 4]])
        >>> margin = model(ids) @ torch.tensor([-1.0, 1.0]) - model.classifier.bias @ torch.tensor([-1.0, 1.0])
        >>> torch.allclose(margin, torch.tensor(sum(n.value for n in contributions(model, "abc", [2, 3, 4]))), atol=1e-6)
        True
    """
    if model.pooling != "max" or model.classifier.out_features != 2:
        raise ValueError(
            f"pooling {model.pooling!r}, {model.classifier.out_features} classes: this needs 'max' and 2\n"
            f"池化 {model.pooling!r}、{model.classifier.out_features} 个类别：这里要求 'max' 和 2 个"
        )
    weight = model.classifier.weight[label] - model.classifier.weight[1 - label]  # (features,)
    parts = weight.float().split([len(convolution.weight) for convolution in model.convolutions])  # type: ignore[arg-type]
    maps = model.maps(torch.tensor([row], device=weight.device))
    found: dict[tuple[str, ...], float] = {}
    shown = [*tokens, *["[UNK]"] * (len(row) - len(tokens))]
    for region, (y, _), part in zip(model.regions, maps, parts, strict=True):
        values, places = y[0].float().relu().max(-1)  # (filters,)
        for place, value in zip(places.tolist(), (part * values).tolist(), strict=True):
            ngram = tuple(shown[place : place + region])
            found[ngram] = found.get(ngram, 0.0) + value
    return sorted(map(Ngram._make, found.items()), key=lambda ngram: -abs(ngram.value))
