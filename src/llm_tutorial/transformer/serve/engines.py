"""The two models of the service: texts to embeddings, a prompt to tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from llm_tutorial.models import load_encoder, load_model, load_tokenizer
from llm_tutorial.transformer.sentence import SentenceEncoder


class Embedder:
    """MiniLM with its tokenizer.

    Args:
        name: An encoder, as ``load_encoder`` takes it.
        longest: Most tokens of a text; the service refuses longer ones, since cutting would go unnoticed.
    """

    def __init__(self, name: str = "minilm", longest: int = 256) -> None:
        self.model = SentenceEncoder(load_encoder(name)).eval()
        self.tokenizer: Any = load_tokenizer(name)
        self.longest = longest

    def count(self, text: str) -> int:
        """Tokens of a text, special ones included."""
        return len(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Embeddings of length one, (text, width).

        Args:
            texts: At least one; they are padded to the longest.
        """
        batch = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        found: list[list[float]] = self.model(batch.input_ids, batch.attention_mask).tolist()
        return found


class Writer:
    """SmolLM2 with its tokenizer, greedy, a token at a time.

    Args:
        name: A decoder, as ``load_model`` takes it.
    """

    def __init__(self, name: str = "smollm2-135m") -> None:
        self.model = load_model(name)
        self.tokenizer: Any = load_tokenizer(name)
        self.longest: int = self.model.config.max_position_embeddings

    def encode(self, prompt: str) -> list[int]:
        """Ids of a question in the model's chat template."""
        ids: list[int] = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_dict=True,
            tokenizer_kwargs={"verbose": False},
        )["input_ids"]
        return ids

    def tokens(self, ids: Sequence[int], max_new_tokens: int) -> Iterator[int]:
        """The model's next tokens, one by one, until its end token, which is not given.

        Args:
            ids: Of the prompt.
            max_new_tokens: Where it stops at the latest.
        """
        return greedy(self.model, ids, max_new_tokens, self.tokenizer.eos_token_id)

    def pieces(self) -> "Pieces":
        """What turns tokens into text that can be shown at once."""
        return Pieces(self.tokenizer)


def greedy(model: nn.Module, ids: Sequence[int], max_new_tokens: int, end: int) -> Iterator[int]:
    """Greedy decoding with a KV cache, a token for each ``next``: the caller may stop between any two.

    Args:
        model: A decoder of Transformers.
        ids: Of the prompt.
        max_new_tokens: Where it stops at the latest.
        end: The end token; it is not given.
    """
    cache, new = None, torch.tensor([list(ids)])
    for _ in range(max_new_tokens):
        with torch.inference_mode():  # not around the yield: a generator runs on several threads
            answer = model(new, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, token = answer.past_key_values, int(answer.logits[0, -1].argmax())
        if token == end:
            return
        yield token
        new = torch.tensor([[token]])


class Pieces:
    """Text out of tokens as they come; a character of several tokens is held back until it is whole.

    Args:
        tokenizer: The tokenizer of the tokens.

    Example:
        >>> pieces, tokenizer = Pieces(load_tokenizer()), load_tokenizer()
        >>> found = [pieces.add(token) for token in tokenizer("a 北").input_ids]
        >>> "".join(found) + pieces.rest(), [piece.count(chr(0xFFFD)) for piece in found]
        ('a 北', [0, 0, 0, 0])
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.ids, self.shown = tokenizer, list[int](), ""

    def add(self, token: int) -> str:
        """What can be shown now that this token has come; may be empty."""
        self.ids.append(token)
        text = self._text()
        return "" if text.endswith("\ufffd") else self._new(text)

    def rest(self) -> str:
        """What was held back, at the end."""
        return self._new(self._text())

    def _text(self) -> str:
        text: str = self.tokenizer.decode(self.ids, skip_special_tokens=True)
        return text

    def _new(self, text: str) -> str:
        new, self.shown = text[len(self.shown) :], text
        return new
