#!/bin/bash
# The trainings of chapter diffusion, on idle cycles; start it again at any time: what is done is not done again, what runs is left alone.
cd /work/wt/diffusion-run; export PYTHONPATH=$PWD/src
run() {
  while pgrep -f "diffusion/train_$1.py" >/dev/null; do sleep 20; done
  [ -f src/llm_tutorial/diffusion/weights/$1/manifest.json ] || /work/wt/bin/idle /work/main/.venv/bin/python snippets/diffusion/train_$1.py >>/tmp/diffusion-$1.log 2>&1
}
( run autoencoder && run pipeline ) &
run shapes &
wait
