import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests' tensors are small, and their processes share the cores
