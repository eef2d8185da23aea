"""What a long run left: its manifest, and its weights.

Both lie in ``<chapter>/weights/<name>/`` of this package. A clone and an editable installation have everything there;
the wheel carries manifests alone, and a weight file is fetched, at its first use, from the site that the wheel came
from. ``SHA256SUMS`` beside the manifest has the hash of each file, as ``sha256sum`` writes it.
"""

import importlib.metadata
import json
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from tqdm.auto import tqdm

from llm_tutorial.fetch import FetchError, cached, sha256

MANIFEST, SUMS, REPLAY = "manifest.json", "SHA256SUMS", "replay.json"
PACKAGE = Path(__file__).parent


def results(chapter: str, name: str) -> dict[str, Any]:
    """The manifest of a long run: seeds, steps, digests of its data, first losses and the metrics of every run.

    Args:
        chapter: A chapter, such as ``"lora"``.
        name: Name of the run: ``snippets/<chapter>/train_<name>.py`` made it.

    Raises:
        ValueError: There is no such run; the message names those there are.

    Example:
        >>> results("lora", "low_rank")["steps"]
        150
    """
    return json.loads((_folder(chapter, name) / MANIFEST).read_text(encoding="utf-8"))


def weights(chapter: str, name: str) -> Path:
    """The folder with the weights of a long run, in the form that ``from_pretrained`` and PEFT read.

    Args:
        chapter: A chapter, such as ``"lora"``.
        name: Name of the run.

    Returns:
        The folder inside the package where the files are all there, else one in the cache, fetched and verified.

    Raises:
        ValueError: There is no such run, or it keeps no weights.
        FetchError: A file is not here and could not be fetched, or is another one than the run wrote.

    Example:
        >>> sorted(path.name for path in (weights("lora", "low_rank") / "rank-8").iterdir())
        ['adapter_config.json', 'adapter_model.safetensors']
    """
    folder = _folder(chapter, name)
    files = {path: digest for path, digest in sums(folder).items() if path != MANIFEST}
    if not files:
        raise ValueError(
            f"the long run {name!r} of chapter {chapter!r} keeps no weights, only results\n"
            f"{chapter!r} 一章的长时训练 {name!r} 没有保存权重，只有结果"
        )
    if all((folder / path).is_file() for path in files):
        return folder
    address = _site()
    return cached(
        f"weights-{chapter}-{name}",
        lambda made: _download(f"{address}weights/{chapter}/{name}/", files, made),
        str(sorted(files.items())),
    )


def sums(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a long run, by its path in the folder, from the folder's ``SHA256SUMS``.

    Example:
        >>> list(sums(PACKAGE / "lora/weights/sentiment"))
        ['manifest.json']
    """
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def seal(folder: Path) -> None:
    """Writes ``SHA256SUMS``: what the folder of a finished run holds, and nothing else, is what the run made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "manifest.json").write_text("{}")
        ...     seal(Path(folder))
        ...     sums(Path(folder))["manifest.json"][:16]
        '44136fa355b3678a'
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (SUMS, REPLAY))
    lines = [f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def _folder(chapter: str, name: str) -> Path:
    every = PACKAGE / chapter / "weights"
    if not (every / name / MANIFEST).is_file():
        known = sorted(path.parent.name for path in every.glob(f"*/{MANIFEST}"))
        raise ValueError(
            f"no long run {name!r} in chapter {chapter!r}; there are {known}\n"
            f"{chapter!r} 一章里没有长时训练 {name!r}；有的是 {known}"
        )
    return every / name


def _site() -> str:
    """The address of the site that carries the weights: ``LLM_TUTORIAL_SITE``, or where pip had this wheel from."""
    if chosen := os.environ.get("LLM_TUTORIAL_SITE"):
        return chosen.rstrip("/") + "/"
    try:
        direct = importlib.metadata.distribution("llm-tutorial").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        direct = None
    address = json.loads(direct)["url"] if direct else ""
    if not address.endswith(".whl"):
        raise FetchError(
            "These weights are not part of the installed package, and it does not say which site it came from. Install it "
            "from the tutorial's site (pip install <site>/llm_tutorial-….whl), set the environment variable "
            "LLM_TUTORIAL_SITE to the address of the site or of its unpacked archive (file:///…/), or work in a clone.",
            "安装的包里没有这份权重，也没有记录它来自哪个站点。请从教程站点安装"
            "（pip install <站点>/llm_tutorial-….whl），或把环境变量 LLM_TUTORIAL_SITE 设为站点地址"
            "或解压后的离线包地址（file:///…/），或者在克隆的仓库里运行。",
        )
    return urljoin(address, ".")


def _download(address: str, files: dict[str, str], folder: Path) -> None:
    for path, digest in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with urllib.request.urlopen(address + path, timeout=60) as answer, target.open("wb") as file:
                size = int(answer.headers.get("Content-Length") or 0) or None
                with tqdm.wrapattr(
                    answer, "read", total=size, desc=path, unit="B", unit_scale=True, leave=False
                ) as read:
                    shutil.copyfileobj(read, file, 1 << 20)
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", error)
            raise FetchError(
                f"Cannot fetch {address}{path}: {reason}. Check the network, set LLM_TUTORIAL_SITE to another copy of "
                "the site (or file:///…/ of its unpacked archive), and run again.",
                f"无法获取 {address}{path}：{reason}。请检查网络，或把 LLM_TUTORIAL_SITE 设为站点的另一份副本"
                "（也可以是解压后的离线包 file:///…/），然后重新运行。",
            ) from None
        if (actual := sha256(target)) != digest:
            raise FetchError(
                f"{address}{path} has the SHA-256 {actual}, expected {digest}: it belongs to another version of the "
                "tutorial and was discarded. Install the package from the same site again.",
                f"{address}{path} 的 SHA-256 为 {actual}，应为 {digest}：它属于教程的另一个版本，已丢弃。"
                "请从同一站点重新安装本包。",
            )
