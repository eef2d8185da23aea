"""A decoder that writes pictures: text tokens, then 64 image tokens, in one vocabulary.

The model is Transformers' own ``LlamaForCausalLM``, ids of image tokens follow those of the words. ``generate`` samples
them; two ``LogitsProcessor``s keep it to image tokens and apply classifier-free guidance (Ho and Salimans, 2022,
arXiv:2207.12598; on logits: Gafni et al., 2022, arXiv:2203.13131).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessor, LogitsProcessorList, PreTrainedTokenizerBase

from llm_tutorial.results import weights
from llm_tutorial.text_image import names_tokenizer
from llm_tutorial.transformer.image_tokens import CODES, SIDE

PLACES = SIDE * SIDE  # image tokens of a picture


def drawing_config(words: int, codes: int = CODES, width: int = 160, layers: int = 5, heads: int = 5) -> LlamaConfig:
    """The configuration of a small decoder over words and image tokens.

    Args:
        words: Tokens of the text.
        codes: Image tokens.
        width: Of the states.
        layers: Blocks.
        heads: Attention heads.

    Example:
        >>> drawing_config(words=100).vocab_size
        612
    """
    return LlamaConfig(
        vocab_size=words + codes, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=128, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip


def image_token_loss(model: Any, batch: Sequence[tuple[Tensor, Tensor, Tensor]], device: Any) -> Tensor:
    """The loss for ``llm_tutorial.training.fit``: nats of all image tokens, which compete among themselves alone.

    Args:
        model: A ``LlamaForCausalLM``.
        batch: Of each picture the ids that are read, the last 64 of them image tokens; their attention mask; and the
            codes to be predicted, which differ from what is read where that was disturbed.
        device: Where the model is.
    """
    ids, mask, codes = (torch.stack(each).to(device) for each in zip(*batch, strict=True))
    states = model.model(input_ids=ids, attention_mask=mask).last_hidden_state[:, -PLACES - 1 : -1]
    logits = states @ model.lm_head.weight[-CODES:].T  # (picture, place, code)
    return F.cross_entropy(logits.flatten(0, 1), codes.flatten(), reduction="sum")


def disturbed(codes: Tensor, most: float = 0.7) -> Tensor:
    """Codes of which some are replaced by random ones: in each picture a share from 0 to ``most``.

    A decoder that reads such codes cannot recognise a training picture by its first ones, and needs the name.

    Args:
        codes: (pictures, 64).
        most: The greatest share.

    Example:
        >>> codes = torch.arange(64)[None]
        >>> torch.equal(disturbed(codes, most=0), codes)
        True
    """
    share = most * torch.rand(len(codes), 1)
    return torch.where(torch.rand(codes.shape) < share, torch.randint_like(codes, CODES), codes)


class ImageTokensOnly(LogitsProcessor):
    """Forbids every token that is not an image token.

    Args:
        words: Tokens of the text, which come first.

    Example:
        >>> ImageTokensOnly(2)(torch.zeros(1, 1).long(), torch.zeros(1, 4))
        tensor([[-inf, -inf, 0., 0.]])
    """

    def __init__(self, words: int) -> None:
        self.words = words

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores (batch, vocabulary) without words."""
        kept = scores.clone()
        kept[:, : self.words] = -torch.inf
        return kept  # type: ignore[return-value]


class Guidance(LogitsProcessor):
    """Moves from what the model would draw without a prompt towards what it draws with it, and beyond.

    It reads the drawing along with a cache of its own; so it serves one call of ``generate``.

    Args:
        scale: 1 changes nothing, 0 leaves the prompt out.
        model: Writes the picture.
        empty: Ids of the prompt without words, (tokens,).
    """

    def __init__(self, scale: float, model: LlamaForCausalLM, empty: Tensor) -> None:
        self.scale, self.model, self.empty, self.cache = scale, model, empty, None

    @torch.no_grad()
    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Guided scores (batch, vocabulary)."""
        new = input_ids[:, -1:] if self.cache else self.empty.expand(len(input_ids), -1)
        out = self.model(new, past_key_values=self.cache, use_cache=True)
        self.cache = out.past_key_values
        without, given = out.logits[:, -1].log_softmax(-1), scores.log_softmax(-1)
        return without + self.scale * (given - without)  # type: ignore[return-value]


@torch.no_grad()
def draw(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], guidance: float = 1.0,
    temperature: float = 1.0, seed: int = 0, **settings: Any,
) -> Tensor:  # fmt: skip
    """Samples the codes of a picture for each prompt: (prompts, 64).

    Args:
        model: A trained decoder.
        tokenizer: Of its words.
        prompts: In either language; an empty one asks for any picture.
        guidance: Scale of classifier-free guidance; 1 is none.
        temperature: Divides the logits; 0 takes the most probable token.
        seed: Of the draw.
        settings: Passed on to ``generate``, such as ``top_k``.
    """
    words = model.config.vocab_size - CODES
    given = tokenizer(list(prompts), padding=True, return_tensors="pt")
    processors = LogitsProcessorList([ImageTokensOnly(words)])
    if guidance != 1:
        processors.insert(0, Guidance(guidance, model, tokenizer("", return_tensors="pt").input_ids[0]))
    how = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    torch.manual_seed(seed)
    written = model.generate(  # type: ignore[misc]
        given.input_ids, attention_mask=given.attention_mask, max_new_tokens=PLACES, logits_processor=processors,
        **how | settings,
    )  # fmt: skip
    return written[:, -PLACES:] - words


def load_artist() -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """The decoder that this chapter trained on OpenMoji, in single precision, and the tokenizer of its words."""
    folder = weights("transformer", "drawing")
    return LlamaForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval(), names_tokenizer()
