"""The small networks that page `vision` trained, from their committed weights."""

from safetensors.torch import load_file
from torch import nn

from llm_tutorial.cnn.resnet import small_resnet
from llm_tutorial.results import weights

WIDTHS = {"resnet": (16, 32, 64), "marked": (8, 16, 32), "unmarked": (8, 16, 32)}


def trained_resnet(name: str) -> nn.Sequential:
    """A network of `snippets/cnn/train_vision.py`, seed 0, in evaluation mode.

    Args:
        name: ``resnet``, trained on 4,000 digits; ``marked``, on digits of which each three carries the pixel of
            `llm_tutorial.cnn.shortcut`; or ``unmarked``, the same without it.

    Raises:
        ValueError: Another name.

    Example:
        >>> import torch
        >>> trained_resnet("marked")(torch.zeros(1, 1, 28, 28)).shape
        torch.Size([1, 10])
    """
    if name not in WIDTHS:
        raise ValueError(
            f"no network {name!r}; there are {', '.join(WIDTHS)}\n没有网络 {name!r}；有的是 {'、'.join(WIDTHS)}"
        )
    model = small_resnet(WIDTHS[name], stride=1 if name == "resnet" else 2)
    state = {key: value.float() for key, value in load_file(weights("cnn", "vision") / f"{name}.safetensors").items()}
    missing = model.load_state_dict(state, strict=False)
    assert not missing.unexpected_keys
    assert all("num_batches" in key for key in missing.missing_keys)
    return model.eval()
