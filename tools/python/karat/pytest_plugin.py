"""pytest fixtures of karat; installed with the package, nothing to import."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Callable

import pytest


@pytest.fixture(scope="session")
def karat_golden(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Makes small golden cases, kept in pytest's cache from run to run.

    ``karat_golden(recipe="fpsattention", grid=(6, 16, 16), text=0, kind="video", heads=1,
    kv_heads=0, head_dim=128, seed=0, taps=None, backward=False)`` returns a karat.Golden; every
    argument has this default. With backward it holds a generated dO and the gradients under it. The
    same arguments give the same bytes, so the cache is keyed by them and by karat's version.
    ``pytest --cache-clear`` empties it.
    """
    import karat

    cache = getattr(pytestconfig, "cache", None)  # none with -p no:cacheprovider
    folder = cache.mkdir("karat-golden") if cache else tmp_path_factory.mktemp("karat-golden")

    def make(
        recipe: Any = "fpsattention",
        *,
        grid: tuple[int, int, int] = (6, 16, 16),
        text: int = 0,
        kind: str = "video",
        heads: int = 1,
        kv_heads: int = 0,
        head_dim: int = 128,
        seed: int = 0,
        taps: Any = None,
        backward: bool = False,
    ) -> karat.Golden:
        made = recipe if isinstance(recipe, karat.Recipe) else karat.Recipe(recipe)
        shape = [*grid, text, heads, kv_heads, head_dim]
        case = [karat.__version__, made.to_dict(), shape, kind, seed, taps, backward]
        key = hashlib.sha256(json.dumps(case, sort_keys=True).encode()).hexdigest()[:24]
        path = folder / f"{made.name}-{key}.h5"
        if path.exists():
            try:
                return karat.load(path)
            except karat.FileError:
                path.unlink()  # a run was cut short, or the disk failed: make it again
        q, k, v, do = karat.generate(
            kind, grid=grid, text=text, heads=heads, kv_heads=kv_heads, head_dim=head_dim,
            seed=seed, do=True,
        )  # fmt: skip
        return karat.save(
            path, q, k, v, recipe=made, grid=grid, text=text, seed=seed, taps=taps,
            do=do if backward else None,
        )  # fmt: skip

    return make
