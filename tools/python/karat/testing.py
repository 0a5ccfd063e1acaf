"""Assertions for kernel tests.

import karat.testing

def test_my_kernel(karat_golden):
    golden = karat_golden("fpsattention", grid=(6, 16, 16))
    karat.testing.assert_matches(golden, my_kernel(*golden.inputs))
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ._errors import UsageError
from ._golden import Golden, PathLike, check
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
) -> CheckReport:
    """Raises AssertionError with the stage table and the first divergence unless `output` matches.

    output: the kernel's o, a dict of stages by name, or a file; it, layout, v_layout, order and
        allow as for karat.check. stages: judge these alone; each must be there.

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
    report = check(golden, output, layout=layout, v_layout=v_layout, order=order, allow=allow)
    judged = report.stages if stages is None else [s for s in report.stages if s["stage"] in stages]
    if stages is not None and len(judged) < len(stages) and not isinstance(output, Mapping):
        raise UsageError(f"stages: {', '.join(stages)} are not all in {output}")
    if any(stage["result"] == "differs" for stage in judged):
        subject = golden.path if isinstance(golden, Golden) else golden
        raise AssertionError(f"does not match {subject}\n{report.table()}")
    return report
