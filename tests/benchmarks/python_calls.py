"""What a call of the Python package costs beside its work: microseconds of the quickest of many.

usage: build/python/venv/bin/python tests/benchmarks/python_calls.py
"""

import timeit

import ml_dtypes
import numpy as np

import karat

X = np.ones(16, np.float32)
A = np.ones((1, 32), ml_dtypes.float8_e4m3fn)
Q = np.ones((1, 1, 1, 32), np.float32)
CALLS = {
    "encode": lambda: karat.encode(X, "e4m3", policy="torch"),
    "decode": lambda: karat.decode(A),
    "scaled_mm": lambda: karat.scaled_mm(A, A.T, threads=1),
    "attend": lambda: karat.attend(Q, Q, Q, recipe="dense_f32", threads=1),
}

if __name__ == "__main__":
    for name, call in CALLS.items():
        print(f"{name:10} {1e6 * min(timeit.repeat(call, number=1, repeat=300)):6.1f} us")
