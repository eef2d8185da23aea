# %% setup
import logging
import os
import pickle
import tempfile
import warnings
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.task import prompt
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


state = {"weight": torch.ones(2), "note": Harmless()}
torch.save(state, folder / "model.pt")
torch.load(folder / "model.pt", weights_only=False)  # the default before PyTorch 2.6
try:
    torch.load(folder / "model.pt")
except pickle.UnpicklingError as error:
    reason = str(error).partition("WeightsUnpickler error: ")[2]
    print(reason.partition(". ")[0])

# %% convert
torch.save({"weight": torch.ones(2)}, folder / "old.pt")
save_file(torch.load(folder / "old.pt"), folder / "new.safetensors")
assert load_file(folder / "new.safetensors")["weight"].tolist() == [1, 1]

# %% safetensors_by_hand
path = model_folder("minilm") / "model.safetensors"
with path.open("rb") as file:
    length = int.from_bytes(file.read(8), "little")
    header = file.read(length).decode()
print(length, "bytes:", header[:150], "…")


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
        os.chmod(name, 0o644)  # mkstemp's file is for its owner alone
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

# %% merge differs="bfloat16 may round otherwise on another processor"
adapter = weights("lora", "low_rank") / "rank-8"  # what PEFT's save_pretrained wrote
base, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
adapted = PeftModel.from_pretrained(base, adapter)
prompts = [prompt(pair.english) for pair in cldr_pairs(20, "held_out")]


def last_logits(model):  # of the next token, (prompt, vocabulary)
    batches = (tokenizer(each, return_tensors="pt") for each in prompts)
    return torch.cat([model(**batch).logits[:, -1] for batch in batches])


before = last_logits(adapted)
merged = adapted.merge_and_unload()  # W + (alpha / r) B A, written into base itself
assert (last_logits(merged) - before).abs().max() < 1e-3


def build(folder):
    merged.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


release = publish(folder / "smollm2-cldr", build)  # all of it, or nothing
print(*sorted(path.name for path in (folder / "smollm2-cldr").iterdir()))
print(*sorted(path.name for path in release.iterdir()))

# %% served differs="bfloat16 may round otherwise on another processor"
served = AutoModelForCausalLM.from_pretrained(
    published(folder / "smollm2-cldr"), dtype=torch.float32
)
after = last_logits(served)
first, second = before.topk(2).values.T
print(f"float32 -> bfloat16: logits move by {(after - before).abs().max():.2f} at most")
print(f"first before second token: by {(first - second).median():.1f} (median)")
same = (after.argmax(-1) == before.argmax(-1)).sum().item()
print(f"same next token: {same} of {len(prompts)}")
assert same >= len(prompts) - 2
