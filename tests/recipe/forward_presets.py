"""Presets for tests that exercise the forward: a backward alone makes no forward of its own."""
import json
import subprocess


def forward_presets(karat):
    """Names of the presets but for those with a backward whose forward is that of another one."""
    def answer(*arguments):
        return json.loads(subprocess.run([karat, "recipes", *arguments, "--json"], check=True,
                                         capture_output=True).stdout)

    recipes = {listed["name"]: answer(listed["name"]) for listed in answer()["recipes"]}
    names, kept = [], []
    for name in sorted(recipes, key=lambda name: "backward" in recipes[name]):
        forward = {field: value for field, value in recipes[name].items()
                   if field not in ("name", "about", "backward")}
        if "backward" not in recipes[name] or forward not in kept:
            names.append(name)
            kept.append(forward)
    return sorted(names)
