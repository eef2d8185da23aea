"""What can be wrong with a request before anything is drawn, and with the files of a pipeline before they are read.

Diffusers cuts a long prompt and says so in a log; a missing file is an error deep inside the loading. Here both are
errors that say what to do.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from transformers import CLIPTokenizer

from llm_tutorial.captions import check_lengths

_HAN = re.compile(r"[一-鿿]")
_WEIGHTS = ("unet", "vae", "text_encoder")


def unknown_words(tokenizer: CLIPTokenizer, prompt: str) -> list[str]:
    """Words of a prompt that no caption of the training had: the tokenizer cuts them in pieces.

    Args:
        tokenizer: Made by ``llm_tutorial.captions.caption_tokenizer``: of what it knows, an English word or a Chinese
            character is one token.
        prompt: In either language.

    Example:
        >>> from llm_tutorial.captions import caption_tokenizer
        >>> unknown_words(caption_tokenizer(["a red heart", "红心"]), "a Red hat, 红帽")
        ['hat', '帽']
    """
    runs = re.findall(r"[^\W\d_]+", prompt.lower())
    words = [word for run in runs for word in (run if _HAN.search(run) else [run])]
    return [word for word in words if len(tokenizer.tokenize(word)) > 1]


def size_step(pipe: Any) -> int:
    """What height and width are a multiple of: each halving, in the autoencoder and in the U-Net, doubles it."""
    return int(pipe.vae_scale_factor * 2 ** (len(pipe.unet.config.block_out_channels) - 1))


def check_request(
    pipe: Any, prompts: Sequence[str], steps: int = 10, height: int | None = None, width: int | None = None
) -> None:
    """Sees that a pipeline can draw what it is asked for.

    An empty prompt is no error: it draws anything at all. Nor are unknown words, see ``unknown_words``.

    Args:
        pipe: A ``StableDiffusionPipeline``.
        prompts: At least one, none too long.
        steps: Of the sampler.
        height: Of a picture, in pixels; by default that of the training.
        width: Likewise.

    Raises:
        ValueError: Nothing is asked for, a prompt is cut (the message shows what would be lost), the number of steps is
            impossible, or a size does not fit the grid of latents.
    """
    if isinstance(prompts, str) or not prompts:
        raise ValueError(
            f"a list of at least one prompt, not {prompts!r}\n应给出至少一条提示词的列表，而不是 {prompts!r}"
        )
    check_lengths(pipe.tokenizer, list(prompts))
    trained = pipe.scheduler.config.num_train_timesteps
    if not 1 <= steps <= trained:
        raise ValueError(f"from 1 to {trained} steps, not {steps}\n步数应在 1 到 {trained} 之间，而不是 {steps}")
    multiple = size_step(pipe)
    for name, chinese, size in (("height", "高", height), ("width", "宽", width)):
        if size is not None and (size < multiple or size % multiple):
            near = max(1, round(size / multiple)) * multiple
            raise ValueError(
                f"the {name} is a multiple of {multiple} (the grid of latents is halved), not {size}; {near} is the nearest\n"
                f"{chinese}应是 {multiple} 的倍数（潜变量的网格还要减半），而不是 {size}；最近的是 {near}"
            )


def check_files(folder: Path) -> None:
    """Sees that the weights that a pipeline's index names are there, whole.

    Args:
        folder: Where ``save_pretrained`` wrote a pipeline.

    Raises:
        FileNotFoundError: There is no such folder or no index in it, or a part has no weights.
        ValueError: A file of weights is cut short or no safetensors file.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise FileNotFoundError(
            f"{folder} holds no pipeline: {index.name} is missing\n{folder} 里没有管道：缺少 {index.name}"
        )
    parts = json.loads(index.read_text(encoding="utf-8"))
    for part in _WEIGHTS:
        if not any(parts.get(part) or []):
            continue
        files = sorted((folder / part).glob("*.safetensors"))
        if not files and not list((folder / part).glob("*.bin")):
            raise FileNotFoundError(
                f"the weights of {part} are missing in {folder / part}: copy the folder again\n"
                f"{folder / part} 里缺少 {part} 的权重：请重新复制整个文件夹"
            )
        for file in files:
            try:
                with safe_open(file, "pt"):
                    pass
            except SafetensorError as error:
                raise ValueError(
                    f"{file} is damaged ({error}): copy or fetch it again\n{file} 已损坏（{error}）：请重新复制或下载"
                ) from error
