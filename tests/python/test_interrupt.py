"""Ctrl-C stops long calls before they end, and nothing half written stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import karat


@pytest.fixture(autouse=True)
def interrupts_are_heard():
    """Shells start what runs in the background with SIGINT ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def long_heads():
    """One tensor for q, k and v: some 20 seconds of attention on two cores, truth far more."""
    return (np.zeros((1, 16, 16384, 128), np.float32),) * 3


def stopped_by_its_second_signal(call):
    """Signals come all the time. Those that wait for a call's end reach the handler as one, so that a
    second one stops only a call that looks for them."""
    seen = []

    def handler(*_):
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        call()
    except KeyboardInterrupt:
        return True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return False


def test_attend(long_heads):
    assert stopped_by_its_second_signal(lambda: karat.attend(*long_heads, recipe="dense_f32"))
    q = np.ones((1, 1, 64, 32), np.float32)  # and the next call is as if nothing had been
    assert np.array_equal(karat.attend(q, q, q, recipe="dense_f32"), q)


def test_truth(long_heads):
    assert stopped_by_its_second_signal(lambda: karat.truth(*long_heads))


def test_a_handler_that_raises_nothing_stops_nothing():
    """Signals reach their handlers while the library works; the bits are those of any call."""
    q = np.linspace(-2, 2, 4096 * 64, dtype=np.float32).reshape(1, 1, 4096, 64)
    q = np.repeat(q, 8, axis=1)
    expected = karat.attend(q, q, q, recipe="dense_f32")
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        o = karat.attend(q, q, q, recipe="dense_f32", threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.array_equal(o, expected)
    assert len(seen) >= 2  # all that wait for the call's end are one


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A golden file and stages of a kernel that adds up in another order: long to judge."""
    path = tmp_path_factory.mktemp("long") / "long.h5"
    heads = karat.generate("video", grid=(4, 32, 32), heads=1, head_dim=64, seed=3)
    golden = karat.save(path, *heads, recipe="dense_f32", grid=(4, 32, 32), taps="none")
    other = karat.Recipe("dense_f32").replace(softmax={"row_sum_order": "pairwise"})
    found = karat.stages(*heads, recipe=other)
    return golden, {name: found[name] for name in ("l", "lse", "o")}


def test_check_and_diagnose(judged):
    golden, found = judged
    reversed_tokens = found["o"][:, :, ::-1].copy()
    assert stopped_by_its_second_signal(lambda: golden.check(found, allow="order,contraction"))
    assert stopped_by_its_second_signal(lambda: golden.diagnose(reversed_tokens))


SAVE = """
import sys, numpy as np, karat
q = np.zeros((1, 16, 16384, 128), np.float32)
print("ready", flush=True)
karat.save(sys.argv[1], q, q, q, recipe="dense_f32", taps="none")
"""


def test_save_leaves_nothing(tmp_path):
    """As a terminal does it: the signal goes to the whole group, writing children too."""
    path = tmp_path / "case.h5"
    process = subprocess.Popen(
        [sys.executable, "-c", SAVE, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(5)  # it hashes its inputs first
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode != 0 and "KeyboardInterrupt" in error
    assert list(tmp_path.iterdir()) == []


def test_check_on_the_command_line(judged, command_line, tmp_path):
    golden, found = judged
    file = tmp_path / "found.safetensors"
    karat.write_tensors(file, found)
    line = ["check", golden.path, file, "--allow", "order,contraction", "--threads", 1]
    process = command_line.start(*line)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode not in (0, 1, 2, 3, 4) and "traceback" not in error.lower()


def test_a_call_of_another_thread_goes_on():
    """Python runs handlers in its main thread alone."""
    q = np.zeros((1, 1, 8192, 128), np.float32)
    made = []
    thread = threading.Thread(target=lambda: made.append(karat.attend(q, q, q, recipe="dense_f32")))

    def wait():  # not by join(): interrupted, it takes the thread for ended
        while not made:
            time.sleep(0.01)

    main = threading.main_thread().ident
    thread.start()
    threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        wait()
    assert not made
    wait()
    assert np.array_equal(made[0], q)
