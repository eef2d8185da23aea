"""Two towers that say how well a picture fits a text: the checker of what models draw.

A small CNN and a small Transformer are trained to give a picture and its name the same direction, as CLIP does (Radford
et al., 2021, arXiv:2103.00020), on OpenMoji pictures of 32 × 32 with names in English and Chinese. They see the training
split ``combination`` alone, so that held-out combinations can be asked for.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast

from llm_tutorial.captions import word_tokenizer
from llm_tutorial.data.openmoji import Language, Picture, openmoji, prompt
from llm_tutorial.pictures import Shares
from llm_tutorial.results import weights

_TONES = {
    "light": "较浅肤色", "medium-light": "中等浅肤色", "medium": "中等肤色", "medium-dark": "中等深肤色", "dark": "较深肤色",
}  # fmt: skip


class TextImageModel(nn.Module):
    """An image tower and a text tower into one space.

    Args:
        vocabulary: Tokens.
        width: Of the common space, and of the text's states.
        channels: At a side of 32, 16 and 8.
        length: Longest text, in tokens.

    Example:
        >>> model = TextImageModel(vocabulary=10, width=16, channels=(8, 8, 8))
        >>> model.embed_images(torch.zeros(2, 3, 32, 32)).shape, model.embed_texts(torch.ones(2, 5).long()).shape
        (torch.Size([2, 16]), torch.Size([2, 16]))
    """

    def __init__(
        self, vocabulary: int, width: int = 96, channels: tuple[int, int, int] = (24, 48, 96), length: int = 32
    ) -> None:
        super().__init__()
        first, second, third = channels
        self.image = nn.Sequential(
            _convolution(3, first), _convolution(first, second, 2), _convolution(second, second),
            _convolution(second, third, 2), _convolution(third, third), _convolution(third, third, 2),
            nn.Flatten(2),
        )  # fmt: skip
        self.from_image = nn.Linear(2 * third, width)
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Embedding(length, width)
        nn.init.normal_(self.tokens.weight, std=0.3)
        nn.init.normal_(self.positions.weight, std=0.1)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.text = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.from_text = nn.Linear(width, width)
        self.log_scale = nn.Parameter(torch.tensor(20.0).log())

    def embed_images(self, images: Tensor) -> Tensor:
        """Directions (pictures, width) of pictures (pictures, 3, 32, 32) from -1 to 1."""
        states = self.image(images)  # (pictures, channels, places)
        return F.normalize(self.from_image(torch.cat([states.mean(-1), states.amax(-1)], -1)), dim=-1)

    def embed_texts(self, ids: Tensor) -> Tensor:
        """Directions (texts, width) of token ids (texts, tokens), padded with 0 on the left."""
        real = ids > 0
        places = (real.cumsum(1) - 1).clamp(0)
        states = self.text(self.tokens(ids) + self.positions(places), src_key_padding_mask=~real)
        mean = (states * real[..., None]).sum(1) / real.sum(1, keepdim=True)
        return F.normalize(self.from_text(mean), dim=-1)

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """The score of each picture with each text, (pictures, texts)."""
        return self.log_scale.exp() * self.embed_images(images) @ self.embed_texts(ids).T


def _convolution(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())


class Example(NamedTuple):
    """What a step of training needs of one picture: itself, the ids of a name, and what it is drawn like."""

    image: Tensor
    ids: Tensor
    drawing: int


def contrastive_loss(model: nn.Module, batch: Sequence[Example], device: Any) -> Tensor:
    """CLIP's loss for ``llm_tutorial.training.fit``, summed; pictures that are drawn alike are right for each other."""
    images, ids = (torch.stack([each[part] for each in batch]).to(device) for part in range(2))  # type: ignore[misc]
    drawings = torch.tensor([each.drawing for each in batch], device=device)
    right = (drawings[:, None] == drawings).float()
    right = right / right.sum(1, keepdim=True)
    scores = model(images, ids)
    return (F.cross_entropy(scores, right, reduction="sum") + F.cross_entropy(scores.T, right, reduction="sum")) / 2


class Siblings:
    """Batches of pairs: a picture, and one of its subject, mostly in another tone, gender or colour where there is one.

    Args:
        pictures: To choose from.
        seed: Of the draw.
    """

    def __init__(self, pictures: Sequence[Picture], seed: int = 0) -> None:
        self.pictures, self.shares, self.seed = pictures, Shares(pictures, seed=seed), seed
        self.subjects = defaultdict[str, list[int]](list)
        for index, picture in enumerate(pictures):
            self.subjects[picture.base].append(index)

    def batch(self, step: int, size: int = 128) -> list[int]:
        """Indices of the pictures of a batch."""
        first = self.shares.batch(step, size // 2).tolist()
        rng = np.random.default_rng([self.seed, step, 1])
        return first + [int(rng.choice(self.subjects[self.pictures[index].base])) for index in first]


def roughened(images: Tensor) -> Tensor:
    """Pictures moved by up to two pixels, some of them blurred or noisy, so that a tower forgives what models draw."""
    count, _, height, width = images.shape
    padded = F.pad(images, (2, 2, 2, 2), value=1.0)
    down, right = torch.randint(5, (2, count, 1))
    rows = (down + torch.arange(height))[:, None, :, None].expand(-1, 3, -1, width + 4)
    columns = (right + torch.arange(width))[:, None, None, :].expand(-1, 3, height, -1)
    moved = padded.gather(2, rows).gather(3, columns)
    blurred = F.avg_pool2d(F.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, 1)
    strength, noise = torch.rand(2, count, 1, 1, 1)
    rough = torch.lerp(moved, blurred, 0.8 * strength) + 0.1 * noise * torch.randn_like(images)
    plain = torch.rand(count, 1, 1, 1) < 0.3
    return torch.where(plain, moved, rough).clamp(-1, 1)


@cache
def names_tokenizer() -> PreTrainedTokenizerFast:
    """The words of all training names in both languages.

    Example:
        >>> names_tokenizer().unk_token_id in names_tokenizer()("dark skin tone 较深肤色").input_ids
        False
    """
    pictures = openmoji("train", "combination")
    languages: tuple[Language, ...] = ("en", "zh")
    return word_tokenizer(prompt(picture, language) for picture in pictures for language in languages)


def candidates(picture: Picture, count: int = 100) -> list[Picture]:
    """A picture, first, and others of its group that are drawn otherwise; always the same ones.

    Args:
        picture: Of OpenMoji.
        count: How many in all; fewer if the group has fewer.

    Example:
        >>> chosen = candidates(openmoji()[0])
        >>> len(chosen), {each.group for each in chosen}
        (100, {'Smileys & Emotion'})
    """
    others = [each for each in openmoji() if each.group == picture.group and each.drawing != picture.drawing]
    rng = np.random.default_rng(int(picture.code.partition("-")[0], 16))
    order = rng.permutation(len(others))[: count - 1]
    return [picture, *(others[index] for index in order)]


class Checker:
    """Asks a text–image model which of several names fits a picture best.

    Args:
        model: Both towers.
        tokenizer: Of the text.

    Example:
        >>> checker = Checker(TextImageModel(len(names_tokenizer()), width=16, channels=(8, 8, 8)).eval())
        >>> checker.ranks(torch.zeros(1, 3, 32, 32), [["a red heart", "a dog"]]).shape
        torch.Size([1])
    """

    def __init__(self, model: TextImageModel, tokenizer: PreTrainedTokenizerFast | None = None) -> None:
        self.model, self.tokenizer = model, tokenizer or names_tokenizer()
        self._known: dict[str, Tensor] = {}

    @torch.no_grad()
    def texts(self, names: Sequence[str]) -> Tensor:
        """Directions of texts, (texts, width)."""
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        for some in (new[i : i + 256] for i in range(0, len(new), 256)):
            ids = self.tokenizer(some, padding=True, return_tensors="pt").input_ids
            self._known |= dict(zip(some, self.model.embed_texts(ids), strict=True))
        return torch.stack([self._known[name] for name in names])

    @torch.no_grad()
    def scores(self, images: Tensor, names: Sequence[Sequence[str]]) -> list[Tensor]:
        """The cosine of each picture with each of its names; pictures (pictures, 3, 32, 32) from -1 to 1."""
        seen = torch.cat([self.model.embed_images(some) for some in images.split(256)])
        return [self.texts(some) @ each for each, some in zip(seen, names, strict=True)]

    def ranks(self, images: Tensor, names: Sequence[Sequence[str]]) -> Tensor:
        """The rank of the first name of each picture among its names, from 1: (pictures,)."""
        return torch.tensor([1 + int((some[1:] >= some[0]).sum()) for some in self.scores(images, names)])


def load_checker() -> Checker:
    """The checker that chapter ``transformer`` trained, for use only."""
    folder = weights("transformer", "text_image")
    model = TextImageModel(len(names_tokenizer()))
    model.load_state_dict({name: each.float() for name, each in load_file(folder / "model.safetensors").items()})
    return Checker(model.requires_grad_(False).eval())


def in_tones(picture: Picture, language: Language = "en") -> list[str]:
    """Names of a picture in each of the five skin tones, its own first.

    Args:
        picture: With one skin tone.
        language: Of the names.

    Example:
        >>> [cook] = [picture for picture in openmoji() if picture.english == "woman cook: dark skin tone"]
        >>> in_tones(cook)[:2]
        ['woman cook with dark skin tone', 'woman cook with light skin tone']
        >>> in_tones(cook, "zh")[:2]
        ['较深肤色的女厨师', '较浅肤色的女厨师']
    """
    [own] = picture.tones
    return [
        prompt(picture._replace(
            english=picture.english.replace(f"{own} skin", f"{tone} skin"),
            chinese=picture.chinese.replace(_TONES[own], _TONES[tone]),
        ), language)
        for tone in sorted(_TONES, key=lambda tone: tone != own)
    ]  # fmt: skip
