"""Speculative decoding: a cheap draft guesses several tokens, the model checks them in one pass.

What comes out has the distribution of the model alone (Leviathan et al., 2022, arXiv:2211.17192; Chen et al., 2023,
arXiv:2302.01318); with temperature 0 it is its greedy text. The models are those of Transformers.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache

Draft = Callable[[list[int]], tuple[list[int], Tensor]]
"""Takes the tokens so far; gives guesses, and the distribution that each was drawn from, (guess, vocabulary)."""


class Written(NamedTuple):
    """What was written, and what it took.

    Attributes:
        tokens: The new tokens.
        passes: Passes of the model, without that of the prompt.
        drafted: Guesses.
        accepted: Guesses that were kept.
    """

    tokens: list[int]
    passes: int
    drafted: int
    accepted: int


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Softmax of the logits over the temperature; at 0 all weight is on the largest.

    Args:
        logits: (…, vocabulary).
        temperature: 0 is greedy.

    Raises:
        ValueError: The temperature is negative.

    Example:
        >>> probabilities(torch.tensor([0.0, 1.0]), 0)
        tensor([0., 1.])
    """
    if temperature < 0:
        raise ValueError(f"temperature {temperature} is below 0\n温度 {temperature} 小于 0")
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(-1)


def accept(guesses: Sequence[int], q: Tensor, p: Tensor, generator: torch.Generator | None = None) -> list[int]:
    """The guesses up to the first that is refused, and one token more, together distributed as the model's own.

    A guess ``x`` is kept with probability ``min(1, p(x) / q(x))``; in place of one that is not, a token is drawn from
    what ``p`` has more than ``q``; after all of them, one from the last row of ``p``.

    Args:
        guesses: Tokens drawn from ``q``.
        q: The draft's distributions, (guess, vocabulary).
        p: The model's, (guess + 1, vocabulary).
        generator: Source of chance.

    Returns:
        One to ``len(guesses) + 1`` tokens.

    Example:
        >>> sure = torch.eye(3)
        >>> accept([0, 1], q=sure[[0, 1]], p=sure[[0, 1, 2]])
        [0, 1, 2]
        >>> accept([0, 1], q=sure[[0, 1]], p=sure[[0, 2, 2]])
        [0, 2]
    """
    for i, x in enumerate(guesses):
        u = torch.rand((), generator=generator).item()
        if u * q[i, x] >= p[i, x]:  # refused, with probability 1 - p / q
            rest = (p[i] - q[i]).clamp(min=0)
            return [*guesses[:i], int(torch.multinomial(rest, 1, generator=generator))]
    return [*guesses, int(torch.multinomial(p[len(guesses)], 1, generator=generator))]


@torch.no_grad()
def speculate(
    model: Any,
    ids: Tensor,
    draft: Draft,
    new_tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    end: int | None = None,
) -> Written:
    """Continues one text.

    Args:
        model: A causal language model of Transformers.
        ids: The prompt, (1, token), at least one token.
        draft: Guesses what comes next; it may guess nothing.
        new_tokens: Tokens to write.
        temperature: 0 is greedy.
        generator: Source of chance, of the model's draws.
        end: Token after which nothing is written.

    Raises:
        ValueError: More than one text, or an empty one.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> sizes = dict(vocab_size=9, hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1)
        >>> model = LlamaForCausalLM(LlamaConfig(**sizes)).eval()
        >>> written = speculate(model, torch.tensor([[1, 2, 3, 1, 2]]), prompt_lookup(3, vocabulary=9), new_tokens=8)
        >>> len(written.tokens), written.passes + written.accepted >= 8
        (8, True)
    """
    if len(ids) != 1 or not ids.numel():
        raise ValueError(
            f"expected one text of at least one token, got {tuple(ids.shape)}\n"
            f"应当是一条至少有一个词元的文本，得到的形状是 {tuple(ids.shape)}"
        )
    text: list[int] = ids[0].tolist()
    start, cache = len(text), DynamicCache(config=model.config)
    if start > 1:
        model(
            ids[:, :-1], past_key_values=cache, logits_to_keep=1
        )  # the cache holds all of the text but its last token
    passes = drafted = accepted = 0
    while len(text) - start < new_tokens and (end is None or end not in text[start:]):
        guesses, q = draft(text)
        fed = torch.tensor([[text[-1], *guesses]], device=ids.device)
        p = probabilities(model(fed, past_key_values=cache).logits[0], temperature)  # (guess + 1, vocabulary)
        kept = accept(guesses, q, p, generator)
        refused = len(guesses) + 1 - len(kept)
        cache.crop(-refused)  # keys and values of refused guesses must go
        text += kept
        passes, drafted, accepted = passes + 1, drafted + len(guesses), accepted + len(kept) - 1
    written = text[start : start + new_tokens]
    if end is not None and end in written:
        written = written[: written.index(end) + 1]
    return Written(written, passes, drafted, accepted)


def no_draft(text: list[int]) -> tuple[list[int], Tensor]:
    """Guesses nothing: decoding one token a pass."""
    return [], torch.empty(0, 0)


def prompt_lookup(count: int, longest: int = 2, vocabulary: int = 49_152) -> Draft:
    """Guesses that the text goes on as it did where its last tokens stood before (Saxena, 2023).

    Args:
        count: Tokens to guess.
        longest: Last tokens to look for; if they are not found, fewer. The first place counts, as in Transformers.
        vocabulary: Its size.

    Raises:
        ValueError: Nothing to guess, or nothing to look for.

    Example:
        >>> guesses, _ = prompt_lookup(count=2)([7, 8, 5, 6, 7, 8])
        >>> guesses
        [5, 6]
    """
    if count < 1 or longest < 1:
        raise ValueError(
            f"count {count} and longest {longest} must be at least 1\ncount（{count}）和 longest（{longest}）至少为 1"
        )

    def draft(text: list[int]) -> tuple[list[int], Tensor]:
        for n in range(min(longest, len(text) - 1), 0, -1):
            for start in range(len(text) - n):
                if text[start : start + n] == text[-n:]:
                    guesses = text[start + n : start + n + count]
                    return guesses, F.one_hot(torch.tensor(guesses), vocabulary).float()
        return [], torch.empty(0, vocabulary)

    return draft


class ModelDraft:
    """Guesses with a smaller model, which keeps a cache of its own.

    Args:
        model: A causal language model with the same tokens.
        count: Tokens to guess.
        temperature: 0 is greedy.
        generator: Source of chance.
    """

    def __init__(
        self, model: Any, count: int, temperature: float = 0.0, generator: torch.Generator | None = None
    ) -> None:
        self.model, self.count, self.temperature, self.generator = model, count, temperature, generator
        self.cache, self._read = DynamicCache(config=model.config), list[int]()

    @torch.no_grad()
    def __call__(self, text: list[int]) -> tuple[list[int], Tensor]:
        """Guesses, and the distributions they were drawn from."""
        same = 0
        while same < min(len(self._read), len(text) - 1) and self._read[same] == text[same]:
            same += 1
        self.cache.crop(same - len(self._read))  # another text, or guesses that were refused
        fed, guesses, q = text[same:], list[int](), list[Tensor]()
        for _ in range(self.count):
            out = self.model(
                torch.tensor([fed], device=self.model.device), past_key_values=self.cache, logits_to_keep=1
            )
            q.append(probabilities(out.logits[0, -1], self.temperature))
            fed = [int(torch.multinomial(q[-1], 1, generator=self.generator))]
            guesses += fed
        self._read = (text + guesses)[:-1]
        return guesses, torch.stack(q)


class Int8Linear(nn.Module):
    """A linear layer whose products are of 8-bit integers, with one scale a row of the weight and one a token.

    Args:
        weight: (out, in).

    Example:
        >>> layer = nn.Linear(64, 32, bias=False)
        >>> x = torch.randn(5, 64)
        >>> bool((Int8Linear(layer.weight)(x) - layer(x)).abs().max() < 0.05)
        True
    """

    scale: Tensor
    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", weight.detach().abs().amax(1) / 127)
        self.register_buffer("weight", (weight.detach() / self.scale[:, None]).round().to(torch.int8))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-8) / 127
        whole = (x / scale).round().to(torch.int8)
        products = torch._int_mm(whole.flatten(0, -2), self.weight.T)  # 32-bit integers
        return products.unflatten(0, x.shape[:-1]) * scale * self.scale


def int8_copy(model: Any) -> Any:
    """A copy of a model in which `Int8Linear` stands for each linear layer without bias; the rest is shared.

    Args:
        model: A model of Transformers.

    Example:
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> sizes = dict(vocab_size=9, hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1)
        >>> type(int8_copy(LlamaForCausalLM(LlamaConfig(**sizes))).lm_head).__name__
        'Int8Linear'
    """
    twin = shared_copy(model)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child.bias is None:
                setattr(parent, name, Int8Linear(child.weight))
    return twin


def early_exit(model: Any, layers: int) -> Any:
    """A copy of a decoder that ends after some of its blocks; the weights are shared.

    Args:
        model: A model of Transformers whose blocks are `model.model.layers`.
        layers: Blocks to keep.

    Raises:
        ValueError: Not as many blocks.
    """
    if not 1 <= layers <= len(model.model.layers):
        raise ValueError(
            f"{layers} of {len(model.model.layers)} blocks cannot be kept\n共有 {len(model.model.layers)} 块，留不下 {layers} 块"
        )
    twin = shared_copy(model)
    twin.model.layers = twin.model.layers[:layers]
    twin.config.num_hidden_layers = layers
    return twin


def shared_copy(model: Any) -> Any:
    """A copy of a model whose parameters are those of the original."""
    return copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
