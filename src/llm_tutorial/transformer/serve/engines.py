"""The two models of the service: texts to embeddings, a prompt to tokens."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from llm_tutorial.models import load_encoder, load_model, load_tokenizer
from llm_tutorial.transformer.sentence import SentenceEncoder


class Embedder:
    """MiniLM with its tokenizer, in two steps, so that one thread can tokenize while another computes.

    Args:
        name: An encoder, as ``load_encoder`` takes it.
        longest: Most tokens of a text; the service refuses longer ones, since cutting would go unnoticed.
        kwargs: Passed on to ``from_pretrained`` (``dtype``, ``device_map``, …).
    """

    def __init__(self, name: str = "minilm", longest: int = 256, **kwargs: Any) -> None:
        encoder = load_encoder(name, **kwargs)
        self.model, self.device = SentenceEncoder(encoder).eval(), encoder.device
        self.tokenizer: Any = load_tokenizer(name)
        self.longest = longest

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special ones included; nothing is cut or padded."""
        ids: list[list[int]] = self.tokenizer(list(texts), verbose=False)["input_ids"]
        return ids

    @torch.inference_mode()
    def compute(self, ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Embeddings of length one, (text, width).

        Args:
            ids: Of at least one text; all are padded to the longest here. The tokenizer is not touched: its padding
                is a state that two threads would change for each other.
        """
        rows = [torch.tensor(row) for row in ids]
        padded = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        found: list[list[float]] = self.model(padded.to(self.device), mask.to(self.device)).tolist()
        return found

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Both steps: embeddings of texts, (text, width)."""
        return self.compute(self.encode(texts))


class Writer:
    """SmolLM2 with its tokenizer, greedy, a token at a time.

    Args:
        name: A decoder, as ``load_model`` takes it.
        kwargs: Passed on to ``from_pretrained`` (``dtype``, ``device_map``, …).
    """

    def __init__(self, name: str = "smollm2-135m", **kwargs: Any) -> None:
        self.model = load_model(name, **kwargs)
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
    device = next(model.parameters()).device
    cache, new = None, torch.tensor([list(ids)], device=device)
    for _ in range(max_new_tokens):
        with torch.inference_mode():  # not around the yield: a generator runs on several threads
            answer = model(new, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache, token = answer.past_key_values, int(answer.logits[0, -1].argmax())
        if token == end:
            return
        yield token
        new = torch.tensor([[token]], device=device)


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
