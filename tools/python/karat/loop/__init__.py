"""A model in the loop: whole denoising runs with a recipe's attention (docs/loop.md).

    loop = karat.loop
    with loop.attach(pipe.transformer, None, steps=50) as plain:
        pipe(prompt, callback_on_step_end=plain.on_step_end, ...)
    with loop.attach(pipe.transformer, "schedule.json", steps=50, reference=plain.reference) as run:
        pipe(prompt, callback_on_step_end=run.on_step_end, ...)
    loop.write(run.study(), "run.json")      # karat study --loop run.json --html page.html

replace() puts a recipe in the place of a model's attention; attach() also chooses it by step and
layer and records what it does; sensitivities() and compare() are the experiments made of that.
Running needs PyTorch; reading, weights and predictions do not.
"""

from ._attach import Run, attach
from ._driver import compare, sensitivities
from ._latents import Latents
from ._replace import Adapter, Replacement, replace
from ._study import read, write
from ._weights import measured_weights, predicted, spearman

__all__ = [
    "Adapter", "Latents", "Replacement", "Run", "attach", "compare", "measured_weights",
    "predicted", "read", "replace", "sensitivities", "spearman", "write",
]  # fmt: skip
