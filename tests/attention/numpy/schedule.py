# Which recipe a denoising step runs with, and the program of it, written from docs/schedules.md
# alone.

from fractions import Fraction

from programs import PROGRAMS


def pick(schedule, step, steps, sigma=None):
    """The phase of a step, from 0, and its recipe."""
    phases = schedule["phases"] if "phases" in schedule else three_phases(schedule)
    for number, phase in enumerate(phases):
        if "until" in phase and step + 1 > Fraction(str(phase["until"])) * steps:
            continue
        if "sigma_from" in phase and sigma < phase["sigma_from"]:
            continue
        return number, phase["recipe"]
    raise ValueError("the last phase has a condition")


def three_phases(schedule):
    names = ("coarse", "fine", "intermediate")
    base = schedule.get("base", "fpsattention")
    phases = [{"recipe": {"name": f"{base}_{name}", "base": base, "mask": {"window": window},
                          "q": {"tile": tile}, "k": {"tile": tile}}}
              for name, tile, window in zip(names, schedule["g"], schedule["W"])]
    for phase, alpha in zip(phases, schedule["alpha"]):
        phase["until"] = alpha
    return phases


def program_of(recipe):
    """The program of a preset, or of one with another window and scale tile."""
    if isinstance(recipe, str):
        return PROGRAMS[recipe]
    edits = {}
    if "window" in recipe.get("mask", {}):
        edits["WINDOW"] = recipe["mask"]["window"]
    if "tile" in recipe.get("q", {}):
        edits["SCALE_TILE"] = recipe["q"]["tile"]
    return type("Edited", (PROGRAMS[recipe["base"]],), edits)


def wan_sigma(step, steps):
    """The noise level of Wan2.1's sampler."""
    s = 0.999 * (1 - step / steps)
    return 5 * s / (1 + 4 * s)
