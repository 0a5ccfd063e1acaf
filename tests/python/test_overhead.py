"""Nothing is copied that lies as it is needed, and a call costs little beside its work."""

import sys
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

import karat
from karat import _core
from karat._arrays import view


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, np.uint8]
)
def test_numpy_is_read_where_it_lies(dtype):
    x = np.zeros((4, 8), dtype)
    assert view(x, "x").array.ctypes.data == x.ctypes.data


class Foreign:
    """A tensor of another library: DLPack and nothing else."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_is_read_where_it_lies():
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert view(Foreign(x), "x").array.ctypes.data == x.ctypes.data
    assert np.array_equal(karat.encode(Foreign(x), "e4m3"), karat.encode(x, "e4m3"))


def test_results_are_handed_over_not_copied():
    named, _ = _core.generate('{"grid": [2, 4, 4], "head_dim": 64}', 1)
    array = dict((name, a) for name, _, a in named)["q"]
    assert not array.flags.owndata and array.base is not None


def test_attend_allocates_its_outputs_alone():
    q = np.zeros((1, 4, 1024, 64), np.float32)
    karat.attend(q, q, q, recipe="dense_f32")
    tracemalloc.start()
    karat.attend(q, q, q, recipe="dense_f32")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < q.nbytes + 100_000


def functions_entered(call):
    """Functions of Python and C that a call runs, those of its first call left out."""
    call()
    entered = []
    sys.setprofile(lambda frame, event, _: entered.append(event) if "call" in event else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(entered)


def test_a_call_enters_few_functions():
    x = np.ones(16, np.float32)
    a = np.ones((1, 32), ml_dtypes.float8_e4m3fn)
    q = np.ones((1, 1, 1, 32), np.float32)
    assert functions_entered(lambda: karat.encode(x, "e4m3", policy="torch")) < 40
    assert functions_entered(lambda: karat.decode(a)) < 25
    assert functions_entered(lambda: karat.scaled_mm(a, a.T, threads=1)) < 50
    assert functions_entered(lambda: karat.attend(q, q, q, recipe="dense_f32", threads=1)) < 110


def test_a_larger_array_enters_no_more():
    one = np.ones((1, 1, 1, 32), np.float32)
    many = np.ones((1, 2, 64, 32), np.float32)
    few, more = (
        functions_entered(lambda: karat.attend(q, q, q, recipe="dense_f32", threads=1))
        for q in (one, many)
    )
    assert few == more
