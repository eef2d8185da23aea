"""Captioned shapes at 16 pixels and a small network for them: the setting in which two clocks of training are compared.

A caption is the four words of a scene with one thing, some of them left open. The network has fully connected layers
alone, so that a training takes some seconds of one core.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import silu

from llm_tutorial.data.shapes import COLOURS, PLACES, SHAPES, SIZES, Scene, draw, obeys, scenes

SIDE = 16
MEAN, STD = 0.94, 0.25  # of the pixels of such pictures, from -1 to 1: most are white
WORDS = [*COLOURS, *SHAPES, *SIZES, *PLACES]
OPEN = len(WORDS)  # stands for a word that is left open
FILE = "network.safetensors"


class ShapeNetwork(nn.Module):
    """Residual blocks on all pixels at once; time and words set the scale and the shift of each block.

    Args:
        width: Of the blocks.
        blocks: How many.
        embedded: Width of the embedding of time and words.

    Example:
        >>> ShapeNetwork(16)(torch.zeros(2, 3, 16, 16), torch.tensor(500.0), torch.zeros(2, 4).long()).shape
        torch.Size([2, 3, 16, 16])
    """

    frequencies: Tensor

    def __init__(self, width: int = 256, blocks: int = 3, embedded: int = 128) -> None:
        super().__init__()
        pixels = 3 * SIDE**2
        self.words = nn.Embedding(len(WORDS) + 1, embedded)
        self.time = nn.Linear(20, embedded)
        self.into, self.out = nn.Linear(pixels, width), nn.Linear(width, pixels)
        self.kept = nn.Linear(embedded, 1)  # how much of the input is passed on as it is
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(blocks))
        self.scales = nn.ModuleList(nn.Linear(embedded, 2 * width) for _ in range(blocks))
        self.first = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.second = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.register_buffer("frequencies", torch.pi / 16 * 2.0 ** torch.arange(10), persistent=False)

    def forward(self, noisy: Tensor, timesteps: Tensor, words: Tensor) -> Tensor:
        """The prediction, of the shape of ``noisy``; timesteps go from 0 to 1000, words are (batch, 4)."""
        x = noisy.flatten(1)  # (batch, pixels)
        angles = (timesteps / 1000).to(x).expand(len(x))[:, None] * self.frequencies
        known = silu(self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.words(words).sum(1))
        hidden = self.into(x)
        for norm, scales, first, second in zip(self.norms, self.scales, self.first, self.second, strict=True):
            scale, move = scales(known).chunk(2, 1)
            hidden = hidden + second(silu(first(norm(hidden) * (1 + scale) + move)))
        predicted: Tensor = self.out(hidden) + self.kept(known) * x
        return predicted.view_as(noisy)


def large_things(count: int, split: str = "train", seed: int = 0) -> list[Scene]:
    """Scenes of one large thing, the same ones for the same arguments.

    Args:
        count: How many.
        split: As ``llm_tutorial.data.shapes.scenes`` has them.
        seed: Of the draw.

    Example:
        >>> [scene.things[0].size for scene in large_things(2)]
        ['large', 'large']
    """
    return [scene for scene in scenes(3 * count, split, seed, things=1) if scene.things[0].size == "large"][:count]


def word_ids(asked: Sequence[Scene]) -> Tensor:
    """The caption of each scene of one thing as numbers: colour, shape, size and place, (scenes, 4).

    Example:
        >>> from llm_tutorial.data.shapes import Thing
        >>> word_ids([Scene((Thing("red", "circle"),))]).tolist() == [[0, 8, OPEN, OPEN]]
        True
    """
    return torch.tensor([[OPEN if word is None else WORDS.index(word) for word in scene.things[0]] for scene in asked])


def without_place(asked: Sequence[Scene]) -> list[Scene]:
    """The scenes with size and place left open: many pictures are right."""
    return [Scene((scene.things[0]._replace(size=None, place=None),)) for scene in asked]


def as_inputs(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures as the network takes them.

    Args:
        pictures: Bytes, (pictures, 16, 16, 3).

    Returns:
        Of mean about 0 and standard deviation about 1: (pictures, 3, 16, 16).
    """
    return (torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1 - MEAN) / STD


def as_pictures(inputs: Tensor) -> NDArray[np.uint8]:
    """The way back, values beyond the range of a picture cut off.

    Example:
        >>> pictures = drawn(large_things(2))
        >>> bool((as_pictures(as_inputs(pictures)) == pictures).all())
        True
    """
    values = (inputs * STD + MEAN).clamp(-1, 1)
    return ((values + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def drawn(asked: Sequence[Scene]) -> NDArray[np.uint8]:
    """Real pictures of scenes, (scenes, 16, 16, 3)."""
    return np.stack([draw(scene, SIDE, seed) for seed, scene in enumerate(asked)])


def adherence(pictures: NDArray[np.uint8], asked: Sequence[Scene]) -> dict[str, float]:
    """Share of pictures in which each attribute is right, and ``all`` of them are.

    Args:
        pictures: Bytes, one for each scene.
        asked: What was asked for, one scene a picture.

    Example:
        >>> from llm_tutorial.data.shapes import scenes
        >>> asked = scenes(20, things=1)
        >>> adherence(drawn(asked), asked)["all"]
        1.0
    """
    right = [obeys(picture, scene) for picture, scene in zip(pictures, asked, strict=True)]
    shares = {name: float(np.mean([each[name] for each in right])) for name in right[0]}
    return shares | {"all": float(np.mean([all(each.values()) for each in right]))}


def save_network(network: ShapeNetwork, folder: Path) -> None:
    """Writes a network in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, folder / FILE)


def load_network(folder: Path) -> ShapeNetwork:
    """A network as ``save_network`` wrote it, in single precision.

    Args:
        folder: Where it lies.

    Raises:
        FileNotFoundError: There is none.
        RuntimeError: The file has the weights of another network.
    """
    network = ShapeNetwork()
    network.load_state_dict({name: value.float() for name, value in load_file(folder / FILE).items()})
    return network.eval()
