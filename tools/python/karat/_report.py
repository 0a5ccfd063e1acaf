"""What a check found, as data and as the table people read."""

from __future__ import annotations

from typing import Any

_NAN = 2**63 - 1
# What the legal ranges may leave open, in the words of `karat check`.
_FREE = {
    "exp2": "exp2 within 2 ulp",
    "order": "any order of the row sum, f32.fma's P V, delta and added dQ",
    "contraction": "fused multiply-adds",
    "reciprocal": "1/l within 1 ulp",
}


class CheckReport:
    """The verdict on a candidate. True when every stage is equal, or differs no more than legal
    kernels do.

    ``verdict``: "matches", "undecided" (inside the worst case, but no legal kernel was seen to do
    this) or "differs". ``stages``: one dict per stage with the fields of docs/json.md (stage, result, differing,
    max_ulp, forced, first, worst, ...), in the order of computation. ``free``: what the legal
    ranges leave open ("exp2", "order", "contraction", "reciprocal").
    """

    def __init__(self, report: dict[str, Any]):
        self.report = report
        self.passed: bool = report["passed"]
        self.verdict: str = report["verdict"]
        self.stages: list[dict[str, Any]] = report["stages"]
        self.first_difference: str | None = report["first_difference"]
        self.free: list[str] = report["free"]

    def __bool__(self) -> bool:
        return self.passed

    def __getitem__(self, stage: str) -> dict[str, Any]:
        for each in self.stages:
            if each["stage"] == stage:
                return each
        raise KeyError(stage)

    def table(self) -> str:
        """One line per stage, then the first difference in full.

        "given its own inputs: right" stands beside a stage that differs only because an earlier one
        does; "3 of 64 wrong" where it is wrong by itself.
        """
        lines = [f"{'stage':<12}{'result':<10}{'differing':<22}{'max ulp':<12}{'rel L2':<10}must be"]
        for s in self.stages:
            ulp = "NaN" if s["max_ulp"] == _NAN else str(s["max_ulp"])
            l2 = s["relative_l2"]
            lines.append(
                f"{s['stage']:<12}{s['result']:<10}{s['differing']} / {s['compared']:<12}"[
                    :44
                ].ljust(44)
                + f"{ulp:<12}{l2 if isinstance(l2, str) else format(l2, '.1e'):<10}"
                + ("bit-equal" if s["fixed"] else "within its bounds")
                + _remarks(s)
            )
        if self.first_difference is not None:
            lines.append("first difference: " + _difference(self[self.first_difference], "first"))
            worst = _difference(self[self.first_difference], "worst")
            if worst != _difference(self[self.first_difference], "first"):
                lines.append("worst:            " + worst)
        for s in self.stages:
            lines += [f"undecided: {s['stage']}, {each['text']}" for each in s.get("doubts", [])]
        if self.free not in ([], ["exp2"]):
            lines.append("free: " + ", ".join(_FREE[name] for name in self.free))
        return "\n".join(lines)

    __str__ = table

    def __repr__(self) -> str:
        return f"<karat.CheckReport {self.verdict}>\n{self.table()}"


class Diagnosis:
    """Which kernel would have produced these bits: hypotheses, best first.

    ``matches``: nothing to diagnose. ``explained``: the first hypothesis accounts for the
    candidate. ``hypotheses``: dicts with the fields of docs/json.md (edits, mistakes, explained,
    look_for, ...).
    """

    def __init__(self, report: dict[str, Any]):
        self.report = report
        self.matches: bool = report["matches"]
        self.explained: bool = report["explained"]
        self.hypotheses: list[dict[str, Any]] = report["hypotheses"]

    def names(self) -> list[str]:
        """Each hypothesis in a few words: "p.multiplier 448 -> 256", or a mistake's name."""
        return [
            " + ".join(
                [f"{e['field']} {e['golden']} -> {e['candidate']}" for e in each.get("edits", [])]
                + each.get("mistakes", [])
            )
            for each in self.hypotheses
        ]

    def __str__(self) -> str:
        if self.matches:
            return "matches: nothing to diagnose"
        nearest = " The nearest:" if self.hypotheses else ""
        lines = [] if self.explained else ["No hypothesis explains this." + nearest]
        for rank, (name, each) in enumerate(zip(self.names(), self.hypotheses), 1):
            lines.append(
                f"{rank:2}. {name}: explained {100 * each['explained']:.1f} %, "
                f"equal {100 * each['equal']:.1f} %"
            )
            if each["look_for"] and (rank == 1 or each["accounts"]):
                lines.append(f"    look at: {each['look_for']}")
        return "\n".join(lines)


def _remarks(stage: dict[str, Any]) -> str:
    text = ""
    if stage.get("unlikely"):
        text += f"; {stage['unlikely']} legal but unlikely (beyond 1 - 1e-6)"
    if forced := stage.get("forced"):
        wrong = f"{forced['outside']} of {forced['compared']} wrong"
        text += f"; given its own inputs: {wrong if forced['outside'] else 'right'}"
    flips = stage["differing"] - stage["outside"]
    if stage["stage"] == "p_codes" and flips > 0:
        text += f"; {flips} flips at rounding boundaries"
    for what in ("nan", "inf", "saturated", "zero"):
        golden, candidate = stage["golden"].get(what, 0), stage["candidate"].get(what, 0)
        if golden != candidate:
            text += f"; {what} {golden} -> {candidate}"
    return text


def _difference(stage: dict[str, Any], which: str) -> str:
    found = stage[which]
    places = (
        ("batch", "batch"), ("head", "head"), ("token", "token"), ("channel", "channel"),
        ("group", "scale group"), ("query_tile", "tile"), ("query_block", "query block"),
        ("key_token", "key"), ("key_tile", "key tile"), ("key_block", "key block"),
    )  # fmt: skip
    where = ", ".join(f"{word} {found[field]}" for field, word in places if field in found)
    text = f"{stage['stage']}, {where}: golden {found['golden']}, candidate {found['candidate']}"
    if not stage["fixed"]:
        text += f", legal {found['low']} to {found['high']}"
    return text
