# %% setup
import copy

import torch
from torch.nn import functional as F
from transformers import DynamicCache

from llm_tutorial.evaluation import padded
from llm_tutorial.models import load_model, load_tokenizer

torch.set_grad_enabled(False)
model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
END = model.generation_config.pad_token_id = tokenizer.eos_token_id
NEW = 12


def prompt_ids(question):
    talk = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(talk, add_generation_prompt=True)["input_ids"]


def said(row):  # up to the end token
    return tokenizer.decode(row).partition(tokenizer.eos_token)[0]


# %% together differs="greedy text near a tie"
def greedy(ids, mask, new_tokens):  # ids, mask: (batch, token)
    cache, fed, written = DynamicCache(config=model.config), ids, []
    for _ in range(new_tokens):
        places = (mask.cumsum(1) - 1).clamp(min=0)  # counted along the mask
        fed = model(
            fed,
            attention_mask=mask,  # of cached and new tokens
            position_ids=places[:, -fed.shape[1] :],  # of new tokens
            past_key_values=cache,
            logits_to_keep=1,
        ).logits.argmax(-1)  # (batch, 1)
        mask = F.pad(mask, (0, 1), value=1)
        written.append(fed)
    return torch.cat(written, 1)  # (batch, new token)


questions = [
    "What is the capital of France?",
    "Say hello to a friend who comes back from a long journey by ship.",
    "Name a colour.",
    "Say in one short sentence why the sky looks blue on a day without clouds.",
]
prompts = [prompt_ids(question) for question in questions]
ids, mask = padded(prompts, "left", model.device)
together = [said(row) for row in greedy(ids, mask, NEW)]
for text in together:
    print(repr(text))

# %% as_alone
alone = []
for prompt in prompts:
    row = torch.tensor([prompt])
    alone.append(said(greedy(row, torch.ones_like(row), NEW)[0]))
assert together == alone
options = {"max_new_tokens": NEW, "do_sample": False}
theirs = model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :]
assert [said(row) for row in theirs] == together

# %% prefix differs="greedy text near a tie"
system = "You are the assistant of a small hotel by the sea. Be brief. " * 4
talks = [
    [{"role": "system", "content": system}, {"role": "user", "content": question}]
    for question in ("My name is Ada. When is breakfast?", "What is my name?")
]
requests = [
    tokenizer.apply_chat_template(
        talk, add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    for talk in talks
]
prefix = 0  # tokens that both requests begin with
shortest = min(request.shape[1] for request in requests)
while prefix < shortest - 1 and requests[0][0, prefix] == requests[1][0, prefix]:
    prefix += 1
shared = DynamicCache(config=model.config)
model(requests[0][:, :prefix], past_key_values=shared, logits_to_keep=1)  # once

replies = []
for request in requests:
    cache = copy.deepcopy(shared)  # each request goes on with its own
    written = model.generate(request, past_key_values=cache, **options)
    replies.append(said(written[0, request.shape[1] :]))
    assert written.equal(model.generate(request, **options))  # as without sharing
assert shared.get_seq_length() == prefix
print(f"{prefix} of {[request.shape[1] for request in requests]} tokens are shared")
for reply in replies:
    print(repr(reply))

# %% right_padding differs="greedy text near a tie"
wrong_ids, wrong_mask = padded(prompts, "right", model.device)
wrong = [said(row) for row in greedy(wrong_ids, wrong_mask, NEW)]
for length, text in zip(wrong_mask.sum(1).tolist(), wrong, strict=True):
    print(f"{length} of {wrong_ids.shape[1]} tokens:", repr(text))
assert wrong != together

logits = model(wrong_ids, attention_mask=wrong_mask).logits
last = wrong_mask.sum(1) - 1  # of each text, the last token that is no padding
first = logits[torch.arange(len(last)), last].argmax(-1)
assert first.equal(greedy(ids, mask, 1)[:, 0])  # read there, the token is right


# %% positions differs="greedy text near a tie"
def written_with(place):  # where each step gets this position
    cache, fed, row = DynamicCache(config=model.config), prompts[3], []
    for i in range(NEW):
        where = torch.tensor([[place(len(prompts[3]) + i - 1)]]) if i else None
        out = model(torch.tensor([fed]), position_ids=where, past_key_values=cache)
        fed = [int(out.logits[0, -1].argmax())]
        row += fed
    return said(row)


for name, place in {
    "right": lambda i: i,
    "one too far": lambda i: i + 1,
    "always 0": lambda i: 0,
}.items():
    print(f"{name:12}", repr(written_with(place)))
assert written_with(lambda i: i) == alone[3] != written_with(lambda i: 0)

# %% leak differs="greedy text near a tie"


def reply_with(cache, request):  # feeds what follows the prefix
    fed, written = request[:, prefix:], []
    while len(written) < NEW and END not in written:
        logits = model(fed, past_key_values=cache, logits_to_keep=1).logits
        fed = logits[:, -1:].argmax(-1)
        written.append(fed.item())
    return said(written)


one_for_all = copy.deepcopy(shared)
for request in (*requests, *requests[:1]):
    reply = reply_with(one_for_all, request)  # and no copy
    print(f"{one_for_all.get_seq_length():4} tokens kept:", repr(reply))
assert one_for_all.get_seq_length() > prefix
assert reply != replies[0]

# %% leak_cure
held = copy.deepcopy(shared)
for request, right in zip(requests, replies, strict=True):
    reply = reply_with(held, request)
    held.crop(prefix - held.get_seq_length())  # forget this request
    assert held.get_seq_length() == prefix
    assert reply == right

# %% kinds
request = requests[1]
for kind, reserved in (("dynamic", None), ("static", 256)):
    out = model.generate(
        request,
        cache_implementation=kind,
        max_cache_len=reserved,
        return_dict_in_generate=True,
        **options,
    )
    assert said(out.sequences[0, request.shape[1] :]) == replies[1]
    layer = out.past_key_values.layers[0]
    print(f"{kind:8} {type(layer).__name__:12} {list(layer.keys.shape)}")
