# %% setup
import torch

from llm_tutorial.data.cldr import cldr_pairs
from llm_tutorial.lora.task import validation_pairs
from llm_tutorial.models import load_model, load_tokenizer
from llm_tutorial.packing import Example, pack, with_begin_token

model, tokenizer = load_model("smollm2-135m"), load_tokenizer("smollm2-135m")
shots, validation, held_out = cldr_pairs(16), validation_pairs()[:20], cldr_pairs(200, "held_out")
TASK = "Translate each English expression into Chinese. Reply with the Chinese only."


# %% prompts
def arrows(count: int) -> tuple[str, str, str]:  # what all questions share, a question, and its answer
    return "".join(f"{pair.english} →{pair.chinese}\n" for pair in shots[:count]), "{} →", "{}\n"


def labels(count: int) -> tuple[str, str, str]:
    examples = "".join(f"English: {pair.english}\nChinese: {pair.chinese}\n\n" for pair in shots[:count])
    return f"{TASK}\n\n{examples}", "English: {}\nChinese:", " {}\n"


def chat(count: int) -> tuple[str, str, str]:
    turns = [{"role": "system", "content": TASK}]
    for pair in shots[:count]:
        turns += [{"role": "user", "content": pair.english}, {"role": "assistant", "content": pair.chinese}]
    turns.append({"role": "user", "content": "{}"})
    before, after = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True).rsplit("{}", 1)
    return before, "{}" + after, "{}" + tokenizer.eos_token


# %% shared_prefix
def ids_of(text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False).input_ids


@torch.no_grad()
def exact(make, count: int, pairs: list) -> float:
    """Percent of the answers that greedy decoding gives to the letter: each of their tokens is then the likeliest."""
    prefix, question, answer = make(count)
    prefix_ids = ids_of(with_begin_token(tokenizer, prefix))
    shared = model(input_ids=torch.tensor([prefix_ids]), use_cache=True).past_key_values  # the examples, read once
    right = 0
    for start in range(0, len(pairs), 20):
        asked = [
            (ids_of(question.replace("{}", pair.english)), ids_of(answer.replace("{}", pair.chinese)))
            for pair in pairs[start : start + 20]
        ]
        inputs, wanted = pack([Example(before + after, len(before)) for before, after in asked])
        number = torch.tensor([n for n, (before, after) in enumerate(asked) for _ in before + after])
        own = (number[:, None] == number).tril()  # a question sees itself, and the examples
        inputs["attention_mask"] = torch.cat([own.new_ones(len(own), len(prefix_ids)), own], 1)[None, None]
        inputs["position_ids"] += len(prefix_ids)
        hits = model(**inputs, past_key_values=shared).logits[0].argmax(-1) == wanted
        shared.crop(-len(own))  # forgets these questions
        right += sum(bool(part.all()) for part in hits.split([len(after) for _, after in asked]))
    return 100 * right / len(pairs)


# %% choose differs="the likeliest token near a tie"
tried = {(make.__name__, count): exact(make, count, validation) for make in (arrows, labels, chat) for count in (8, 16)}
for (name, count), right in tried.items():
    print(f"{name:8}{count:3} examples: {right:5.1f}")
best, count = max(tried, key=tried.get)

# %% few_shot
few_shot = exact(globals()[best], count, held_out)
assert few_shot < 80

# %% few_shot_values values
print(f"few_shot = {few_shot:.1f}")  # tolerance 20%
