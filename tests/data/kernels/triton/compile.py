"""Compiles the kernels of this folder for sm_90a, without a GPU: NAME.ptx and NAME.json each.

    python compile.py [NAME ...]

Needs Triton (3.9.0 wrote the files here). Debug lines are dropped, since they hold paths.
"""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

HERE = Path(__file__).parent
SWIZZLES = ("none", "32B", "64B", "128B")
BF16, F32, I32 = "*bf16", "*fp32", "*i32"


def tile(rows, columns=128, element="fp8e4nv"):
    return f"tensordesc<{element}[{rows},{columns}]>"


def each(names, type):
    return dict.fromkeys(names.split(), type)


WINDOW = {
    **each("centre tile partial_counts partial_indices full_counts full_indices", I32),
    **each("S MAXB half_t half_h half_w", "i32"), "factor": "fp32",
}  # fmt: skip
BACKWARD = {
    **WINDOW, **each("q k v d_out", BF16), **each("lse delta", F32), "softmax_scale": "fp32",
}  # fmt: skip
SPARSE = {
    **each("q_scale k_scale v_scale lse", F32), **each("counts indices", I32),
    **each("S QB KB MAXB", "i32"), "factor": "fp32",
}  # fmt: skip

# name: (module, types of what is no constexpr, constexprs, options); integers in ALIGNED are
# multiples of 16. Without fusion every product and sum is rounded on its own, as Triton's default
# will be; sparse_fp8 has the older default.
SEPARATE = {"enable_fp_fusion": False}
KERNELS = {
    "sparse_fp8_tma": (
        "sparse_fp8", {**SPARSE, **each("q k vt", tile(128)), "out": tile(128, element="bf16")},
        {"D": 128, "BM": 128, "BN": 128, "P_SCALE": 448.0}, {"num_warps": 8, "num_stages": 3}),
    "sparse_fp8_pointers": (
        "sparse_fp8", {**SPARSE, **each("q k vt", "*fp8e4nv"), "out": BF16},
        {"D": 128, "BM": 128, "BN": 128, "P_SCALE": 448.0}, {"num_warps": 8, "num_stages": 3}),
    "fpsattention": (
        "fpsattention",
        {"q": tile(64), "k": tile(128), "vt": tile(128), **each("q_scale k_scale v_scale lse", F32),
         **each("q_start q_rows q_tile k_start k_rows k_tile counts indices", I32), "out": BF16,
         **each("S TILES MAXB", "i32"), "factor": "fp32"},
        {"D": 128, "BM": 64, "BN": 128}, {"num_warps": 4, "num_stages": 2, **SEPARATE}),
    "sta_bf16": (
        "sta_bf16",
        {**each("q k v out", BF16), "lse": F32,
         **each("q_start q_rows k_start k_rows counts indices", I32), **each("S MAXB", "i32"),
         "factor": "fp32"},
        {"D": 128, "BM": 64, "BN": 128}, {"num_warps": 4, "num_stages": 2, **SEPARATE}),
    "flex_bf16": (
        "flex_bf16", {**WINDOW, **each("q k v out", BF16), "lse": F32},
        {"D": 128, "BM": 128, "BN": 64, "LISTED": 128},
        {"num_warps": 8, "num_stages": 2, **SEPARATE}),
    "flex_delta": (
        "flex_backward", {**each("out d_out", BF16), "delta": F32, "S": "i32"},
        {"D": 128, "BM": 64}, {"num_warps": 4, **SEPARATE}),
    "flex_dq": (
        "flex_backward", {**BACKWARD, "dq": BF16}, {"D": 128, "BM": 64, "BN": 64},
        {"num_warps": 4, "num_stages": 2, **SEPARATE}),
    "flex_dkv": (
        "flex_backward", {**BACKWARD, "dk": BF16, "dv": BF16}, {"D": 128, "BM": 64, "BN": 64},
        {"num_warps": 4, "num_stages": 2, **SEPARATE}),
}  # fmt: skip
ALIGNED = {"sparse_fp8_tma": ["S"], "sparse_fp8_pointers": ["S"]}


def without_debug_lines(ptx):
    kept, skipping = [], False
    for line in ptx.splitlines():
        text = line.strip()
        skipping = skipping or text.startswith(".section")
        if not skipping and not text.startswith((".loc", ".file")):
            kept.append(line.split(" // ")[0].rstrip())
        if skipping and text == "}":
            skipping = False
    return re.sub(r",\s*debug", "", "\n".join(kept)) + "\n"


def build(name):
    module, types, constexprs, options = KERNELS[name]
    kernel = getattr(import_module(module), name)
    signature = {a: types.get(a, "constexpr") for a in kernel.arg_names}
    assert set(constexprs) == {a for a, type in signature.items() if type == "constexpr"}
    aligned = [a for a in kernel.arg_names if signature[a][0] == "*" or a in ALIGNED.get(name, [])]
    places = {(kernel.arg_names.index(a),): [["tt.divisibility", 16]] for a in aligned}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constexprs, attrs=places)
    done = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    meta = done.metadata
    maps = iter(meta.tensordesc_meta or ())
    arguments = []
    for a, type in signature.items():
        if type == "constexpr":
            continue
        row = {"name": a, "type": type.split("<")[0]}
        if type.startswith("tensordesc"):
            described = next(maps)
            row |= {"box": described["block_size"], "swizzle": SWIZZLES[described["swizzle"]]}
        arguments.append(row)
    launch = {
        "kernel": name, "source": f"{module}.py", "triton": triton.__version__,
        "constexprs": constexprs, "options": options, "block": [32 * meta.num_warps],
        "dynamic_shared": meta.shared, "global_scratch": meta.global_scratch_size,
        "arguments": arguments,
    }  # fmt: skip
    ptx = without_debug_lines(done.asm["ptx"])
    (HERE / f"{name}.ptx").write_text(ptx)
    (HERE / f"{name}.json").write_text(json.dumps(launch, indent=1) + "\n")
    print(f"{name}: {ptx.count(chr(10))} lines, {meta.shared} bytes shared", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    for name in sys.argv[1:] or KERNELS:
        build(name)
