"""Captioned shapes at 16 pixels and a small U-Net for them: the setting in which two clocks of training are compared.

Pictures are cut into patches of 2×2 pixels, each of which becomes one pixel with 12 channels: the U-Net works on a grid of
8×8, which saves time, and nothing is lost. A caption is the four words of a scene with one thing, some of them left open.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DModel
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from llm_tutorial.data.shapes import COLOURS, PLACES, SHAPES, SIZES, Scene, draw, obeys, scenes

SIDE, PATCH = 16, 2
MEAN, STD = 0.94, 0.25  # of the pixels of such pictures, from -1 to 1: most are white
WORDS = [*COLOURS, *SHAPES, *SIZES, *PLACES]
FILE = "network.safetensors"
OPEN = len(WORDS)  # stands for a word that is left open


class ShapeNetwork(nn.Module):
    """A U-Net without attention; the words of the caption are added to the embedding of the time.

    Args:
        channels: At 8×8, 4×4 and 2×2.

    Example:
        >>> ShapeNetwork((16, 16))(torch.zeros(2, 12, 8, 8), torch.tensor(500.0), torch.zeros(2, 4).long()).shape
        torch.Size([2, 12, 8, 8])
    """

    def __init__(self, channels: Sequence[int] = (24, 48, 64)) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS) + 1, 4 * channels[0])
        self.unet = UNet2DModel(
            sample_size=SIDE // PATCH,
            in_channels=3 * PATCH**2,
            out_channels=3 * PATCH**2,
            block_out_channels=tuple(channels),
            layers_per_block=1,
            down_block_types=("DownBlock2D",) * len(channels),
            up_block_types=("UpBlock2D",) * len(channels),
            norm_num_groups=8,
            add_attention=False,
            class_embed_type="identity",
            resnet_time_scale_shift="scale_shift",
        )

    def forward(self, noisy: Tensor, timesteps: Tensor, words: Tensor) -> Tensor:
        """The prediction, of the shape of ``noisy``; timesteps go from 0 to 1000, words are (batch, 4)."""
        return self.unet(noisy, timesteps, self.words(words).sum(1)).sample


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


def as_patches(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures as the network takes them.

    Args:
        pictures: Bytes, (pictures, 16, 16, 3).

    Returns:
        Of mean about 0 and standard deviation about 1: (pictures, 12, 8, 8).
    """
    values = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    return pixel_unshuffle((values - MEAN) / STD, PATCH)


def as_pictures(patches: Tensor) -> NDArray[np.uint8]:
    """The way back, values beyond the range of a picture cut off.

    Example:
        >>> from llm_tutorial.data.shapes import scenes
        >>> pictures = drawn(scenes(2, things=1))
        >>> bool((as_pictures(as_patches(pictures)) == pictures).all())
        True
    """
    values = (pixel_shuffle(patches, PATCH) * STD + MEAN).clamp(-1, 1)
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
