# %% setup
from functools import partial

import torch
from torch.profiler import ProfilerActivity, profile

from llm_tutorial.lora.bench import Configuration, forward
from llm_tutorial.lora.encoder import RelationSparseConfig, RelationSparseEncoder
from llm_tutorial.timing import ratio, ratios

torch.set_num_threads(1)
length, hidden, intermediate = 4096, 256, 512


# %% share
def operations(n: int) -> tuple[int, int]:
    """Of a layer and a token: in attention over n keys, and in its linear layers."""
    return 4 * n * hidden, 2 * (4 * hidden**2 + 2 * hidden * intermediate)


equal = next(n for n in range(1, 10_000) if operations(n)[0] >= operations(n)[1])
assert equal == 2 * hidden + intermediate  # from 4 n h = 2 (4 h² + 2 h f)

# %% share_values values
for n in (256, 1024, 4096, 16384):
    in_attention, in_linear = operations(n)
    share = in_attention / (in_attention + in_linear)
    print(f"percent_of_operations_{n} = {100 * share:.0f}")
print(f"attention_equals_linear_at = {equal}")


# %% encoders
def encoder(
    attention: str, entities: str, relations: tuple[str, ...] | None = None
) -> RelationSparseEncoder:
    torch.manual_seed(0)
    options = {"hidden_size": hidden, "intermediate_size": intermediate}
    if relations is not None:
        options["relations"] = relations
    config = RelationSparseConfig(attention=attention, entities=entities, **options)
    return RelationSparseEncoder(config).eval()


dense, window = encoder("dense", "none"), encoder("sparse", "none")
learned, bare = encoder("sparse", "learned"), encoder("sparse", "learned", relations=())
ids = torch.randint(1, 5000, (1, length), generator=torch.Generator().manual_seed(0))
sizes = [sum(p.numel() for p in each.parameters()) for each in (dense, window)]
assert sizes[0] == sizes[1]


# %% measured_share timed differs="times depend on the machine" tolerance="40%"
def percent_in_attention(model: RelationSparseEncoder) -> float:
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(3):
            model(ids)
    times = {event.key: event.self_cpu_time_total for event in profiler.key_averages()}
    in_attention = sum(time for name, time in times.items() if "flash" in name)
    return 100 * in_attention / sum(times.values())


with torch.inference_mode():
    dense(ids)  # warm
before = percent_in_attention(dense)
assert before > 40

# %% measured_share_values values differs="times depend on the machine" tolerance="40%"
print(f"percent_of_time_in_attention = {before:.0f}")

# %% whole_encoder timed differs="times depend on the machine" tolerance="60%"
sparse = {"window": window, "entities": bare, "entities and relations": learned}
calls = {name: partial(model, ids) for name, model in sparse.items()}
with torch.inference_mode():
    whole = ratios(partial(dense, ids), calls, seconds=0, least=3)
layer = forward(Configuration(entities=0), length, seconds=0.5)
bound = 1 / (1 - before / 100)  # with an attention that takes no time
amdahl = 1 / (1 - before / 100 + before / 100 / layer)
print(f"dense / sparse, attention alone, window: {layer:.1f}")
for name, speed in whole.items():
    print(f"dense / sparse, whole encoder, {name}: {speed:.1f}")
assert 1 < whole["window"] < layer
assert 0.4 < whole["window"] / amdahl < 2.5

# %% whole_encoder_values values differs="times depend on the machine" tolerance="60%"
print(f"layer_alone = {layer:.1f}")
print(f"predicted = {amdahl:.1f}")
print(f"bound = {bound:.1f}")
print(f"encoder_window = {whole['window']:.1f}")
print(f"encoder_entities = {whole['entities']:.1f}")
print(f"encoder_relations = {whole['entities and relations']:.1f}")

# %% short_texts timed differs="times depend on the machine" tolerance="50%"
with torch.inference_mode():
    short = ratio(lambda: dense(ids[:, :128]), lambda: learned(ids[:, :128]), seconds=1)
assert short < 1.3

# %% short_texts_values values differs="times depend on the machine" tolerance="50%"
print(f"encoder_128 = {short:.2f}")
