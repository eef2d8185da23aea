# %% setup
import logging
import os
import pickle
import tempfile
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file, save_model
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from llm_tutorial.fetch import sha256
from llm_tutorial.models import load_model, load_tokenizer, model_folder
from llm_tutorial.results import weights
from llm_tutorial.transformer.saving import SaveError, publish, published, save_whole

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`")  # PEFT's
disable_progress_bar()
torch.set_grad_enabled(False)
folder = Path(tempfile.mkdtemp())


# %% pickle_runs
class Harmless:
    def __reduce__(self):  # what pickle calls to rebuild the object
        return print, ("this line was run by opening the file",)


(folder / "model.pkl").write_bytes(pickle.dumps(Harmless()))
pickle.loads((folder / "model.pkl").read_bytes())

# %% weights_only
torch.save({"weight": torch.ones(2), "note": Harmless()}, folder / "model.pt")
torch.load(folder / "model.pt", weights_only=False)  # as before PyTorch 2.6
try:
    torch.load(folder / "model.pt")
except pickle.UnpicklingError as error:
    reason = str(error).partition("WeightsUnpickler error: ")[2]
    print(reason.partition(". ")[0])

# %% safetensors_by_hand
path = model_folder("minilm") / "model.safetensors"
with path.open("rb") as file:
    length = int.from_bytes(file.read(8), "little")
    header = file.read(length).decode()
print(length, "bytes:", header[:150], "…")

# %% lazy
with safe_open(model_folder() / "model.safetensors", "pt") as file:
    table = file.get_slice("model.embed_tokens.weight")
    row = table[1234]  # reads 2 kB of 538 MB
    print(table.get_shape(), "->", list(row.shape))

# %% shared
layer = nn.Linear(4, 4)
tied = nn.ModuleDict({"embedding": layer, "head": nn.Linear(4, 4)})
tied["head"].weight = layer.weight  # one tensor, two names
try:
    save_file(tied.state_dict(), folder / "tied.safetensors")
except RuntimeError as error:
    print(str(error).split(":")[0].strip())
save_model(tied, folder / "tied.safetensors")
print(sorted(load_file(folder / "tied.safetensors")))


# %% full_disk
class FullDisk:  # a file that runs out of space half-way
    def __init__(self, path):
        self.file = Path(path).open("wb")  # noqa: SIM115

    def write(self, data):
        if self.file.tell() + len(data) > 1_000_000:
            raise OSError(28, "No space left on device")
        return self.file.write(data)

    def flush(self):
        self.file.flush()


def save(path, full=False):
    torch.save({"weight": torch.ones(1000, 1000)}, FullDisk(path) if full else path)


save(folder / "model.pt")
try:
    save(folder / "model.pt", full=True)
except (OSError, RuntimeError) as error:
    print(type(error).__name__, "and then", end=" ")
try:
    torch.load(folder / "model.pt")
except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
    print(type(error).__name__, "on loading: the former weights are lost")


# %% save_whole
def save_in_one_step(path, write):
    descriptor, name = tempfile.mkstemp(dir=path.parent)  # beside: the same disk
    os.close(descriptor)
    try:
        write(name)
        with open(name, "rb+") as file:
            os.fsync(file.fileno())  # on the disk before the name points at it
        os.replace(name, path)  # one step: the old file or the new, never a part
    finally:
        Path(name).unlink(missing_ok=True)


for way in (save_in_one_step, save_whole):
    save(folder / "model.pt")
    try:
        way(folder / "model.pt", lambda path: save(path, full=True))
    except (OSError, RuntimeError, SaveError) as error:
        print(type(error).__name__)
    assert torch.load(folder / "model.pt")["weight"].sum() == 1e6
assert not list(folder.glob("tmp*")) and not list(folder.glob("*.partial"))

# %% damaged
save_file({"weight": torch.ones(1000, 1000)}, folder / "m.safetensors")
whole = (folder / "m.safetensors").read_bytes()
(folder / "cut.safetensors").write_bytes(whole[:-1000])
try:
    load_file(folder / "cut.safetensors")
except SafetensorError as error:
    print("cut off:", error)

flipped = bytearray(whole)
flipped[3_000_003] ^= 0b0100_0000  # one bit of four million bytes
(folder / "flipped.safetensors").write_bytes(flipped)
weight = load_file(folder / "flipped.safetensors")["weight"]  # no error
print("one bit flipped: largest weight", weight.max().item())
assert sha256(folder / "flipped.safetensors") != sha256(folder / "m.safetensors")

# %% merge differs="bfloat16 may round otherwise on another processor"
base, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
adapted = PeftModel.from_pretrained(base, weights("lora", "low_rank") / "rank-8")
prompt = tokenizer("September →", return_tensors="pt")
before = adapted(**prompt).logits
merged = adapted.merge_and_unload()  # W + (alpha / r) B A, no adapter left
assert (merged(**prompt).logits - before).abs().max() < 1e-3


def build(folder):
    merged.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


release = publish(folder / "smollm2-cldr", build)  # all of it, or nothing
print(*sorted(path.name for path in release.iterdir()))
served = AutoModelForCausalLM.from_pretrained(
    published(folder / "smollm2-cldr"), dtype=torch.float32
)
after = served(**prompt).logits
print(f"float32 -> bfloat16: logits move by {(after - before).abs().max():.2f} at most")
assert after[0, -1].argmax() == before[0, -1].argmax()
