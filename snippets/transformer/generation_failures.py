# %% setup
import torch
from transformers import LogitsProcessor, RepetitionPenaltyLogitsProcessor, logging

from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.transformer.sampling import RepetitionPenalty, Temperature

torch.set_grad_enabled(False)
logging.set_verbosity_error()  # the warnings that many never see
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
end = tokenizer.eos_token_id


def chat(text):
    talk = [{"role": "user", "content": text}]
    options = {"add_generation_prompt": True, "return_tensors": "pt"}
    return tokenizer.apply_chat_template(talk, return_dict=True, **options)


def reply(inputs, max_new_tokens=24, **kwargs):
    ids = model.generate(**inputs, max_new_tokens=max_new_tokens, **kwargs)
    return tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :])


# %% temperature_ignored
question = chat("Name a colour.")
greedy = reply(question)
assert reply(question, temperature=5.0) == greedy  # no error, and nothing changes
hot = reply(question, temperature=5.0, do_sample=True)
assert hot != greedy

# %% temperature_zero
scores = model(**question).logits[:, -1]
print("divided by zero:", (scores / 0).softmax(-1).isnan().sum().item(), "times NaN")
for make in (
    lambda: reply(question, temperature=0.0, do_sample=True),
    lambda: Temperature(0),
):
    try:
        make()
    except ValueError as error:
        print(str(error).splitlines()[0])

# %% silent_defaults
kept = {"output_scores": True, "return_dict_in_generate": True, "max_new_tokens": 1}
for given in ({}, {"top_k": 0}):
    written = model.generate(**question, do_sample=True, **given, **kept)
    print(given, "→", int(written.scores[0].isfinite().sum()), "tokens left")
print(model.generation_config.to_diff_dict())

# %% copying differs="greedy text near a tie"
line = "logsumexp(a, axis=None, b=None, keepdims=False, return_sign=False)"
shots = (
    "ks_2samp(data1, data2, alternative='two-sided', method='auto')",
    "get_chunk_n_rows(row_bytes, *, max_n_rows=None, working_memory=None)",
)
text = "".join(f"Text: {shot}\nCopy: {shot}\n\n" for shot in shots)
text = f"{tokenizer.bos_token}{text}Text: {line}\nCopy:"
inputs = tokenizer([text], return_tensors="pt")
for penalty in (1.0, 1.1, 1.3):
    said = reply(inputs, 32, repetition_penalty=penalty, stop_strings=["\n"],
                 tokenizer=tokenizer)  # fmt: skip
    print(penalty, said.strip())

# %% end_penalised
question = chat("What is the capital of France?")
answer = tokenizer("The capital of France is Paris.", return_tensors="pt").input_ids
ids = torch.cat([question["input_ids"], answer], 1)
assert (question["input_ids"] == end).sum() == 2  # after system and user
scores = model(ids).logits[:, -1]
for penalty in (1.0, 1.1, 1.2, 1.3):
    p = RepetitionPenalty(penalty)(ids, scores).softmax(-1)[0, end]
    print(f"penalty {penalty}: probability of the end token {p:.3f}")
length = question["input_ids"].shape[1]
cure = RepetitionPenaltyLogitsProcessor(1.3, prompt_ignore_length=length)
fair = cure(ids, scores).softmax(-1)[0, end]
assert fair == RepetitionPenalty(1.3, skip=length)(ids, scores).softmax(-1)[0, end]
print(f"penalty 1.3 without the prompt: {fair:.3f}")


# %% end_penalised_values values
for penalty in (1.0, 1.3):
    p = RepetitionPenalty(penalty)(ids, scores).softmax(-1)[0, end]
    print(f"end_{penalty:g} = {p:.3f}".replace("1.3", "1_3", 1))  # tolerance 5%
print(f"end_fair = {fair:.3f}")  # tolerance 5%


# %% nothing_left
class Nothing(LogitsProcessor):  # a mask with a mistake
    def __call__(self, input_ids, scores):
        return torch.full_like(scores, -torch.inf)


said = reply(question, 4, logits_processor=[Nothing()])
print("greedy:", said)  # token 0, and no warning
try:
    reply(question, 4, logits_processor=[Nothing()], do_sample=True)
except RuntimeError as error:
    print("sampled:", str(error)[:60])


# %% nothing_left_cure
class Checked(LogitsProcessor):  # after your other processors
    def __call__(self, input_ids, scores):
        empty = scores.isneginf().all(-1).nonzero().flatten().tolist()
        if empty:
            raise ValueError(f"no token is left in rows {empty}")
        return scores


try:
    reply(question, 4, logits_processor=[Nothing(), Checked()])
except ValueError as error:
    print(error)

# %% pad_is_end
texts = ["The sky is", "She opened the door and saw a small dog that was"]
begun = [tokenizer.bos_token + text for text in texts]
batch = tokenizer(begun, return_tensors="pt", padding=True, padding_side="left")
assert tokenizer.pad_token_id == end  # the mask cannot be guessed from the ids
options = {"max_new_tokens": 8, "do_sample": False}
right = model.generate(**batch, **options)
wrong = model.generate(batch.input_ids, **options)
for name, ids in (("with mask", right), ("without", wrong)):
    print(f"{name}:", repr(tokenizer.decode(ids[0, batch.input_ids.shape[1] :])))
alone = tokenizer(begun[:1], return_tensors="pt")
assert tokenizer.decode(model.generate(**alone, **options)[0, -8:]) == (
    tokenizer.decode(right[0, -8:])
)

# %% lengths
rows = torch.tensor([[5, 6, end, end], [5, 6, 7, 8]])  # one reply ended, one was cut
by_padding = (rows != tokenizer.pad_token_id).sum(1)  # loses the end of row 0
ended = (rows == end).any(1)
lengths = torch.where(ended, (rows == end).int().argmax(1) + 1, rows.shape[1])
assert by_padding.tolist() == [2, 4] and lengths.tolist() == [3, 4]
