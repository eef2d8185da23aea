import json
from pathlib import Path

import numpy as np

TYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def read_tensor(path: Path, name: str) -> np.ndarray:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        entry = header[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + length + begin)
        data = file.read(end - begin)
    return np.frombuffer(data, TYPES[entry["dtype"]]).reshape(entry["shape"])
