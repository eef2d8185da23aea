# %% ask
from llm_tutorial.models import load_model, load_tokenizer

tokenizer, model = load_tokenizer("smollm2-135m"), load_model("smollm2-135m")

question = [{"role": "user", "content": "What is the capital of France?"}]
prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**prompt, max_new_tokens=20, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))

# %% adapt
import torch

from llm_tutorial.lora import add_lora, count_parameters

print(f"weights_gigabytes = {count_parameters(model).total * 4 / 1e9:.2f}")  # float32: four bytes each
before = model(**prompt).logits  # (batch, token, vocabulary)
add_lora(model, rank=8)
after = model(**prompt).logits

parameters = count_parameters(model)
print(f"trained_parameters = {parameters.trained}")
print(f"trained_percent = {parameters.percent:.3f}")
assert torch.equal(before, after)  # an untrained adapter changes nothing: B is zero
