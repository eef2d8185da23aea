# %% setup
import torch
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    logging,
)

from llm_tutorial.data.documentation import documented_objects
from llm_tutorial.models import load_encoder, load_model, load_tokenizer, model_folder

logging.disable_progress_bar()
torch.set_grad_enabled(False)
texts = [each.summary for each in documented_objects("test")[:32]]
encoder, word_pieces = load_encoder("minilm"), load_tokenizer("minilm")


def embed(model, batch):  # mean over real tokens: (text, 384)
    states = model(**batch).last_hidden_state
    weights = batch["attention_mask"][..., None]
    return (states * weights).sum(1) / weights.sum(1)


# %% doubled
batch = word_pieces(texts, return_tensors="pt", padding=True)
marked = [f"[CLS] {text} [SEP]" for text in texts]
doubled = word_pieces(marked, return_tensors="pt", padding=True)
print(*word_pieces.convert_ids_to_tokens(doubled.input_ids[0])[:5], "…")
right, wrong = embed(encoder, batch), embed(encoder, doubled)
cosine = F.cosine_similarity(right, wrong).min()
assert cosine < 0.99
print(f"cosine, doubled: {cosine:.3f} at least")

cured = word_pieces(marked, return_tensors="pt", padding=True, add_special_tokens=False)
assert cured.input_ids.equal(batch.input_ids)

# %% new_head
folder = model_folder("minilm")
scores = []
for seed in (0, 1):
    torch.manual_seed(seed)
    classifier, info = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    scores.append(classifier(**batch).logits)
print("missing:", *sorted(info["missing_keys"]))
same = (scores[0].argmax(-1) == scores[1].argmax(-1)).float().mean()
print(f"two loads agree on {same:.0%} of {len(texts)} texts")


# %% new_head_cure
def complete(auto, folder, **kwargs):
    model, info = auto.from_pretrained(folder, output_loading_info=True, **kwargs)
    missing = info["missing_keys"] | {key for key, *_ in info["mismatched_keys"]}
    if missing:
        raise ValueError(f"not in the file, drawn at random: {sorted(missing)}")
    return model


complete(AutoModel, folder)
complete(AutoModelForCausalLM, model_folder("smollm2-135m"))
try:
    complete(AutoModelForSequenceClassification, folder)
except ValueError as error:
    print(error)

# %% no_mask
decoder, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
tokenizer.padding_side = "left"
prompts = tokenizer(texts, return_tensors="pt", padding=True)
ids, mask = prompts.input_ids, prompts.attention_mask
places = (mask.cumsum(1) - 1).clamp(min=0)
with_mask = decoder(ids, mask, position_ids=places, logits_to_keep=1).logits[:, 0]
without = decoder(ids, logits_to_keep=1).logits[:, 0]
alone = torch.cat(
    [
        decoder(row[keep.bool()][None], logits_to_keep=1).logits[:, 0]
        for row, keep in zip(ids, mask, strict=True)
    ]
)
assert with_mask.argmax(-1).equal(alone.argmax(-1))
changed = (without.argmax(-1) != alone.argmax(-1)).float().mean()
assert changed > 0
print(f"without the mask, {changed:.0%} of {len(texts)} next tokens are others")

# %% no_eval
own = AutoModel.from_config(encoder.config)  # no from_pretrained, no eval()
own.load_state_dict(encoder.state_dict())
once, again = embed(own, batch), embed(own, batch)
print(
    "training:", own.training, f"cosine {F.cosine_similarity(once, again).mean():.2f}"
)

own.eval()
assert embed(own, batch).equal(embed(own, batch))
assert embed(own, batch).allclose(right, atol=1e-6)
