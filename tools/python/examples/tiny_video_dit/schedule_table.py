"""The table of schedules: predicted and measured drift, and the chosen one against the others."""

from __future__ import annotations

import itertools
import json

import intervals
import numpy as np
from cells import HERE, figure
from scipy.stats import spearmanr

THREE_PHASES = json.loads((HERE / "schedules.json").read_text())["chosen"]["three_phase"]


def phases(schedule: list[str]) -> str:
    """Runs of one kernel, as "coarse 5, fine 6, ..."; a long mixture by its counts."""
    runs = [(kernel, len(list(group))) for kernel, group in itertools.groupby(schedule)]
    if len(runs) > 6:
        counts = sorted({(kernel, schedule.count(kernel)) for kernel in schedule})
        return "mixed: " + ", ".join(f"{kernel} {count}" for kernel, count in counts)
    return ", ".join(f"{kernel} {count}" for kernel, count in runs)


def last_drifts(schedule: dict) -> np.ndarray:
    """Drift of the last latent of every held-out seed."""
    return np.array([drift[-1] for drift in schedule["drift"]])


def root_mean_square(groups) -> float:
    return float(np.sqrt(np.mean([np.mean(x**2) for x in groups])))


def ranked(schedules: list[dict], prediction: str) -> float:
    """Spearman's rank correlation of predicted and measured drift."""
    pairs = ([one[name] for one in schedules] for name in (prediction, "measured"))
    return float(spearmanr(*pairs).statistic)


def equal_work(result: dict) -> list[dict]:
    return [one for one in result["schedules"] if abs(one["cost"] - result["work"]) < 1e-9]


def chosen_over(result: dict, one: dict) -> str:
    """Drift of the chosen three phases over that of another schedule."""
    (chosen,) = [x for x in result["schedules"] if x["name"] == THREE_PHASES]
    found = np.exp(intervals.interval([np.log(last_drifts(chosen) / last_drifts(one))]))
    return figure(tuple(found))


def figures(result: dict) -> dict[str, str]:
    """For the claims: "three phases / NAME, drift", and the steps' weights."""
    weight = result["step_weights"]
    return {f"three phases / {x['name']}, drift": chosen_over(result, x)
            for x in result["schedules"] if x["name"] != THREE_PHASES} | {
        "first step / middle step, weight": f"{weight[0] / weight[len(weight) // 2]:.3g}",
        "middle step / last step, weight": f"{weight[len(weight) // 2] / weight[-1]:.3g}",
        "equal work, rank correlation": f"{ranked(equal_work(result), 'predicted'):.2f}",
        "all, rank correlation": f"{ranked(result['schedules'], 'predicted'):.2f}",
    }  # fmt: skip


def table(result: dict) -> str:
    """Measured drift is the root mean square over the held-out seeds; ratios are geometric means
    over them."""
    lines = [
        "| schedule | steps | work | predicted | aligned | measured | three phases / it |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in sorted(result["schedules"], key=lambda x: x["measured"]):
        against = "" if one["name"] == THREE_PHASES else chosen_over(result, one)
        lines.append(
            f"| {one['name']} | {phases(one['kernels'])} | {one['cost']:.4f} "
            f"| {one['predicted']:.3f} | {one['aligned']:.3f} "
            f"| {figure(intervals.interval([last_drifts(one)], root_mean_square))} | {against} |"
        )
    first, last = result["perturb_seeds"], result["held_out_seeds"]
    groups = (("equal work", equal_work(result)), ("all", result["schedules"]))
    told = "; ".join(
        f"{name} ({len(group)} schedules) {ranked(group, 'predicted'):.2f} independent, "
        f"{ranked(group, 'aligned'):.2f} aligned"
        for name, group in groups
    )
    lines.append(
        f"\nSpearman's rank correlation of predicted and measured: {told}. "
        f"{first[1] - first[0]} seeds perturbed, {last[1] - last[0]} others held out; "
        f"weights {result['weights']}."
    )
    return "\n".join(lines)
