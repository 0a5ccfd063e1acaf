"""The tables of docs/findings.md from what tools/findings.sh leaves: findings_tables.py FOLDER"""
import collections
import csv
import json
import math
import sys

T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}


def load(folder, name):
    with open(f"{folder}/{name}.json") as file:
        report = {recipe["name"]: recipe for recipe in json.load(file)["recipes"]}
    with open(f"{folder}/{name}.csv") as file:
        return report, list(csv.DictReader(file))


def percent(value):
    return "0 %" if value < 1e-9 else f"{100 * value:.3g} %"


def interval(entry, scale=1.0, unit=""):
    low, high = entry["low"], entry["high"]
    if entry["value"] < 1e-9:
        return "0" + unit
    if isinstance(low, str):
        return f"{scale * entry['value']:.3g}{unit}"
    return f"{scale * entry['value']:.3g} ({scale * max(low, 0):.3g} to {scale * high:.3g}){unit}"


def over_prompts(rows, **where):
    """Mean of the prompts' means, and the half-width of its 95 % interval by Student's t."""
    by_prompt = collections.defaultdict(list)
    for row in rows:
        if all(row[key] == value for key, value in where.items()):
            by_prompt[row["prompt"]].append(float(row["value"]))
    means = [sum(v) / len(v) for v in by_prompt.values()]
    n, mean = len(means), sum(means) / len(means)
    if n < 2:
        return percent(mean)
    deviation = math.sqrt(sum((m - mean) ** 2 for m in means) / (n - 1))
    return f"{100 * mean:.3g} ± {100 * T95[n - 1] * deviation / math.sqrt(n):.2g} %"


def mean(rows, recipe, quantity):
    """Over the cells of the conditional branch, where recipes are taken apart."""
    values = [float(r["value"]) for r in rows if r["recipe"] == recipe and r["quantity"] == quantity
              and r["branch"] == "conditional"]
    return f"{100 * sum(values) / len(values):.2g} %" if values else ""


def table(title, header, rows):
    print(f"\n### {title}\n\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def ordered(rows, column):
    return list(dict.fromkeys(row[column] for row in rows))


def main(folder):
    report, rows = load(folder, "main")
    table("Apart and together", ["recipe", "both", "mask", "FP8", "FP8 given the mask", "guided"],
          [[name] + [interval(r["quantities"][q], 100, " %")
                     for q in ("both", "mask", "fp8", "fp8_given_mask", "guided")]
           for name, r in report.items()])
    forms = ["sum", "rss", "conditional", "guided_sum", "guided_rss"]
    table("Amplification", ["recipe"] + forms,
          [[name] + [interval(r["amplification"][form]) for form in forms] for name, r in report.items()])
    name, first = next(iter(report.items()))
    parts = [q[5:] for q in first["quantities"] if q.startswith("rung.")]
    table(f"Ladder of {name}", ["part", "against dense", "against the mask's truth", "alone", "predicted"],
          [[part] + [mean(rows, name, f"{kind}.{part}") for kind in ("rung", "given", "alone", "theory")]
           for part in parts])
    for what, column in (("step", "step"), ("head kind", "head_kind")):
        places = ordered(rows, column)
        table(f"By {what}", [what] + [f"{r}: {q}" for r in report for q in ("mask", "fp8_given_mask")],
              [[place + (f" (σ {float(next(r['sigma'] for r in rows if r['step'] == place)):.2f})"
                         if column == "step" else "")]
               + [over_prompts(rows, recipe=r, quantity=q, **{column: place})
                  for r in report for q in ("mask", "fp8_given_mask")] for place in places])
        table(f"Amplification by {what}", [what] + list(report),
              [[place] + [ratio_by(rows, r, column, place) for r in report] for place in places])
    table("Guidance", ["recipe", "one branch", "guided", "common", "independent"],
          [[n] + [percent(r["quantities"][q]["value"])
                  for q in ("both", "guided", "guided_common", "guided_independent")]
           for n, r in report.items()])
    table("P that underflows", ["multiplier", "ascending", "descending"],
          [[m] + [mean(rows, name, f"theory.lost.{m}.{order}") for order in ("ascending", "descending")]
           for m in ("1", "256", "448")])
    report, rows = load(folder, "sweep")
    first = next(iter(report.values()))
    table("Suspects", ["edit", "both"],
          [["none", interval(first["quantities"]["both"], 100, " %")]]
          + [[q[8:], interval(e, 100, " %")] for q, e in first["quantities"].items()
             if q.startswith("suspect.")])
    table("Sweeps", ["recipe", "both", "mask", "FP8 given the mask", "kept mass"],
          [[n] + [interval(r["quantities"][q], 100, " %") for q in ("both", "mask", "fp8_given_mask")]
           + [percent(r["quantities"]["kept_mass"]["value"])] for n, r in report.items()])
    report, rows = load(folder, "mass")
    kinds = ordered(rows, "head_kind")
    table("Attention a window keeps", ["window"] + [f"{k}, step {s}" for k in kinds for s in ("0", "24", "49")],
          [[n] + [over_prompts(rows, recipe=n, quantity="kept_mass", head_kind=k, step=s)
                  for k in kinds for s in ("0", "24", "49")] for n in report])
    gradients(folder)


GRADIENTS = ("dq", "dk", "dv")


def cosine(entry):
    return f"{entry['value']:.5f}"


def gradients(folder):
    """Tables of the study of gradients."""
    whole, _ = load(folder, "gradients")
    table("Gradients, apart and together",
          ["recipe", "", "both", "mask", "rounding", "rounding given the mask", "cosine, both",
           "cosine given the mask"],
          [[name, g] + [interval(r["quantities"][f"{g}.{q}"], 100, " %")
                        for q in ("both", "mask", "fp8", "fp8_given_mask")]
           + [cosine(r["quantities"][f"{g}.cosine.{q}"]) for q in ("both", "fp8_given_mask")]
           for name, r in whole.items() for g in GRADIENTS])
    table("Amplification of gradients", ["recipe", "", "sum", "rss", "conditional"],
          [[name, g] + [interval(r["amplification"][f"{g}.{form}"]) if f"{g}.{form}" in r["amplification"] else "-"
                        for form in ("sum", "rss", "conditional")]
           for name, r in whole.items() for g in GRADIENTS])
    name, first = next(iter(whole.items()))
    quantities = first["quantities"]
    parts = [q[8:] for q in quantities if q.startswith("dq.rung.")]

    def each(kind, part, form=lambda entry: percent(entry["value"])):
        return [form(quantities[f"{g}.{kind}.{part}"]) if f"{g}.{kind}.{part}" in quantities else ""
                for g in GRADIENTS]
    table(f"Ladder of {name}, given the mask", ["part"] + [f"{g} alone" for g in GRADIENTS]
          + [f"{g} so far" for g in GRADIENTS] + [f"{g} alone, no mask" for g in GRADIENTS],
          [[part] + each("alone", part) + each("given", part) + each("alone_dense", part) for part in parts])
    table(f"Cosines of the parts of {name} alone", ["part"] + list(GRADIENTS),
          [[part] + each("cosine.alone", part, cosine) for part in parts])
    factors = first["amplification"]
    table("With the mask over without", ["part"] + list(GRADIENTS),
          [[part] + [interval(factors[f"{g}.conditional.{part}"]) if f"{g}.conditional.{part}" in factors else ""
                     for g in GRADIENTS] for part in parts])
    report, _ = load(folder, "gradient_edits")
    table(f"Edits of {name}: rounding given the mask", ["edit"] + list(GRADIENTS),
          [[n.split(":")[-1]] + [percent(r["quantities"][f"{g}.fp8_given_mask"]["value"]) for g in GRADIENTS]
           for n, r in report.items()])


def ratio_by(rows, recipe, column, place):
    """Geometric mean of both / sqrt(mask^2 + fp8^2) over the cells of one place."""
    cells = collections.defaultdict(dict)
    for row in rows:
        if row["recipe"] == recipe and row[column] == place:
            key = tuple(row[k] for k in ("prompt", "step", "layer", "head", "branch"))
            cells[key][row["quantity"]] = float(row["value"])
    logs = [math.log(c["both"] / math.hypot(c["mask"], c["fp8"])) for c in cells.values() if c["mask"] > 1e-9]
    return f"{math.exp(sum(logs) / len(logs)):.3f}" if logs else "-"


if __name__ == "__main__":
    main(sys.argv[1])
