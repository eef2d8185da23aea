# %% setup
import statistics

from llm_tutorial.training import read_manifest

practice = read_manifest("lora", "entities")


def of(variant: str, *path: str) -> list[float]:
    """A metric of each seed, in percent."""
    values = [practice["metrics"][f"{variant}, seed {seed}"] for seed in practice["seeds"]]
    for key in path:
        values = [value[key] for value in values]
    return [100 * value for value in values]


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.1f} [{min(values):.1f} {max(values):.1f}]"


# %% compared
names = ("dense", "dense, relations", "window", "random", "learned")
for name in names:
    kept = f"{of(name, 'share')[0]:.0f} % of pairs"
    print(f"{name:24}{spread(of(name, 'test', 'f1')):>20}{kept:>18}")
print(f"{'learned, gold at test':24}{spread(of('learned', 'gold entities', 'f1')):>20}")
found = {name: statistics.mean(of(name, "test", "f1")) for name in names}
print(f"f1_dense = {found['dense']:.1f}")
print(f"f1_window = {found['window']:.1f}")
print(f"f1_random = {found['random']:.1f}")
print(f"f1_learned = {found['learned']:.1f}")
print(f"f1_gold = {statistics.mean(of('learned', 'gold entities', 'f1')):.1f}")
print(f"gate_precision = {statistics.mean(of('learned', 'test', 'gate')):.0f}")
print(f"gate_of_random = {statistics.mean(of('random', 'test', 'gate')):.0f}")

# %% sweep
rows = {
    "w = 0": "window 0", "w = 1": "learned", "w = 2": "window 2",
    "E = 8": "8 entities", "E = 32": "learned", "E = 128": "128 entities",
}  # fmt: skip
swept = {label: practice["metrics"][f"{name}, seed 0"] for label, name in rows.items()}
for label, run in swept.items():
    print(f"{label:8} validation F1 {100 * run['validation']['f1']:.1f} %   pairs kept {100 * run['share']:.1f} %")
f1 = [100 * run["validation"]["f1"] for run in swept.values()]
print(f"lowest_swept = {min(f1):.1f}")
print(f"highest_swept = {max(f1):.1f}")
print(f"lowest_seed = {min(of('learned', 'validation', 'f1')):.1f}")
print(f"highest_seed = {max(of('learned', 'validation', 'f1')):.1f}")
