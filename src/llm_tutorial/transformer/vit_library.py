"""Our own vision Transformer in the class of Transformers: saved, loaded and run like any other."""

import torch
from transformers import ViTConfig, ViTForImageClassification

from llm_tutorial.state_dicts import renamed
from llm_tutorial.transformer.vit import VIT, VisionTransformer


def library_vit(own: VisionTransformer) -> ViTForImageClassification:
    """The same model as a `ViTForImageClassification`, in evaluation mode.

    Args:
        own: Reads the CLS token.

    Raises:
        ValueError: It reads the mean of the patches, which the library's class does not.

    Example:
        >>> from llm_tutorial.transformer.vit import VisionConfig
        >>> own = VisionTransformer(VisionConfig()).eval()
        >>> image = torch.rand(1, 1, 28, 28)
        >>> bool(torch.allclose(library_vit(own)(image).logits, own(image), atol=1e-5))
        True
    """
    c = own.config
    if c.pooling != "cls":
        raise ValueError("ViTForImageClassification reads the CLS token\nViTForImageClassification 只读 CLS 词元")
    config = ViTConfig(
        hidden_size=c.width, num_hidden_layers=c.layers, num_attention_heads=c.heads, num_channels=c.channels,
        intermediate_size=c.feed_forward, image_size=c.side, patch_size=c.patch,
    )  # fmt: skip
    config.num_labels = c.classes
    model = ViTForImageClassification(config)
    ours = own.state_dict()
    with torch.no_grad():
        for name, tensor in renamed(model.state_dict(), VIT).items():
            tensor.copy_(ours[name])
    return model.eval()
