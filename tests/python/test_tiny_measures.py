"""The small video model's measures and intervals, against closed forms."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed (tools/test.sh --long)")
for module in ("safetensors", "PIL", "skimage", "scipy"):
    pytest.importorskip(module, reason=f"{module} is not installed (tools/test.sh --long)")
if not hasattr(torch.nn, "RMSNorm"):
    pytest.skip("PyTorch is older than 2.4: it has no RMSNorm", allow_module_level=True)

EXAMPLE = Path(__file__).parents[2] / "tools/python/examples/tiny_video_dit"
sys.path.insert(0, str(EXAMPLE))

import cells as cell  # noqa: E402
import data  # noqa: E402
import flow  # noqa: E402
import intervals  # noqa: E402
import measures  # noqa: E402
import pictures  # noqa: E402
import ratios  # noqa: E402
import schedule_table  # noqa: E402
from scipy.linalg import sqrtm  # noqa: E402
from scipy.stats import t  # noqa: E402


def test_psnr_ssim_and_drift():
    one = np.full((3, 2, 8, 8), 0.5)
    other = np.full((3, 2, 8, 8), 0.3)
    assert measures.psnr(other, one) == pytest.approx(20 * np.log10(2 / 0.2))
    assert measures.psnr(np.full_like(one, 7.0), one) == pytest.approx(20 * np.log10(2 / 0.5))  # cut
    small = (0.01 * 2) ** 2  # SSIM's first constant; flat images have no variance
    flat = (2 * 0.5 * 0.3 + small) / (0.5**2 + 0.3**2 + small)
    assert measures.ssim(other, one) == pytest.approx(flat)
    assert measures.ssim(one, one) == pytest.approx(1)
    half = one.copy()
    half[:, 1] = 0.3  # the mean over frames
    assert measures.ssim(half, one) == pytest.approx((1 + flat) / 2)
    assert measures.drift(1.25 * one, one) == pytest.approx(0.25)
    assert measures.drift(one + 3, one) == pytest.approx(6)  # latents are not cut


def with_moments(mean, covariance, count=64):
    """Features of exactly these moments."""
    random = np.random.default_rng(0).normal(size=(count, len(mean)))
    random -= random.mean(0)
    white = random @ np.linalg.inv(np.linalg.cholesky(np.cov(random, rowvar=False))).T
    return white @ np.linalg.cholesky(covariance).T + mean


def test_frechet():
    a, b, shift = np.array([1.0, 4.0, 9.0]), np.array([4.0, 1.0, 16.0]), np.array([1.0, -2.0, 3.0])
    found = measures.frechet(with_moments(shift, np.diag(a)), (np.zeros(3), np.diag(b)))
    assert found == pytest.approx(14 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())
    x = np.array([[2.0, 0.9, 0.1], [0.9, 1.0, 0.3], [0.1, 0.3, 3.0]])  # they do not commute
    y = np.array([[1.0, -0.4, 0.2], [-0.4, 2.0, 0.5], [0.2, 0.5, 0.7]])
    wanted = np.trace(x + y - 2 * sqrtm(x @ y).real)
    assert measures.frechet(with_moments(np.zeros(3), x), (np.zeros(3), y)) == pytest.approx(wanted)
    assert measures.frechet(with_moments(shift, x), (shift, x)) == pytest.approx(0, abs=1e-9)


def test_an_interval_of_one_training_is_student_s_over_samples():
    values = np.random.default_rng(1).normal(3, 2, 16)
    value, low, high = intervals.interval([values])
    half = t.ppf(0.975, 15) * np.std(values, ddof=1) / 4
    assert value == pytest.approx(values.mean())
    assert (high - value, value - low) == pytest.approx((half, half), rel=0.08)  # 1000 draws


def test_an_interval_of_several_trainings_is_student_s_over_them():
    """Samples that agree leave the spread over trainings alone."""
    groups = [np.full(16, x) for x in (1.0, 2.0, 4.0)]
    value, low, high = intervals.interval(groups)
    half = t.ppf(0.975, 2) * np.std([1, 2, 4], ddof=1) / np.sqrt(3)
    assert value == pytest.approx(7 / 3) and (high - low) / 2 == pytest.approx(half, rel=0.08)
    assert intervals.interval([np.full(4, 5.0)] * 3) == (5, 5, 5)


def test_held_out_loss_is_the_flow_s_squared_error():
    """Of a model that says 0 it is the mean square of noise - video."""
    seen = []

    def silent(x, sigma, label):
        seen.append((x, float(sigma), int(label)))
        return torch.zeros_like(x)

    found = measures.held_out_loss(silent, 2)
    for index, lost in enumerate(found):
        videos, labels = data.batch("reference", range(index, index + 1))
        noise = flow.start([index], videos.shape[1:]).numpy()
        assert lost == pytest.approx(np.mean((noise - videos) ** 2), rel=1e-5)
        x, sigma, label = seen[index]
        assert sigma == (0.25, 0.75)[index] and label == labels[0]
        np.testing.assert_allclose(x, (1 - sigma) * videos + sigma * noise, atol=1e-6)


def test_ratios_are_geometric_means_sample_by_sample(monkeypatch):
    cells = {
        "base-0.fine": {"drift": [3.0, 8.0]}, "base-0.window": {"drift": [1.0, 4.0]},
        "base-0.fp8": {"drift": [np.sqrt(8.0), 0.0]}, "base-1.fine": {"drift": [1.0, 1.0]},
    }  # fmt: skip
    rows = [
        {"name": "one", "of": "drift", "over": ["base-{seed}", "fine"],
         "under": [["base-{seed}", "window"]]},
        {"name": "both", "of": "drift", "over": ["base-{seed}", "fine"],
         "under": [["base-{seed}", "window"], ["base-{seed}", "fp8"]]},
        {"name": "none", "of": "drift", "over": ["base-{seed}", "coarse"],
         "under": [["base-{seed}", "window"]]},
    ]  # fmt: skip
    monkeypatch.setattr(ratios.json, "loads", lambda _: {"ratios": rows})
    made = ratios.ratios(cell.Cells({"cells": cells, "data": {}}))
    # seed 1 has no window, so that seed 0 alone counts: sqrt(3 * 2), and sqrt(3/3 * 8/4)
    assert [x.seeds for x in made] == [[0], [0], []]
    assert made[0].text.startswith("2.45 (") and made[1].text.startswith("1.41 (")
    assert made[2].text == "" and made[2].trained == "not run"


def test_the_share_recovered_is_of_means():
    """Full precision 1, 6 and 3 more without training through it, 2 more with: (5 - 2) / (5 - 1)."""
    full, without, through = (np.array(x) for x in ([1.0, 1], [7.0, 3], [2.0, 2]))
    assert ratios.recovered_share([np.stack((full, without, through), 1)] * 2) == 75
    cells = {
        "control-0.dense": {"loss": full}, "control-0.coarse": {"loss": without},
        "coarse_qat-0.coarse": {"loss": through},
    }  # fmt: skip
    told = {x.name: x for x in ratios.recovered(cell.Cells({"cells": cells, "data": {}}))}
    assert told["coarse: lost loss recovered, FP8 backward"].text.startswith("75 (")
    assert told["fine: lost loss recovered, FP8 backward"].seeds == []


def test_a_claim_without_its_figures_is_undecided(monkeypatch):
    rows = [{"claim": "c", "verdicts": [["for", {"a, loss": [1, None]}]],
             "figures": ["a, loss", "b, drift"], "text": "{a, loss} and {b, drift}"}]  # fmt: skip
    monkeypatch.setattr(ratios.json, "loads", lambda _: {"claims": rows})
    lines = [ratios.claims(x).splitlines()[2] for x in ({"a, loss": "1", "b, drift": "2"}, {"a, loss": "1"})]
    assert lines[0] == "| c | **for** | 1 and 2 |"
    assert lines[1] == "| c | **undecided: not run** | 1 and not run |"


def test_a_verdict_needs_whole_intervals():
    rules = [["for", {"a": [1.1, None], "b": [2, 3]}], ["against", {"a": [None, 1.1]}]]
    for a, b, told in (
        ("1.2 (1.1 to 1.3)", "2.5", "for"), ("1.2 (1.09 to 1.3)", "2.5", "undecided"),
        ("1.2 (1.1 to 1.3)", "2.5 (2 to 3.01)", "undecided"), ("0.9 (-1e+03 to 1.1) %", "9", "against"),
    ):  # fmt: skip
        assert ratios.verdict(rules, {"a": a, "b": b}) == told


def test_every_verdict_names_figures_that_it_shows():
    for row in json.loads((EXAMPLE / "claims.json").read_text())["claims"]:
        for _, wanted in row["verdicts"]:
            assert wanted and set(wanted) <= set(row["figures"])
        assert all("{" + name + "}" in row["text"] for name in row["figures"])


def test_principal_components_are_white():
    random = np.random.default_rng(2)
    seen = random.normal(size=(400, 5)) @ random.normal(size=(5, 5)) + 3
    mean, covariance = measures.moments(seen)
    onto = measures.principal(mean, covariance, 3)
    found = measures.moments((seen - mean) @ onto)
    np.testing.assert_allclose(found[0], 0, atol=1e-9)
    np.testing.assert_allclose(found[1], np.eye(3), atol=1e-9)
    left = seen - mean - (seen - mean) @ onto @ np.linalg.pinv(onto)
    assert np.trace(np.cov(left, rowvar=False)) == pytest.approx(np.linalg.eigvalsh(covariance)[:2].sum())


def test_schedules_are_compared_at_equal_work():
    def one(name, cost, predicted, drift):
        return {"name": name, "kernels": ["coarse"], "cost": cost, "predicted": predicted,
                "aligned": predicted, "drift": [[0.0, x] for x in drift],
                "measured": np.sqrt(np.mean(np.square(drift)))}  # fmt: skip

    chosen = one(schedule_table.THREE_PHASES, 0.4, 1, (1.0, 2.0))
    others = [one("a", 0.5, 2, (2.0, 4.0)), one("b", 0.5, 4, (3.0, 4.0)), one("c", 0.5, 3, (4.0, 5.0))]
    result = {"work": 0.5, "schedules": [chosen, *others], "step_weights": [8.0, 2.0, 1.0, 0.5]}
    told = schedule_table.figures(result)
    assert told["three phases / a, drift"].startswith("0.5 (")
    assert told["first step / middle step, weight"] == "8"
    assert told["equal work, rank correlation"] == "0.50"
    assert told["all, rank correlation"] == "0.80"


def test_rows_of_a_picture_have_their_names():
    videos = np.zeros((2, 3, 2, 24, 24))
    strip = pictures.strip(videos, enlarge=1)
    made = pictures.named(strip, ["dense", "fine"], width=60)
    assert made.shape == (strip.shape[0], strip.shape[1] + 60, 3)
    assert (made[:, 60:] == strip).all()
    upper, lower = made[:25, :60], made[25:, :60]
    assert (upper < 128).any() and (lower < 128).any() and (upper != lower).any()


def test_a_folder_without_samples_is_refused(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    import charts

    video = np.zeros((3, 12, 24, 24))
    cells = cell.Cells({"cells": {"base-0.fine": {}}, "data": {}})
    np.savez(tmp_path / "base-0.dense.npz", **{"1": video})  # sampled, not measured
    with pytest.raises(SystemExit, match="holds no samples"):
        charts.frames(cells, tmp_path, tmp_path / "f.png", [1])
    np.savez(tmp_path / "base-0.fine.npz", **{"1": video})
    charts.frames(cells, tmp_path, tmp_path / "f.png", [1])
    assert (tmp_path / "f.png").exists()


def test_phases_are_told_in_words():
    assert schedule_table.phases(["coarse"] * 5 + ["fine"] * 2) == "coarse 5, fine 2"
    mixed = list(itertools.chain(*[["fine", "coarse"]] * 4))
    assert schedule_table.phases(mixed) == "mixed: coarse 4, fine 4"
