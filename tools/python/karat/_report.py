"""What a check or a diagnosis found, as data and in words."""

from __future__ import annotations

from typing import Any


class CheckReport:
    """The verdict on a candidate. True when every stage is equal, or differs no more than legal
    kernels do.

    ``verdict``: "matches", "undecided" (inside the worst case, but no legal kernel was seen to do
    this) or "differs". ``stages``: one dict per stage with the fields of docs/json.md (stage, result, differing,
    max_ulp, forced, first, worst, ...), in the order of computation. ``free``: what the legal
    ranges leave open ("exp2", "order", "contraction", "reciprocal"). ``report``: all of it, the
    fields of ``karat check --json``.
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

    @property
    def tiles(self) -> list[dict[str, Any]]:
        """Query tiles in which o differs: batch, head, tile, compared, differing, outside."""
        return self.report["tiles"]

    @property
    def truth(self) -> dict[str, Any] | None:
        """Relative L2 errors against FP64 of ``golden`` and ``candidate`` over ``rows`` rows; None
        where o was not judged."""
        return self.report.get("truth")

    @property
    def gradients(self) -> list[dict[str, Any]]:
        """Errors of dq, dk and dv against FP64, where they were judged."""
        return self.report.get("gradients", [])

    def table(self) -> str:
        """The report in words, line for line what ``karat check`` prints: stages, the first
        difference in full, the worst tiles, the error against FP64."""
        return self.report["text"].rstrip("\n")

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
        """What ``karat diagnose`` prints."""
        return self.report["text"].rstrip("\n")
