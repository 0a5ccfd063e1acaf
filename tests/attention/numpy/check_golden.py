# Recomputes a golden file from its inputs by the NumPy program of its recipe and compares every
# stage of
# every tapped query block bit for bit:  check_golden.py GOLDEN.h5
# Prints one line per stage; exits 1 with the first difference.

import json
import sys

import h5py
import numpy as np

from attention import total_row_sum
from case import Case
from formats import F32, F64, bf16_value
from programs import EDITED, FOR_CASES, PROGRAMS

OPERANDS = ("q", "k", "v")


class Comparison:
    """Counts per stage; remembers the first difference."""

    def __init__(self):
        self.values, self.differing, self.first = {}, {}, None

    def equal(self, stage, place, golden, page):
        """Bit for bit; `place` says where an index of the arrays lies."""
        golden, page = np.asarray(golden), np.asarray(page)
        assert golden.shape == page.shape, (stage, golden.shape, page.shape)
        if golden.dtype == F32:
            page = page.astype(F32, casting="no")
            different = golden.view(np.uint32) != page.view(np.uint32)
        else:
            different = golden != page
        self.record(stage, place, golden, page, different)

    def within(self, stage, place, golden, page, bound):
        self.record(stage, place, golden, page, ~(np.abs(golden - page) <= bound))

    def record(self, stage, place, golden, page, different):
        self.values[stage] = self.values.get(stage, 0) + golden.size
        self.differing[stage] = self.differing.get(stage, 0) + int(different.sum())
        if self.first is None and different.any():
            index = tuple(int(i) for i in np.argwhere(different)[0])
            self.first = (f"first difference: {stage}, {place}, index {index}: "
                          f"golden {golden[index]!r}, page {page[index]!r}")

    def report(self):
        for stage, values in self.values.items():
            differing = self.differing[stage]
            verdict = f"{differing} differ" if differing else "equal"
            print(f"{stage:<16} {values:>10} values  {verdict}")
        if self.first:
            print(self.first)


def program_of(path, recipe):
    programs = PROGRAMS | {name: program for name, (program, _) in (EDITED | FOR_CASES).items()}
    if recipe not in programs:
        sys.exit(f"{path}: no program for the recipe {recipe}; there is one for each of " + ", ".join(PROGRAMS))
    return programs[recipe]


def compare(path, program=None):
    """By `program`, or by the one of the recipe's name."""
    with h5py.File(path) as golden:
        program = program or program_of(path, json.loads(golden.attrs["recipe"])["name"])
        comparison = Comparison()
        case = Case(golden)
        for b, h in np.ndindex(*golden["inputs/q"].shape[:2]):
            check_head(comparison, golden, case, case.head(program, b, h), b, h)
        if "a" not in comparison.values:
            sys.exit(f"{path}: no query block is tapped; make it with --tap all")
        return comparison


def check_head(comparison, golden, case, head, b, h):
    place = f"batch {b}, head {h}"
    order = golden["order"]
    order = order[f"{b}/{h}"] if str(b) in order else order  # of each head, or of all
    comparison.equal("order", place, order["token_at_position"], head.order.token_of_position)
    if "key_token_at_position" in order:
        comparison.equal("order of keys", place, order["key_token_at_position"],
                         head.key_order.token_of_position)
    stages = golden["stages"]
    for name in OPERANDS:
        operand = getattr(head, name)
        codes = np.empty_like(operand.codes)
        tokens = (head.order if name == "q" else head.key_order).token_of_position
        codes[tokens] = operand.codes
        at = b, case.head_of(name, h)
        comparison.equal(f"{name}_codes", place, stages[f"{name}_codes"][at], codes)
        if operand.scales is not None:
            comparison.equal(f"{name}_scale", place, stages[f"{name}_scale"][at], operand.scales)
    if "branch" in stages:
        values = stages["branch"][b, h]
        bits = values if values.dtype == F32 else bf16_value(values)
        comparison.equal("branch", place, bits, head.branch)
    for index in sorted(int(i) for i in stages.get(f"tap/{b}/{h}", ())):
        check_query_block(comparison, stages, head, b, h, index)


def check_query_block(comparison, stages, head, b, h, index):
    place = f"batch {b}, head {h}, query block {index}"
    tap = stages["tap"][str(b)][str(h)][str(index)]
    page = head.run(index)
    rows = head.order.token_of_position[page.begin:page.end]
    tokens = head.key_order.token_of_position
    keys = np.concatenate([tokens[:0]] + [tokens[block.begin:block.end] for block in page.key_blocks])

    comparison.equal("query_token", place, tap["query_token"], rows)
    comparison.equal("key_token", place, tap["key_token"], keys)  # the mask and the order of visits
    blocks = page.key_blocks
    columns, a, s, m, p_codes, l, o = (tap[name][...] for name in ("column_begin", "a", "s", "m", "p_codes", "l", "o"))
    for i, block in enumerate(blocks):
        at = f"{place}, key block {i} of those visited"
        column = slice(columns[i], columns[i + 1])
        comparison.equal("a", at, a[:, column], block.a)
        comparison.equal("s", at, s[:, column], block.s)
        comparison.equal("m", at, m[i], block.m)
        comparison.equal("p_codes", at, p_codes[:, column], block.p_codes)
        comparison.equal("l per block", at, l[i], total_row_sum(block.l))
        comparison.equal("o per block", at, o[i], block.o)

    comparison.equal("final m", place, stages["m"][b, h][rows], page.m)
    comparison.equal("l", place, stages["l"][b, h][rows], page.l)
    comparison.equal("o", place, stages["o"][b, h][rows], page.out)
    check_lse(comparison, place, stages["lse"][b, h][rows], page)


def check_lse(comparison, place, golden, page):
    """lse is defined up to log2's 2^-51 in FP64, hence up to one unit in the last place of FP32."""
    keys = page.l > 0
    comparison.equal("lse", f"{place}, rows without keys", golden[~keys], page.lse[~keys])
    golden, lse, m, l = golden[keys], page.lse[keys], page.m[keys].astype(F64), page.l[keys].astype(F64)
    of_log2 = 2.0**-50 * (np.abs(m) + np.abs(np.log2(l)))
    comparison.within("lse", place, golden, lse, np.spacing(np.abs(lse)) + of_log2)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: check_golden.py GOLDEN.h5")
    result = compare(sys.argv[1])
    result.report()
    sys.exit(1 if result.first else 0)
