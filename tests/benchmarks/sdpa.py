"""One head in FP32: dense_f32 beside PyTorch's scaled_dot_product_attention on the same processor, in
turn. Medians of the times, and of the ratios of neighbours; their outputs must be close.

usage: python tests/benchmarks/sdpa.py [TOKENS [THREADS [TURNS]]]    default 32760, 2 and 5
"""

import statistics
import sys
import time

import torch

import karat

TOKENS, THREADS, TURNS = ([int(x) for x in sys.argv[1:]] + [32760, 2, 5][len(sys.argv) - 1 :])[:3]


def seconds(work):
    """Wall and processor seconds of a call, and what it returns."""
    wall, processor = time.perf_counter(), time.process_time()
    made = work()
    return time.perf_counter() - wall, time.process_time() - processor, made


def main():
    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(20)
    q, k, v = (torch.randn(1, 1, TOKENS, 128, generator=generator) for _ in range(3))
    turns = []
    for _ in range(TURNS):
        theirs = seconds(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v))
        ours = seconds(lambda: karat.attend(q, k, v, recipe="dense_f32", threads=THREADS))
        torch.testing.assert_close(ours[2], theirs[2], rtol=1e-4, atol=1e-5)
        turns.append((theirs[:2], ours[:2]))
    print(f"{TOKENS} tokens, d = 128, threads: {THREADS}, PyTorch {torch.__version__}\n")
    print("| time | PyTorch s | dense_f32 s | ratio |\n|---|---:|---:|---:|")
    for at, name in enumerate(["wall", "processor"]):
        theirs, ours = ([turn[side][at] for turn in turns] for side in (0, 1))
        ratio = statistics.median(o / t for o, t in zip(ours, theirs))
        print(
            f"| {name} | {statistics.median(theirs):.2f} | {statistics.median(ours):.2f} | {ratio:.2f} |"
        )


if __name__ == "__main__":
    main()
