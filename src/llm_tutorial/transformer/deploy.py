"""A sentence encoder as one file that runs without PyTorch: export to ONNX, 8-bit weights, and what they cost.

The file holds the whole way from token ids to embedding, pooling and normalisation included, so that nothing is left
for another program to get wrong. 8 bits are those of ONNX Runtime's dynamic quantisation: weights are rounded once,
activations at each call, each with a scale and a zero point (Jacob et al., 2017, arXiv:1712.05877). One scale serves
all tokens of a call, so an embedding in 8 bits depends a little on the texts that it is computed with.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import quantize_dynamic
from torch import Tensor, nn
from torch.export import Dim

from llm_tutorial.transformer.saving import save_whole

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "sentence_embedding"
OPSET = 23  # the first that has attention as one operator
Floats = NDArray[np.float32]


def export_onnx(model: nn.Module, path: str | Path, longest: int = 512, opset: int = OPSET) -> Path:
    """Exports a sentence encoder for any number of texts of any length; the file is whole or absent.

    Args:
        model: Takes ``input_ids`` and ``attention_mask``, such as ``llm_tutorial.transformer.sentence.SentenceEncoder``.
        path: The file to be written, weights included.
        longest: Most tokens of a text.
        opset: Version of ONNX's set of operators; below 23, attention is many operators.

    Returns:
        ``path``.

    Raises:
        SaveError: The file could not be written.
    """
    ids = torch.ones(2, 8, dtype=torch.long)  # a sample of at least two in each dimension: 0 and 1 become constants
    sizes = {0: Dim("batch", min=1, max=4096), 1: Dim("length", min=2, max=longest)}
    registry = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registry.level
    registry.setLevel(logging.ERROR)  # it names operators of torchvision, which nobody uses here
    try:
        with warnings.catch_warnings():  # torch 2.13 warns of its own calls
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
            program = torch.onnx.export(
                model.eval(),
                (ids, torch.ones_like(ids)),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=(sizes, sizes),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
    finally:
        registry.setLevel(level)
    assert program is not None
    return save_whole(path, lambda partial: program.save(partial, external_data=False))


def quantize_onnx(
    source: str | Path, path: str | Path, per_channel: bool = True, operators: Sequence[str] = ("MatMul", "Gather")
) -> Path:
    """A copy with the weights of the named operators in 8 bits; activations are rounded at each call.

    Args:
        source: A file of ``export_onnx``.
        path: The file to be written.
        per_channel: A scale for each output of a matrix, or one for all.
        operators: ``MatMul`` for linear layers, ``Gather`` for embeddings. ONNX Runtime's default names ``Attention``
            too, by which it means an operator of its own, and breaks the one of opset 23.

    Returns:
        ``path``.

    Raises:
        SaveError: The file could not be read or written.
    """
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a pre-processing that cannot follow these shapes
    try:
        return save_whole(
            path,
            lambda partial: quantize_dynamic(
                source, partial, per_channel=per_channel, op_types_to_quantize=list(operators)
            ),
        )
    finally:
        root.setLevel(level)


class OnnxEncoder:
    """An exported sentence encoder with its tokenizer: texts in, embeddings out.

    Args:
        path: A file of ``export_onnx`` or ``quantize_onnx``.
        tokenizer: The tokenizer of the model.
        threads: Threads that one call uses.
        longest: Tokens after which a text is cut.
    """

    def __init__(self, path: str | Path, tokenizer: Any, threads: int = 1, longest: int = 256) -> None:
        self.session, self.tokenizer, self.longest = session(path, threads), tokenizer, longest

    def __call__(self, texts: Sequence[str], batch_size: int = 32) -> Floats:
        """Embeddings of texts, (text, width); texts of like length share a batch.

        Args:
            texts: At least one.
            batch_size: Texts computed together.

        Raises:
            ValueError: No text.
        """
        return embed_all(
            lambda feed: self.session.run([OUTPUT], feed)[0], self.tokenizer, texts, batch_size, self.longest
        )


def session(path: str | Path, threads: int = 1) -> onnxruntime.InferenceSession:
    """An ONNX Runtime session on the CPU.

    Args:
        path: An ONNX file.
        threads: Threads that one call uses.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def embed_all(
    run: Any, tokenizer: Any, texts: Sequence[str], batch_size: int = 32, longest: int = 256, side: str = "right"
) -> Floats:
    """Embeddings of texts in their order, computed with the longest first, so that a batch has little padding.

    Args:
        run: Takes ``{"input_ids": …, "attention_mask": …}``, NumPy arrays (batch, length), and gives (batch, width).
        tokenizer: The tokenizer of the model.
        texts: At least one.
        batch_size: Texts computed together.
        longest: Tokens after which a text is cut.
        side: Where padding stands; BERT has learned positions and wants ``right``.

    Returns:
        (text, width).

    Raises:
        ValueError: No text.
    """
    if not texts:
        raise ValueError("No text to embed.\n没有可供嵌入的文本。")
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    found: dict[int, Floats] = {}
    for start in range(0, len(texts), batch_size):
        chosen = order[start : start + batch_size]
        feed = tokenizer(
            [texts[place] for place in chosen],
            padding=True,
            truncation=True,
            max_length=longest,
            padding_side=side,
            return_tensors="np",
        )
        found.update(zip(chosen, run({name: feed[name] for name in INPUTS}), strict=True))
    return np.stack([found[place] for place in range(len(texts))])


def torch_run(model: nn.Module) -> Any:
    """What ``embed_all`` calls for a PyTorch model: NumPy arrays in and out, no gradients.

    Args:
        model: Takes ``input_ids`` and ``attention_mask``.
    """

    def run(feed: Mapping[str, NDArray[np.int64]]) -> Floats:
        with torch.inference_mode():
            embeddings: Tensor = model(*(torch.from_numpy(feed[name]) for name in INPUTS))
        return embeddings.float().numpy()

    return run


def ranks(queries: Floats, passages: Floats, right: Sequence[Sequence[int]]) -> list[int]:
    """At which rank each query finds the first of its right passages, 1 being the best; a tie counts for the right one.

    Args:
        queries: Embeddings of length one, (query, width).
        passages: Embeddings of length one, (passage, width).
        right: For each query, the places of the passages that answer it.

    Raises:
        ValueError: An embedding is not finite, or all passages have the same one: every query would find at once.

    Example:
        >>> ranks(np.eye(2, dtype="f4"), np.array([[1, 0], [0.8, 0.6]], dtype="f4"), [[0], [0]])
        [1, 2]
    """
    if not (np.isfinite(queries).all() and np.isfinite(passages).all()):
        raise ValueError("Embeddings that are not finite cannot be ranked.\n嵌入里有 nan 或 inf，无法排名。")
    if len(passages) > 1 and (passages == passages[0]).all():
        raise ValueError("All passages have the same embedding.\n所有段落的嵌入都相同。")
    scores = queries @ passages.T  # (query, passage)
    best = np.array([row[list(places)].max() for row, places in zip(scores, right, strict=True)])
    return [int(rank) for rank in 1 + (scores > best[:, None]).sum(1)]


def reciprocal(ranks: Sequence[int], cut: int = 10) -> NDArray[np.float64]:
    """1 / rank of each query, 0 beyond the cut; their mean is MRR@10.

    Example:
        >>> reciprocal([1, 4, 11]).tolist()
        [1.0, 0.25, 0.0]
    """
    found = np.asarray(ranks, dtype=float)
    return np.where(found <= cut, 1 / found, 0.0)


def interval(values: Sequence[float] | NDArray[np.float64], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of the mean when the values are resampled (percentile bootstrap).

    Args:
        values: One for each query; for a comparison, the differences query by query.
        draws: Resamples.
        seed: Of the generator.

    Example:
        >>> low, high = interval([0.0, 1.0] * 50)
        >>> 0.35 < low < 0.45 < 0.55 < high < 0.65
        True
    """
    array = np.asarray(values, dtype=float)
    generator = np.random.default_rng(seed)
    means = array[generator.integers(len(array), size=(draws, len(array)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
