"""Assertions for kernel tests.

import karat.testing

def test_my_kernel(karat_golden):
    golden = karat_golden("fpsattention", grid=(6, 16, 16), torch=True)
    karat.testing.assert_matches(golden, my_kernel(*golden.inputs))
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ._errors import UsageError
from ._golden import Golden, PathLike, check
from ._golden import diagnose as explain
from ._report import CheckReport


def assert_matches(
    golden: Golden | PathLike,
    output: Any,
    *,
    stages: Sequence[str] | None = None,
    layout: str = "BHSD",
    v_layout: str | None = None,
    order: str = "original",
    allow: str | Sequence[str] = (),
    error_ratio: float | None = None,
    strict: bool = False,
    diagnose: bool = False,
) -> CheckReport:
    """Raises AssertionError with what ``karat check`` prints unless `output` matches; an undecided
    verdict is no match.

    output: the kernel's o, a dict of stages by name, or a file; it, layout, v_layout, order, allow,
        error_ratio and strict as for karat.check. stages: judge these alone; each must be there.
    diagnose: a failure also says what ``karat diagnose`` makes of the output: the recipe edit or
        mistake that explains it. That takes seconds to minutes, only where something fails.

    Returns the report.
    """
    __tracebackhide__ = True
    if stages is not None:
        if not isinstance(output, Mapping):
            output = {"o": output} if not isinstance(output, (str, Golden)) else output
        if isinstance(output, Mapping):
            missing = [stage for stage in stages if stage not in output]
            if missing:
                raise UsageError(
                    f"output: lacks {', '.join(missing)}; it holds {', '.join(output)}"
                )
            output = {stage: output[stage] for stage in stages}
    report = check(
        golden, output, layout=layout, v_layout=v_layout, order=order, allow=allow,
        error_ratio=error_ratio, strict=strict,
    )  # fmt: skip
    judged = report.stages if stages is None else [s for s in report.stages if s["stage"] in stages]
    if stages is not None and len(judged) < len(stages) and not isinstance(output, Mapping):
        raise UsageError(f"stages: {', '.join(stages)} are not all in {output}")
    if {stage["result"] for stage in judged} & {"differs", "undecided"}:
        *table, verdict = report.table().splitlines()
        lines = [verdict, *table]
        if diagnose:
            lines.append(str(explain(golden, output, layout=layout, order=order)))
        raise AssertionError("\n".join(lines))
    return report
