"""Translations that keep every placeholder, by decoding that allows nothing else."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerBase

from llm_tutorial.data.messages import PLACEHOLDER
from llm_tutorial.transformer.translation import SLOTS


class PlaceholderLogitsProcessor(LogitsProcessor):
    """Allows the end only when each placeholder of the source is written, as often as there and no other.

    Of the numbered placeholders (`SLOTS`), those that are missing may be written; the end may be written when none is
    missing; when there is room for the missing ones and the end alone, nothing else may. Tokens with ``%`` or ``{``
    would begin a placeholder of their own and are never allowed, nor is what would lengthen a ``%1`` just written.

    Args:
        tokenizer: Of `translation_tokenizer`.
        english: The sources of the batch, in order.
        max_length: Tokens of the whole output, as `generate` has it: start and end included.

    Raises:
        ValueError: A source has more placeholders than there are numbers, or than fit.

    Example:
        >>> from llm_tutorial.transformer.translation import Message, translation_tokenizer
        >>> tokenizer = translation_tokenizer([Message("Open %s", "打开 %s", "", 0)], 300)
        >>> allow = PlaceholderLogitsProcessor(tokenizer, ["Open %s"], max_length=8)
        >>> scores = allow(torch.tensor([[tokenizer.pad_token_id]]), torch.zeros(1, len(tokenizer)))
        >>> [bool(scores[0, tokenizer.convert_tokens_to_ids(token)] == 0) for token in ("[END]", "⟨0⟩", "⟨1⟩", "a")]
        [False, True, False, True]
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, english: Sequence[str], max_length: int) -> None:
        found = [PLACEHOLDER.findall(text) for text in english]
        names = [list(dict.fromkeys(placeholders)) for placeholders in found]
        for text, placeholders, distinct in zip(english, found, names, strict=True):
            if len(distinct) > len(SLOTS) or len(placeholders) > max_length - 2:
                raise ValueError(
                    f"{text!r} has {len(placeholders)} placeholders, {len(distinct)} of them distinct; there are "
                    f"{len(SLOTS)} numbers, and room for {max_length - 2}\n"
                    f"{text!r} 有 {len(placeholders)} 个占位符，其中不同的 {len(distinct)} 个；"
                    f"编号只有 {len(SLOTS)} 个，输出里只放得下 {max_length - 2} 个"
                )
        self.max_length, self.end = max_length, tokenizer.eos_token_id
        self.slots = torch.tensor(tokenizer.convert_tokens_to_ids(list(SLOTS)))  # (slot,)
        counts = [
            [f.count(name) for name in n] + [0] * (len(SLOTS) - len(n)) for f, n in zip(found, names, strict=True)
        ]
        self.wanted = torch.tensor(counts)  # (sentence, slot)
        numbers = [[name[1:].isdigit() for name in n] + [False] * (len(SLOTS) - len(n)) for n in names]
        self.number = torch.tensor(numbers)  # (sentence, slot): such as %1
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self.begins = torch.tensor([("%" in token or "{" in token) for token in tokens])  # (vocabulary,)
        self.lengthens = torch.tensor(
            [token[0] == "." or (token[0].isascii() and token[0].isalnum()) for token in tokens]
        )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores of which those of forbidden tokens are minus infinity.

        Args:
            input_ids: What is written, (sentence · beam, written), the start token first.
            scores: Of the next token, (sentence · beam, vocabulary).
        """
        beams = len(input_ids) // len(self.wanted)
        written = (input_ids[:, :, None] == self.slots).sum(1)  # (row, slot)
        missing = self.wanted.repeat_interleave(beams, 0) - written  # (row, slot)
        last = input_ids[:, -1:] == self.slots  # (row, slot)
        after_number = (last & self.number.repeat_interleave(beams, 0)).any(1, keepdim=True)
        forbidden = self.begins | after_number & self.lengthens  # (row, vocabulary)
        left = missing.sum(1, keepdim=True)
        forbidden = forbidden | (left + 1 >= self.max_length - input_ids.shape[1])  # room for these and the end alone
        forbidden[:, self.slots] = missing <= 0
        forbidden[:, self.end] = left[:, 0] > 0
        return scores.masked_fill(forbidden, -torch.inf)
