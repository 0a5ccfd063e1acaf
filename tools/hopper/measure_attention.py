#!/usr/bin/env python3
"""Times attention kernels on a Hopper GPU and prints the rows that `karat cost --calibrate` reads.

    python3 measure_attention.py > rows.csv
    karat cost --gpu H100 --calibrate rows.csv -o board.json

Needs PyTorch with CUDA and FlashAttention: flash_attn_interface (version 3) or flash_attn (2),
whichever is there; both are timed where both are. Each row is the median of repeated launches, L2
cold, after a warm-up of WARM_MS; clocks are left as they are.
"""

import csv
import importlib
import statistics
import sys

import torch

WARM_MS = 300
REPEATS = 30
# batch, heads, seqlen: short launches show the launch constant, long ones the clock.
SHAPES = [(1, 16, 512), (4, 16, 1024), (4, 16, 4096), (1, 16, 16384)]
HEAD_DIMS = [64, 128]


def kernels():
    for name, module in (("fa3", "flash_attn_interface"), ("fa2", "flash_attn")):
        try:
            yield name, importlib.import_module(module).flash_attn_func
        except ImportError:
            print(f"{module} is not installed: no {name} rows", file=sys.stderr)


def milliseconds(launch):
    """Median of REPEATS launches, each behind a write of more than L2 holds."""
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    spent = 0.0
    while spent < WARM_MS:
        begin.record()
        launch()
        end.record()
        end.synchronize()
        spent += max(begin.elapsed_time(end), 1e-2)
    times = []
    for _ in range(REPEATS):
        flush.zero_()
        begin.record()
        launch()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def main():
    if not torch.cuda.is_available():
        sys.exit("measure_attention: no CUDA device")
    print(f"on {torch.cuda.get_device_name()}", file=sys.stderr)
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["kernel", "dtype", "batch", "heads", "seqlen", "head_dim", "causal", "ms"])
    for name, attention in kernels():
        for head_dim in HEAD_DIMS:
            for causal in (False, True):
                for batch, heads, seqlen in SHAPES:
                    q, k, v = (torch.randn(batch, seqlen, heads, head_dim, device="cuda",
                                           dtype=torch.bfloat16) for _ in range(3))
                    ms = milliseconds(lambda: attention(q, k, v, causal=causal))
                    rows.writerow([name, "bf16", batch, heads, seqlen, head_dim, int(causal),
                                   f"{ms:.6f}"])


if __name__ == "__main__":
    main()
