"""The disk may be full, the process may be killed, another may save at the same moment.
Save so that whoever opens the file finds the former weights or the new ones, whole.

磁盘可能满，进程可能被杀，别的进程可能同时在保存。
请这样保存：无论谁打开文件，看到的不是原来的权重就是新的权重，总是完整的。
"""

from collections.abc import Callable
from pathlib import Path


def save(path: Path, write: Callable[[Path], None]) -> None:
    # write(some_path) writes a whole file there, or raises half-way
    # TODO: never let write touch path itself; leave nothing behind when it fails
    write(path)
