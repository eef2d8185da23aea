# %% removed
from transformers import pipeline

RETIRED = ("question-answering", "translation", "summarization", "text2text-generation")
for task in RETIRED:
    try:
        pipeline(task)
    except KeyError as error:
        what, advice, _ = error.args[0].split(". ", 2)
        print(f"{type(error).__name__}: {what}.\n    {advice}.")
    else:
        raise AssertionError(f"{task} is back")

# %% still_there
from transformers.pipelines import PIPELINE_REGISTRY

tasks = set(PIPELINE_REGISTRY.get_supported_tasks())
retired = {*RETIRED, "visual-question-answering", "image-to-image"}
kept = {"text-classification", "token-classification", "fill-mask", "text-generation"}
assert kept <= tasks and not retired & tasks

# %% classes
from transformers import AutoModelForQuestionAnswering, AutoModelForSeq2SeqLM

for auto in (AutoModelForQuestionAnswering, AutoModelForSeq2SeqLM):
    print(auto.__name__, len(auto._model_mapping), "architectures")
