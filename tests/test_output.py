import os
import subprocess
import sys


def test_what_the_encoding_of_a_pipe_lacks_is_escaped_and_the_script_goes_on():
    """Standard output through a pipe on a Chinese Windows is GBK."""
    done = subprocess.run(
        [sys.executable, "-c", "import llm_tutorial; print('注意力 ⟨B-TIME⟩ 😀'); print('end')"],
        env=os.environ | {"PYTHONIOENCODING": "gbk"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode("gbk").splitlines() == [r"注意力 \u27e8B-TIME\u27e9 \U0001f600", "end"]


def test_every_character_of_an_encoding_that_has_it_is_printed():
    done = subprocess.run(
        [sys.executable, "-c", "import llm_tutorial; print('⟨B-TIME⟩ 😀')"],
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == "⟨B-TIME⟩ 😀"
