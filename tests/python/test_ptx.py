"""A kernel's own PTX from Python: outputs, reports, and what is refused."""

import json

import numpy as np
import pytest

import karat

KERNEL = """
.version 8.0
.target sm_90a
.visible .entry add(.param .u64 x, .param .u64 out, .param .f32 c) {
.reg .b32 %r<4>; .reg .b64 %d<4>; .reg .f32 %f<4>; .shared .b32 word;
ld.param.u64 %d1, [x]; ld.param.u64 %d2, [out]; ld.param.f32 %f1, [c];
mov.u32 %r1, %tid.x; mad.wide.u32 %d1, %r1, 4, %d1; mad.wide.u32 %d2, %r1, 4, %d2;
ld.global.f32 %f2, [%d1]; add.f32 %f2, %f2, %f1; st.global.f32 [%d2], %f2; BODY
}
"""


def launch(body="", **more):
    x = np.arange(64, dtype=np.float32)
    given = {
        "block": (64,), "tensors": {"x": x, "out": np.zeros(64, np.float32)}, "outputs": ["out"],
        "parameters": [{"pointer": "x"}, {"pointer": "out"}, {"f32": 0.5}],
    }  # fmt: skip
    return karat.ptx.run(KERNEL.replace("BODY", body), **(given | more))


def test_outputs_are_new_arrays_of_the_given_type():
    result = launch()
    assert result.outputs["out"].dtype == np.float32
    np.testing.assert_array_equal(result.outputs["out"], np.arange(64) + np.float32(0.5))
    assert result.ground == "by definition"
    assert result.report["warp_instructions"] == 18


def test_hazards_are_found_under_every_schedule():
    assert launch(hazards=True).hazards == []
    for schedule in ("eager", "late", "random"):
        found = launch("st.shared.u32 [word], %r1;", hazards=True, schedule=schedule, seed=3).hazards
        assert len(found) == 1 and "race with a write" in found[0]


def test_a_fault_is_an_exception_of_its_own():
    with pytest.raises(karat.ptx.KernelFault, match="ptx:8: .*no buffer holds"):
        launch("st.global.f32 [%d2+1048576], %f2;")


def test_refusals_name_what_is_wrong():
    with pytest.raises(karat.FileError, match="ptx:8: frobnicate: not supported"):
        launch("frobnicate;")
    with pytest.raises(karat.UsageError, match='launch: outputs: "o" is no tensor'):
        launch(outputs=["o"])
    with pytest.raises(karat.UsageError, match="add takes 3, the launch gives 0"):
        launch(parameters=[])
    with pytest.raises(karat.UsageError, match="schedule"):
        launch(schedule="early")


COPY = """
.version 8.0
.target sm_90a
.visible .entry copy(.param .u64 from, .param .u64 to, .param .u32 words) {
.reg .b32 %r<6>; .reg .b64 %d<6>; .reg .pred %p;
ld.param.u64 %d1, [from]; ld.param.u64 %d2, [to]; ld.param.u32 %r1, [words];
mov.u32 %r2, %tid.x; mov.u32 %r3, %ctaid.x; mad.lo.u32 %r2, %r3, 256, %r2;
setp.ge.u32 %p, %r2, %r1; @%p exit;
mad.wide.u32 %d1, %r2, 4, %d1; mad.wide.u32 %d2, %r2, 4, %d2;
ld.global.u32 %r4, [%d1]; EDIT st.global.u32 [%d2], %r4;
}
"""


@pytest.mark.parametrize(
    "edit, status, verdict",
    [("", 0, "matches"), ("setp.eq.u32 %p, %r2, 77; @%p xor.b32 %r4, %r4, 0x4000;", 1, "differs")],
)
def test_a_run_ends_with_a_verdict(tmp_path, golden, command_line, edit, status, verdict):
    o = np.asarray(golden["o"])
    (tmp_path / "copy.ptx").write_text(COPY.replace("EDIT", edit))
    karat.write_tensors(tmp_path / "in.safetensors", {"given": golden["o"]})
    words = o.size // 2
    launch = {
        "schema": "karat.launch", "version": 1, "ptx": "copy.ptx", "block": [256],
        "grid": [(words + 255) // 256],
        "tensors": {
            "given": {"file": "in.safetensors"},
            "out": {"dtype": "bf16", "shape": list(o.shape), "output": True},
        },
        "parameters": [{"pointer": "given"}, {"pointer": "out"}, {"i32": words}],
    }  # fmt: skip
    (tmp_path / "launch.json").write_text(json.dumps(launch))
    ran = command_line(
        "run", str(tmp_path / "launch.json"), "-o", str(tmp_path / "out.safetensors"),
        "--golden", golden.path, "--map", "o=out", "--json",
    )  # fmt: skip
    assert ran.returncode == status, ran.stderr
    assert json.loads(ran.stdout)["check"]["verdict"] == verdict
