"""Eight bytes, a JSON header, then the numbers.
Read one tensor out of a safetensors file, without the library and without reading
the others.

八个字节，一段 JSON 头，后面全是数。
不用 safetensors 库，从文件里读出一个张量，而且不读其他张量。
"""

import json
from pathlib import Path

import numpy as np

TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def read_tensor(path: Path, name: str) -> np.ndarray:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        entry = header[name]  # {"dtype": …, "shape": …, "data_offsets": [begin, end]}
        begin, end = entry["data_offsets"]
        # TODO: go to the tensor's place; offsets count from the end of the header
        data = file.read(end - begin)
    return np.frombuffer(data, TYPES[entry["dtype"]]).reshape(entry["shape"])
