# Compares every stage of the backward that `backward_stages` wrote with the NumPy program's.

import json
import struct

import numpy as np

from backward import Gradients, QueryHead
from check_golden import Comparison
from formats import F32
from quantise import bf16_of

TYPES = {"F32": F32, "U8": np.uint8, "I32": np.int32}


def read(path):
    """Arrays of a safetensors file, by name."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        header, data = json.loads(file.read(size)), file.read()
    header.pop("__metadata__", None)
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], TYPES[entry["dtype"]])
            .reshape(entry["shape"]) for name, entry in header.items()}


def gradients_of(arrays, program, choices, grid, edit_mask):
    """The NumPy programs' answer to the same inputs."""
    heads, h = [], 0
    while f"head/{h}/q" in arrays:
        own = {name: arrays[f"head/{h}/{name}"] for name in ("q", "d_o", "o", "lse")}
        forward = program(grid, own["q"], arrays["k"], arrays["v"], bf16_of)
        edit_mask(forward)
        positions = forward.order.token_of_position
        heads.append(QueryHead(forward, own["o"][positions], own["lse"].ravel()[positions], own["d_o"][positions]))
        h += 1
    return Gradients(choices, heads)


def compare_gradients(path, program, choices, grid, edit_mask=lambda head: None):
    arrays, comparison = read(path), Comparison()
    made = gradients_of(arrays, program, choices, grid, edit_mask)
    order = made.heads[0].forward.order.token_of_position
    for h, delta in enumerate(made.delta):
        if f"head/{h}/o_unquantised_p" in arrays:
            comparison.equal("o'", f"head {h}", arrays[f"head/{h}/o_unquantised_p"][order],
                             made.single_heads[h].o)
        comparison.equal("delta", f"head {h}", arrays[f"head/{h}/delta"].ravel()[order], delta)
    compare_taps(comparison, arrays, made)
    for name, x in [(f"head/{h}/dq", x) for h, x in enumerate(made.dq)] + [("dk", made.dk), ("dv", made.dv)]:
        comparison.equal(name.split("/")[-1], name, arrays[name][order], x)
    return comparison


def compare_taps(comparison, arrays, made):
    for index, queries in enumerate(made.query_blocks):
        at, after = f"queries/{index}/", made.dq_after[index]
        visits = [made.visits[index, keys] for keys, _ in after]
        if not visits:
            continue
        comparison.equal("key blocks", at, arrays[at + "key_block"], np.array([k for k, _ in after], np.int32))
        for stage in ("s", "p", "dp", "ds"):
            comparison.equal(stage, at, arrays[at + stage], np.hstack([getattr(v, stage) for v in visits]))
        for stage in ("p", "ds"):
            operands = [getattr(v, stage + "_operand") for v in visits]
            comparison.equal(f"{stage} operand", at, arrays[f"{at}{stage}_operand"],
                             np.hstack([operand.values for operand in operands]))
            if operands[0].codes is not None:
                comparison.equal(f"{stage} codes", at, arrays[f"{at}{stage}_codes"],
                                 np.hstack([operand.codes for operand in operands]).view(np.uint8))
        comparison.equal("dq per block", at, arrays[at + "dq"], np.vstack([x for _, x in after]))
    for index in range(len(made.key_blocks)):
        at, after = f"keys/{index}/", made.dk_after[index]
        if not after:
            continue
        comparison.equal("query blocks", at, arrays[at + "query_block"], np.array([q for q, _ in after], np.int32))
        comparison.equal("dk per block", at, arrays[at + "dk"], np.vstack([x for _, x in after]))
        comparison.equal("dv per block", at, arrays[at + "dv"],
                         np.vstack([x for _, x in made.dv_after[index]]))
