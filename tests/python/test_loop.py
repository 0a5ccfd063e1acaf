"""karat.loop without a model: what is chosen, what a file may hold, weights and predictions; and what
the command line makes of the same file. Models in the loop are in test_loop_models.py."""

import copy
import itertools
import json
import math

import numpy as np
import pytest

import karat
from karat import loop
from karat.loop._choice import choose
from karat.loop._local import rows_of
from karat.loop._progress import Progress
from karat.loop._study import make
from karat.loop._weights import rank_correlation, with_weights

WINDOW = {"base": "fpsattention", "name": "window", "mask": {"window": [3, 3, 1]}}
PHASES = {"phases": [{"until": 0.4, "recipe": "fa3_bf16"}, {"recipe": WINDOW}]}
NAMES = ["fa3_bf16", "fpsattention", "window"]
STEPS, LAYERS, HEADS, SEEDS = 5, 2, 2, (3, 4, 5)


def test_a_schedule_says_the_recipe_of_every_step(tmp_path):
    recipes = karat.schedule(PHASES, 5)
    assert [recipe.name for recipe in recipes] == ["fa3_bf16"] * 2 + ["window"] * 3
    assert recipes[4] == karat.Recipe(WINDOW)
    by_noise = {"phases": [{"sigma_from": 0.5, "recipe": "fa3_bf16"}, {"recipe": "sta_bf16"}]}
    names = [r.name for r in karat.schedule(by_noise, 3, sigma=[0.9, 0.5, 0.1])]
    assert names == ["fa3_bf16", "fa3_bf16", "sta_bf16"]
    with pytest.raises(karat.UsageError, match="sigma"):
        karat.schedule(by_noise, 3)
    with pytest.raises(karat.UsageError, match="2 noise levels for 3 steps"):
        karat.schedule(by_noise, 3, sigma=[0.9, 0.5])
    with pytest.raises(karat.UsageError, match="phase"):
        karat.schedule({"phase": []}, 3)
    (tmp_path / "s.json").write_text(json.dumps(PHASES))
    assert karat.schedule(tmp_path / "s.json", 5) == recipes


def names_of(choice):
    return [[None if p is None else choice.recipes[p].name for p in row] for row in choice.places]


def test_what_is_chosen(tmp_path):
    assert names_of(choose(None, 2, 1)) == [[None], [None]]
    assert names_of(choose("fa3_bf16", 1, 2)) == [["fa3_bf16"] * 2]
    (tmp_path / "s.json").write_text(json.dumps(PHASES))
    (tmp_path / "r.json").write_text(json.dumps(WINDOW))
    by_step = [["fa3_bf16"]] * 2 + [["window"]] * 3
    for what in (PHASES, str(tmp_path / "s.json"), tmp_path / "s.json"):
        assert names_of(choose(what, 5, 1)) == by_step
    assert names_of(choose(tmp_path / "r.json", 1, 1)) == [["window"]]
    mixed = choose({1: PHASES, 2: "sta_bf16"}, 5, 3)
    assert names_of(mixed)[0] == [None, "fa3_bf16", "sta_bf16"] and len(mixed.recipes) == 3
    some = choose("fa3_bf16", 3, 3, only_layers=[2], only_steps=range(1, 3))
    assert names_of(some) == [[None] * 3, [None, None, "fa3_bf16"], [None, None, "fa3_bf16"]]
    odd = choose(lambda step, layer: "fa3_bf16" if (step + layer) % 2 else None, 2, 2)
    assert names_of(odd) == [[None, "fa3_bf16"], ["fa3_bf16", None]]
    other = WINDOW | {"mask": {"window": [1, 1, 1]}}
    with pytest.raises(karat.UsageError, match="two are called window"):
        choose({0: WINDOW, 1: other}, 1, 2)
    with pytest.raises(karat.UsageError, match="layers: 2 is none of 0 to 1"):
        choose("fa3_bf16", 1, 2, only_layers=[2])
    with pytest.raises(karat.UsageError, match="layers: 5 is none"):
        choose({5: "fa3_bf16"}, 1, 2)
    with pytest.raises(karat.UsageError, match="at: 9 is none"):
        choose("fa3_bf16", 3, 1, only_steps=[9])
    with pytest.raises(karat.FileError, match="none.json"):
        choose("none.json", 1, 1)


def test_the_rows_that_are_looked_at():
    assert rows_of(100, 0) is None and rows_of(100, 100) is None
    rows = rows_of(103, 10)
    assert len(rows) == 10 and (np.diff(rows) > 0).all() and rows[0] < 11 and rows[-1] >= 92
    assert np.array_equal(rows, rows_of(103, 10))


def test_progress_says_how_much_is_left(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    bar = Progress("run", 10, True)
    bar.skip(2)  # there already: no time was spent on them
    for _ in range(4):
        now[0] += 60
        bar.step("layer 3")
    told = capsys.readouterr().err.split("\r")
    assert told[1].strip() == "run: layer 3, 30 %, 7 min left"
    assert told[4].strip() == "run: layer 3, 60 %, 4 min left"
    assert not told[4].endswith("\n")
    bar.skip(4)  # the rest was there already: the line is left all the same
    bar.end()
    bar.end()
    assert capsys.readouterr().err == "\n"
    silent = Progress("run", 10, False)
    silent.step("layer 0")
    silent.end()
    assert capsys.readouterr().err == ""


def test_spearman():
    assert loop.spearman([1, 2, 3], [10, 20, 21]) == pytest.approx(1)
    assert loop.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # 1 - 6 sum d^2 / (n (n^2 - 1)) without ties
    assert loop.spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(1 - 6 * 2 / 60)
    # ties share their mean rank: 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert loop.spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    for a, b in (([1, 2], [1, 2]), ([1, 2, 3], [1, 2]), ([1, 1, 1], [1, 2, 3])):
        with pytest.raises(karat.UsageError, match="spearman"):
            loop.spearman(a, b)
        assert rank_correlation(a, b) is None
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def weight(step, layer):
    return (1 + step) * (0.1 + layer)


def error(seed, step, layer, head, recipe):
    return 0.01 * (1 + recipe) * (1 + 0.1 * step) * (1 + layer) * (1 + 0.2 * head) * (1 + 0.01 * seed)


def synthetic():
    """A study whose drifts follow weights by step and layer exactly."""
    recipes = [karat.Recipe(WINDOW) if name == "window" else karat.Recipe(name) for name in NAMES]
    keys = itertools.product(SEEDS, range(STEPS), range(LAYERS), range(HEADS), range(len(NAMES)))
    rows = [
        [seed, step, layer, head, "conditional", recipe, error(seed, step, layer, head, recipe), 0.0]
        for seed, step, layer, head, recipe in keys
    ]

    def square(seed, step, layer, recipe):
        heads = [error(seed, step, layer, h, recipe) ** 2 for h in range(HEADS)]
        return weight(step, layer) * sum(heads) / HEADS

    runs = []
    for seed, step, recipe in itertools.product(SEEDS, range(STEPS), range(len(NAMES))):
        for layer in (None, *range(LAYERS)):
            those = range(LAYERS) if layer is None else [layer]
            last = math.sqrt(sum(square(seed, step, n, recipe) for n in those))
            runs.append({
                "seed": seed, "name": f"{step} {layer} {recipe}",
                "kind": "step" if layer is None else "cell", "step": step, "layer": layer,
                "recipe": recipe, "drift": [0.0] * step + [last] * (STEPS - step),
            })  # fmt: skip
    return make(
        model="wan2.1-1.3b", steps=STEPS, layers=LAYERS, grid=(6, 16, 16), guidance="none",
        sigma=None, recipes=recipes, rows=rows, runs=runs, schedules=[],
        origin="made up",
    )  # fmt: skip


@pytest.fixture(scope="module")
def study():
    made = synthetic()
    return made | {"weights": loop.measured_weights(made)}


def test_weights_are_those_that_made_the_drifts(study):
    weights = study["weights"]
    want = [[weight(step, layer) for layer in range(LAYERS)] for step in range(STEPS)]
    np.testing.assert_allclose(weights["cell"], want, rtol=1e-12)
    # all layers of a step: their squares weighted by how large they are, here 1 and 4
    for step in range(STEPS):
        whole = (weight(step, 0) + 4 * weight(step, 1)) / 2.5
        assert weights["step"][step] == pytest.approx(whole)
        assert weights["seeds"][1]["step"][step] == pytest.approx(whole)
    assert [one["seed"] for one in weights["seeds"]] == list(SEEDS)


def test_predictions(study):
    squares = [
        sum(weight(s, n) * np.mean([error(seed, s, n, h, 1 if s < 3 else 2) ** 2
                                    for seed in SEEDS for h in range(HEADS)])
            for n in range(LAYERS))
        for s in range(STEPS)
    ]  # fmt: skip
    phases = {"phases": [{"until": 0.6, "recipe": "fpsattention"}, {"recipe": WINDOW}]}
    for per in ("step", "cell"):
        assert loop.predicted(study, phases, per=per) == pytest.approx(math.sqrt(sum(squares)))
        aligned = loop.predicted(study, phases, per=per, errors="aligned")
        assert aligned == pytest.approx(sum(map(math.sqrt, squares)))
    one_layer = loop.predicted(study, {0: "fpsattention"}, per="cell")
    expected = [
        weight(s, 0) * np.mean([error(seed, s, 0, h, 1) ** 2 for seed in SEEDS for h in range(HEADS)])
        for s in range(STEPS)
    ]  # fmt: skip
    assert one_layer == pytest.approx(math.sqrt(sum(expected)))
    assert loop.predicted(study, None) == 0
    with pytest.raises(karat.UsageError, match="did not measure recipe sta_bf16"):
        loop.predicted(study, "sta_bf16")
    for wrong in (dict(per="head"), dict(errors="opposed")):
        with pytest.raises(karat.UsageError, match="is not known"):
            loop.predicted(study, phases, **wrong)
    with pytest.raises(karat.UsageError, match="no weights per step"):
        loop.predicted(synthetic(), phases)


def test_weights_need_every_step():
    made = synthetic()
    made["runs"] = [run for run in made["runs"] if run["step"] != 2]
    with pytest.raises(karat.UsageError, match="step 2 was not perturbed"):
        loop.measured_weights(made)
    made = synthetic() | {"runs": []}
    with pytest.raises(karat.UsageError, match="no step was perturbed"):
        loop.measured_weights(made)
    made = synthetic()
    made["local"]["rows"] = []
    with pytest.raises(karat.UsageError, match="no local errors"):
        loop.measured_weights(made)


def test_runs_that_do_not_drift_have_no_weights(tmp_path):
    made = synthetic()
    for run in made["runs"]:
        run["drift"] = [0.0] * STEPS
    with pytest.raises(karat.UsageError, match="no perturbed run drifted"):
        loop.measured_weights(made)
    without = with_weights(made)
    assert without["weights"] is None
    loop.write(without, tmp_path / "l.json")


def test_files_come_back_and_have_the_same_bytes(study, tmp_path):
    for name in "ab":
        loop.write(study, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert loop.read(tmp_path / "a") == json.loads(json.dumps(study))


def changed(study, path, value):
    copied = copy.deepcopy(study)
    place = copied
    for key in path[:-1]:
        place = place[key]
    if value is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copied


BROKEN = [
    (("schema",), "karat.sensitivity", "karat.loop"),
    (("version",), 2, "version"),
    (("version",), KeyError, "version"),
    (("sigma",), [0.5], "sigma"),
    (("steps",), 0, "steps"),
    (("steps",), 2.5, "steps"),
    (("layers",), True, "layers"),
    (("grid",), [1, 2], "grid"),
    (("guidance",), "twice", "guidance"),
    (("colour",), 1, "colour"),
    (("origin",), KeyError, "origin"),
    (("recipes", 1), {"name": "window"}, "name"),
    (("local", "columns", 0), "prompt", "columns"),
    (("local", "rows", 0, 1), STEPS, "row"),
    (("local", "rows", 0, 4), "both", "branch"),
    (("local", "rows", 0, 6), -1.0, "row"),
    (("local", "rows", 1), [3, 0, 0, 0, "conditional", 0, 0.1, 0], "twice"),
    (("local", "rows", 0), [1, 2], "row"),
    (("runs", 0, "kind"), "half", "kind"),
    (("runs", 0, "recipe"), 3, "recipe"),
    (("runs", 0, "layer"), 0, "layer"),
    (("runs", 0, "drift"), [0.1], "drift"),
    (("runs", 0, "drift", 0), float("inf"), "drift"),
    (("weights", "step"), [1.0], "step"),
    (("weights", "cell", 0), [1.0], "cell"),
    (("weights", "step", 0), "1", "step"),
    (("schedules",), [{"name": "x"}], "lacks recipes"),
    (("spearman",), 2, "spearman"),
    (("steps",), 1_000_001, "steps"),
    (("layers",), 1_000_001, "layers"),
    (("local", "rows", -1, 0), 3_000_000_000, "row"),
    (("runs", 0, "seed"), 2**31 - 1, "run"),
    (("weights", "step"), [0.0] * STEPS, "no sum above 0"),
    (("prediction",), KeyError, "prediction"),
    (("prediction",), {"per": "step"}, "errors"),
    (("prediction",), {"per": "head", "errors": "aligned"}, "per"),
    (("prediction",), {"per": "cell", "errors": 1}, "errors"),
]


@pytest.mark.parametrize("path, value, word", BROKEN, ids=[str(n) for n in range(len(BROKEN))])
def test_a_file_that_says_something_else_is_refused(study, tmp_path, command_line, path, value, word):
    """By Python and by the command line alike, in one line."""
    broken = changed(study, path, value)
    with pytest.raises(karat.UsageError, match="study: .*" + word) as refused:
        loop.write(broken, tmp_path / "x.json")
    assert "\n" not in str(refused.value) and not (tmp_path / "x.json").exists()
    (tmp_path / "x.json").write_text(json.dumps(broken))
    with pytest.raises(karat.UsageError, match=word):
        loop.read(tmp_path / "x.json")
    answer = command_line("study", "--loop", tmp_path / "x.json", "--html", tmp_path / "x.html")
    assert answer.returncode == 3 and answer.stderr.count("\n") == 1, answer.stderr
    assert not (tmp_path / "x.html").exists()


def test_other_files(tmp_path, command_line):
    (tmp_path / "half.json").write_text('{"schema": ')
    with pytest.raises(karat.FileError, match="half.json"):
        loop.read(tmp_path / "half.json")
    for name in ("half.json", "none.json"):
        answer = command_line("study", "--loop", tmp_path / name)
        assert answer.returncode == 3 and name in answer.stderr and answer.stderr.count("\n") == 1
    answer = command_line("study", "--loop", tmp_path / "none.json", "--recipes", "fa3_bf16")
    assert answer.returncode == 2 and "recipes" in answer.stderr


def test_the_command_line_reports_it(study, tmp_path, command_line):
    whole = [
        {"seed": seed, "name": "all of it", "kind": "whole", "step": None, "layer": None,
         "recipe": None, "drift": [0.01 * (step + seed) for step in range(STEPS)]}
        for seed in SEEDS
    ]  # fmt: skip
    schedules = [
        {"name": name, "recipes": [[r] * LAYERS] * STEPS, "predicted": 0.1 * r + 0.1,
         "measured": 0.1 * r + 0.12}
        for r, name in enumerate(NAMES)
    ]  # fmt: skip
    made = dict(study) | {
        "runs": study["runs"] + whole, "schedules": schedules, "spearman": 1.0,
        "prediction": {"per": "cell", "errors": "aligned"},
    }  # fmt: skip
    loop.write(made, tmp_path / "l.json")
    files = [tmp_path / name for name in ("p.html", "t.csv", "t.json")]
    answer = command_line("study", "--loop", tmp_path / "l.json", "--json", "--html", files[0],
                          "--csv", files[1], "--table", files[2])  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert (told["schema"], told["version"], told["seeds"]) == ("karat.loop_report", 1, 3)
    drift = told["runs"][0]["drift"][-1]
    squares = [(0.01 * (4 + seed)) ** 2 for seed in SEEDS]
    assert drift["value"] == pytest.approx(math.sqrt(np.mean(squares)))
    assert drift["interval"][0] < drift["value"] < drift["interval"][1]
    found = told["recipes"][2]["error_by_step"][1]["value"]
    wanted = [error(s, 1, n, h, 2) ** 2 for s in SEEDS for n in range(LAYERS) for h in range(HEADS)]
    assert found == pytest.approx(math.sqrt(np.mean(wanted)))
    assert told["weights"]["step"][4]["value"] == study["weights"]["step"][4]
    page = files[0].read_text()
    assert told["prediction"] == {"per": "cell", "errors": "aligned"}
    assert "Drift over denoising steps" in page and "What an error counts" in page and "<svg" in page
    rows = files[1].read_text().splitlines()
    assert len(rows) == 1 + len(made["local"]["rows"]) and rows[0].startswith("prompt,step,steps,sigma")
    assert json.loads(files[2].read_text())["schema"] == "karat.sensitivity"
    assert "as if all errors pointed the same way" in page and "layer of a step" in page
    text = command_line("study", "--loop", tmp_path / "l.json").stdout
    assert "drift predicted (weights per cell, aligned errors)" in text
    assert "all of it" in text and "rank correlation (Spearman) 1.000" in text


TUNE = ("tune", "--json", "--model", "wan2.1-1.3b", "--resolution", "480p", "--resamples", 20)


def test_tune_takes_named_candidates_from_the_study(study, tmp_path, command_line):
    """Those it holds by their names there, then presets."""
    loop.write(study, tmp_path / "l.json")
    line = (*TUNE, "--steps", STEPS, "--from", tmp_path / "l.json", "--candidates")
    answer = command_line(*line, "window,fa3_bf16")
    assert answer.returncode == 0, answer.stderr
    assert set(json.loads(answer.stdout)["candidates"]) == {"window", "fa3_bf16"}
    answer = command_line(*line, "windows")
    assert answer.returncode in (2, 3) and "windows" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("per", ["step", "layer", "head", "cell"])
def test_tune_expects_the_drift_that_python_predicts(study, tmp_path, command_line, per):
    """Weights by layer included: uniform schedules have no other choice than predicted()'s."""
    loop.write(study, tmp_path / "l.json")
    answer = command_line(*TUNE, "--steps", STEPS, "--from", tmp_path / "l.json", "--weights",
                          tmp_path / "l.json", "--per", per)  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    assert told["weights"] == "measured" and not any("Warning" in note for note in told["notes"])
    assert set(told["candidates"]) == set(NAMES)  # a recipe that is no preset too
    uniform = [p for p in told["pareto"] if p["kind"] == "uniform"]
    assert uniform
    for point in uniform:
        what = WINDOW if point["what"] == "window" else point["what"]
        assert point["drift"] == pytest.approx(loop.predicted(study, what, per="cell"), rel=1e-9)
    measured = next(w for w in told["weightings"] if w["name"] == "measured")
    total = sum(weight(s, n) for s in range(STEPS) for n in range(LAYERS))
    assert measured["drift_scale"] == pytest.approx(total)
    shares = np.reshape(measured["layer_share"], (STEPS, LAYERS))
    np.testing.assert_allclose(shares.mean(1), 1)
    assert shares[0, 1] / shares[0, 0] == pytest.approx(weight(0, 1) / weight(0, 0))


def test_tune_warns_where_the_weights_are_of_something_else(study, tmp_path, command_line):
    other = dict(study) | {"model": "tiny"}
    loop.write(other, tmp_path / "l.json")
    answer = command_line(*TUNE, "--steps", 9, "--quick", "--weights", tmp_path / "l.json")
    assert answer.returncode == 0, answer.stderr
    told = json.loads(answer.stdout)
    warnings = [note for note in told["notes"] if note.startswith("Warning")]
    assert len(warnings) == 3 and "on tiny, not on wan2.1-1.3b" in warnings[0]
    assert "2 layers" in warnings[1] and "measured 5 steps, this run has 9" in warnings[2]
    assert all("drift" not in point for point in told["pareto"])
    other = dict(study) | {"sigma": [0.9, 0.7, 0.5, 0.3, 0.1]}
    loop.write(other, tmp_path / "l.json")
    answer = command_line(*TUNE, "--steps", STEPS, "--from", tmp_path / "l.json", "--weights",
                          tmp_path / "l.json")  # fmt: skip
    told = json.loads(answer.stdout)
    assert any("5 steps of other noise levels" in note for note in told["notes"])
    assert all("drift" not in point for point in told["pareto"])
    loop.write(dict(study) | {"weights": None}, tmp_path / "l.json")
    answer = command_line(*TUNE, "--quick", "--weights", tmp_path / "l.json")
    assert answer.returncode == 3 and "has no weights" in answer.stderr
    assert answer.stderr.count("\n") == 1
    (tmp_path / "l.json").write_text('{"schema": "karat.study_plan"}')
    answer = command_line(*TUNE, "--quick", "--weights", tmp_path / "l.json")
    assert answer.returncode == 3 and "karat.loop" in answer.stderr
