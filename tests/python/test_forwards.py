"""Which step and branch a forward is, against pipelines that say so themselves."""

import pytest

import karat
from karat._forwards import Forwards, timestep_of

STEPS = 5


def two_calls(guided):
    """diffusers' Wan: the prompt's forward, then the one without, at one timestep."""
    for step in range(STEPS):
        for branch in ("cond", "uncond") if guided else ("cond",):
            yield step, 999.0 - 190 * step, [branch]


def one_batch(guided):
    """diffusers' CogVideoX: one forward, the batch without the prompt first; two prompts."""
    for step in range(STEPS):
        yield step, 999.0 - 190 * step, (["uncond"] * 2 if guided else []) + ["cond"] * 2


def filed(pipeline, guidance, timesteps=True):
    """(step, branch of each batch entry) as Forwards has them, beside the pipeline's."""
    forwards, ours, theirs = Forwards(guidance, STEPS), [], []
    for step, timestep, entries in pipeline:
        forwards.begin(timestep if timesteps else None)
        branches = [None] * len(entries)
        for first, count, branch in forwards.parts(len(entries)):
            branches[first : first + count] = [branch] * count
        ours.append((forwards.step, branches))
        theirs.append((step, entries))
    forwards.end()
    return ours, theirs


@pytest.mark.parametrize("timesteps", [True, False])
@pytest.mark.parametrize(
    "pipeline, guidance",
    [
        (list(two_calls(True)), "calls"),
        (list(two_calls(False)), "none"),
        (list(one_batch(True)), "batch"),
        (list(one_batch(False)), "none"),
    ],
    ids=["wan", "wan, unguided", "cogvideox", "cogvideox, unguided"],
)
def test_steps_and_branches(pipeline, guidance, timesteps):
    ours, theirs = filed(pipeline, guidance, timesteps)
    assert ours == theirs and len(ours) == STEPS * (2 if guidance == "calls" else 1)


def test_a_run_that_is_called_otherwise():
    with pytest.raises(karat.UsageError, match="timesteps 999 and 809; pass guidance=.none"):
        filed(two_calls(False), "calls")
    with pytest.raises(karat.UsageError, match="10 forwards, where 5 steps"):
        filed(two_calls(True), "none", timesteps=False)
    with pytest.raises(karat.UsageError, match="10 forwards, where 5 steps"):
        filed(two_calls(True), "none")
    with pytest.raises(karat.UsageError, match="batch is of 3; pass guidance=.none"):
        filed([(0, 999.0, ["cond"] * 3)], "batch")
    with pytest.raises(karat.UsageError, match="calls, batch, none"):
        Forwards("call", STEPS)


def test_timesteps():
    class Tensor:
        def max(self):
            return 3

    assert timestep_of({"timestep": Tensor()}) == 3.0
    assert timestep_of({"timestep": 4}) == 4.0 and timestep_of({}) is None
