"""Trace sets that flashinfer-bench reads, and karat as the judge in them."""

import json

import numpy as np
import pytest

import karat
import karat.flashinfer


def test_export_writes_a_trace_set(golden, tmp_path):
    file = karat.flashinfer.export(golden, tmp_path)
    karat.flashinfer.export(golden, tmp_path)
    made = json.loads(file.read_text())
    lines = (
        (tmp_path / "workloads/sparse_attention" / f"{made['name']}.jsonl").read_text().splitlines()
    )
    assert len(lines) == 1
    inputs = json.loads(lines[0])["workload"]["inputs"]
    read = karat.read_tensors(tmp_path / inputs["q"]["path"])
    for name, x in zip("qkv", golden.inputs):
        assert np.array_equal(read[name].view(np.uint16), x.view(np.uint16))
    # The reference is a program: it gives the golden bits.
    space = {}
    exec(made["reference"].replace(".cpu()", "").replace(".to(q.device)", ""), space)
    o, lse = space["run"](*golden.inputs)
    assert golden.check({"o": o, "lse": lse}).passed and np.array_equal(lse, golden["lse"])


def test_judge(golden, tmp_path):
    good = karat.flashinfer.judge(golden, tmp_path, golden["o"], solution="right", latency_ms=2.0,
                                  reference_latency_ms=8.0)  # fmt: skip
    assert good["evaluation"]["status"] == "PASSED"
    assert good["evaluation"]["performance"]["speedup_factor"] == 4
    wrong = golden["o"].copy()
    wrong[0, 1, 7, 3] = 99
    bad = karat.flashinfer.judge(golden, tmp_path, wrong, solution="wrong")["evaluation"]
    assert bad["status"] == "INCORRECT_NUMERICAL" and "performance" not in bad
    assert "head 1, token 7, channel 3" in bad["log"]
    expected = abs(99 - float(golden["o"][0, 1, 7, 3]))
    assert bad["correctness"]["max_absolute_error"] == pytest.approx(expected)


def test_flashinfer_bench_reads_it(golden, tmp_path):
    data = pytest.importorskip("flashinfer_bench.data", reason="flashinfer-bench is not installed")
    karat.flashinfer.export(golden, tmp_path)
    karat.flashinfer.judge(golden, tmp_path, golden["o"], solution="right", latency_ms=1.0)
    karat.flashinfer.judge(golden, tmp_path, np.zeros_like(golden["o"]), solution="wrong")
    traces = data.TraceSet.from_path(str(tmp_path))
    (name,) = traces.definitions
    assert len(traces.workloads[name]) == 1
    statuses = [trace.evaluation.status.value for trace in traces.traces[name]]
    assert sorted(statuses) == ["INCORRECT_NUMERICAL", "PASSED"]
    shapes = traces.definitions[name].get_input_shapes(traces.workloads[name][0].workload.axes)
    assert [tuple(s) for s in shapes] == [golden["q"].shape] * 3
