# %% setup
import matplotlib.pyplot as plt
import numpy as np

from llm_tutorial.plotting import legend, panels, use_style
from llm_tutorial.results import results
from llm_tutorial.tables import table

use_style()
runs = results("diffusion", "control")["metrics"]  # of train_control.py

# %% guidance
figure, (right, colour) = panels(2)
for count, name in ((1, "one thing"), (2, "two things")):
    for rescale, style in (("0.0", "-"), ("0.7", "--")):
        found = runs[f"guidance, {count}, rescale {rescale}"]
        scales = [float(scale) for scale in found if scale != "drawn"]
        label = name if rescale == "0.0" else f"{name}, rescaled"
        shares = [100 * found[str(scale)]["all"] for scale in scales]
        chromas = [found[str(scale)]["chroma"] for scale in scales]
        right.plot(scales, shares, style, label=label)
        colour.plot(scales, chromas, style, label=label)
colour.axhline(runs["guidance, 1, rescale 0.0"]["drawn"]["chroma"], color="grey", lw=1)
right.set(xlabel="$w$", ylabel="% right")
colour.set(xlabel="$w$", ylabel="mean chroma")
legend(figure, ncols=2)
plt.show()

# %% guidance_wrong
one = runs["guidance, 1, rescale 0.0"]
names = ["colour", "shape", "size", "place"]
rows = {f"w = {scale}": [100 * one[scale][n] for n in names]
        for scale in ("1.0", "2.0", "5.0", "7.5", "10.0", "15.0")}  # fmt: skip
table(rows, ["one thing, % right", *names], ".0f").show()

# %% when
found, (axes,) = runs["when"], panels()[1]
switches = [int(after) for after in found]
for name in ("place", "size", "shape", "colour"):
    shares = [100 * found[str(after)]["then"][name] for after in switches]
    axes.plot(switches, shares, label=name)
axes.set(xlabel="steps done before the switch, of 20", ylabel="% as the second prompt")
legend(axes, ncols=4)
plt.show()

# %% strength
figure, axes = panels(2)
for panel, field in zip(axes, ("colour", "shape"), strict=True):
    found = runs[f"strength, {field}"]
    shares = [float(share) for share in found]
    panel.plot(shares, [100 * found[str(s)][field] for s in shares], label="obeys")
    panel.plot(shares, [100 * found[str(s)]["place"] for s in shares], label="place kept")
    panel.set(xlabel="strength", ylabel="%", title=f"another {field}", ylim=(0, 103))
legend(figure)
plt.show()

# %% same_words
found = runs["same words"]
rows = {
    name: [*np.quantile(found[key], (0.5, 0.1, 0.9))]
    for name, key in (
        ("English, other wording", "reworded"), ("Chinese", "chinese"),
        ("same words, other noise", "other noise"), ("another scene", "other scene"),
    )
}  # fmt: skip
table(rows, ["ΔE76 to the English one", "median", "10 %", "90 %"], ".2f").show()

# %% steps
rows = {
    steps: [100 * found["all"], found["difference"]]
    for steps, found in runs["steps"].items()
}
table(rows, ["steps", "% right", "ΔE76 to 100 steps"], [".0f", ".2f"]).show()

# %% open
rows = {}
for name in ("nothing", "no colour", "no shape", "no place", "no size"):
    found = [runs[f"open, {name}, {scale}"] for scale in ("1.0", "2.0")]
    field = "colour" if name == "nothing" else name.split()[1]
    most = [max(each[field], key=each[field].get) for each in found]
    rows[name] = [len(found[0][field]), field] + [
        f"{look}, {100 * each[field][look]:.0f} %"
        for each, look in zip(found, most, strict=True)
    ]
table(rows, ["left open", "values", "of", "w = 1", "w = 2"], ["d", "", "", ""]).show()

# %% negative
rows = {}
for negative in ("red", "a red star", "a large red star in the centre"):
    found = runs[f"open, nothing, without {negative}"]["colour"]
    rows[negative] = [100 * found[name] for name in ("red", "blue", "black", "green")]
found = runs["open, nothing, 1.0"]["colour"]
rows = {"none": [100 * found[name] for name in ("red", "blue", "black", "green")]} | rows
table(rows, ["negative prompt", "% red", "% blue", "% black", "% green"], ".0f").show()

# %% beyond
found = runs["beyond"]
rows = {
    f"unseen pair, {('one thing', 'two things')[things - 1]}": [
        100 * found[f"unseen pair, {things}"]["all"]
    ]
    for things in (1, 2)
}
table(rows, ["prompt", "% right"], ".0f").show()
rows = {
    name: [100 * found[name][f"{n} drawn"] for n in range(1, 5)]
    for name in ("twice the same", "three things")
}
table(rows, ["prompt", *(f"% with {n}" for n in range(1, 5))], ".0f").show()

# %% values values
for count, name in ((1, "one"), (2, "two")):
    found = runs[f"guidance, {count}, rescale 0.0"]
    for scale in ("1.0", "2.0", "5.0", "7.5", "10.0", "15.0"):
        print(f"{name}_{scale.split('.')[0]} = {100 * found[scale]['all']:.1f}")
found = runs["guidance, 1, rescale 0.0"]
for name in ("colour", "shape", "place"):
    print(f"{name}_15 = {100 * found['15.0'][name]:.0f}")
print(f"chroma_drawn = {found['drawn']['chroma']:.1f}")
print(f"chroma_15 = {found['15.0']['chroma']:.1f}")
found = runs["when"]
for name in ("place", "size", "shape", "colour"):
    kept = [int(after) for after in found if found[after]["then"][name] < 0.5]
    print(f"half_{name} = {min(kept)}")
found = runs["open, no colour, 2.0"]["colour"]
print(f"colour_open = {100 * max(found.values()):.0f}")
print(f"colour_nothing = {100 * max(runs['open, nothing, 1.0']['colour'].values()):.0f}")
for name in ("reworded", "chinese", "other noise", "other scene"):
    median = np.median(runs["same words"][name])
    print(f"{name.replace(' ', '_')} = {median:.2f}")
print(f"steps_10 = {runs['steps']['10']['difference']:.2f}")
found = runs["beyond"]
print(f"unseen_one = {100 * found['unseen pair, 1']['all']:.0f}")
print(f"unseen_two = {100 * found['unseen pair, 2']['all']:.0f}")
print(f"three_drawn = {100 * found['three things']['3 drawn']:.0f}")
