# %% ask
from llm_tutorial.models import load_model, load_tokenizer

model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")

talk = [{"role": "user", "content": "What is the capital of France?"}]
form = {"add_generation_prompt": True, "return_tensors": "pt", "return_dict": True}
inputs = tokenizer.apply_chat_template(talk, **form)
answer = model.generate(**inputs, max_new_tokens=20, do_sample=False)
new_tokens = answer[0, inputs["input_ids"].shape[1] :]
print(tokenizer.decode(new_tokens, skip_special_tokens=True))

# %% adapt
import torch

from llm_tutorial.lora.inject import add_lora, count_parameters

gigabytes = 4 * count_parameters(model).total / 1e9  # float32: four bytes each
before = model(**inputs).logits  # (batch, token, vocabulary)
add_lora(model, rank=8)
after = model(**inputs).logits
assert torch.equal(before, after)  # an untrained adapter adds zero

parameters = count_parameters(model)
print(f"weights_gigabytes = {gigabytes:.2f}")
print(f"trained_parameters = {parameters.trained}")
print(f"trained_percent = {parameters.percent:.3f}")

# %% trained  differs="greedy text of a language model near a tie"
from llm_tutorial.generation import greedy_answers
from llm_tutorial.lora.adapter import load_adapter
from llm_tutorial.lora.inject import remove_lora
from llm_tutorial.lora.task import prompt
from llm_tutorial.results import weights

phrases = ["three days ago", "March 5, 2026", "12 kilometers", "in 2 weeks"]
questions = [prompt(phrase) for phrase in phrases]

untrained = greedy_answers(model, tokenizer, questions, max_new_tokens=16)

remove_lora(model)
load_adapter(model, weights("lora", "low_rank") / "rank-8")
trained = greedy_answers(model, tokenizer, questions)

for row in zip(phrases, untrained, trained, strict=True):
    print(*row, sep=" | ")
assert trained[1] == "2026年3月5日"
