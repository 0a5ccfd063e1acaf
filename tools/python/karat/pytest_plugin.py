"""pytest fixtures of karat; installed with the package, nothing to import."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any, Callable

import pytest


@pytest.fixture(scope="session")
def karat_golden(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    """Makes small golden cases, kept in pytest's cache from run to run.

    ``karat_golden(recipe="fpsattention", grid=(6, 16, 16), text=0, kind="video", batch=1, heads=1,
    kv_heads=0, head_dim=128, seed=0, mask=None, mask_order=None, edits={}, taps=None,
    backward=False, torch=False)`` returns a karat.Golden; every argument has this default. mask: as
    for karat.attend. edits: fields of the recipe that are changed, by section, as
    ``{"softmax": {"row_sum": "quantized"}}`` (karat.Recipe.replace). With backward it holds a
    generated dO and the gradients under it; with torch its arrays come as PyTorch tensors. The same
    arguments give the same bytes, so the cache is keyed by them and by karat's version.
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
        batch: int = 1,
        heads: int = 1,
        kv_heads: int = 0,
        head_dim: int = 128,
        seed: int = 0,
        mask: Any = None,
        mask_order: str | None = None,
        edits: dict[str, Any] | None = None,
        taps: Any = None,
        backward: bool = False,
        torch: bool = False,
    ) -> karat.Golden:
        made = recipe if isinstance(recipe, karat.Recipe) else karat.Recipe(recipe)
        made = made.replace(**edits) if edits else made
        shape = [*grid, text, batch, heads, kv_heads, head_dim]
        case = [karat.__version__, made.to_dict(), shape, kind, seed, taps, backward, mask_order]
        key = _key(case, mask)
        path = folder / f"{made.name}-{key}.h5"
        if path.exists():
            try:
                return karat.load(path, torch=torch)
            except karat.FileError:
                path.unlink()  # a run was cut short, or the disk failed: make it again
        q, k, v, do = karat.generate(
            kind, grid=grid, text=text, batch=batch, heads=heads, kv_heads=kv_heads,
            head_dim=head_dim, seed=seed, do=True,
        )  # fmt: skip
        return karat.save(
            path, q, k, v, recipe=made, grid=grid, text=text, seed=seed, mask=mask,
            mask_order=mask_order, taps=taps, do=do if backward else None, torch=torch,
        )  # fmt: skip

    return make


def _key(case: list[Any], mask: Any) -> str:
    """Names a case by all that decides its bytes."""
    from ._arrays import values
    from ._masks import dismantled

    digest = hashlib.sha256(json.dumps(case, sort_keys=True).encode())
    facts, tensors = (None, []) if mask is None else dismantled(mask)
    digest.update(str(facts).encode())
    for tensor in tensors:
        seen = values(tensor, "mask").array
        digest.update(str((seen.shape, seen.dtype)).encode() + seen.tobytes())
    return digest.hexdigest()[:24]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A kernel's test fails in the kernel's test: karat's own frames are left out of a traceback
    that ends in a refusal or in assert_matches; ``--full-trace`` shows them."""
    if call.excinfo is None or "karat" not in sys.modules:
        return
    for name, module in list(sys.modules.items()):
        if name == "karat" or name.startswith("karat."):
            vars(module).setdefault("__tracebackhide__", _is_for_the_user)


def _is_for_the_user(problem: Any) -> bool:
    from ._errors import InternalError, KaratError

    return problem.errisinstance((KaratError, AssertionError)) and not problem.errisinstance(
        InternalError
    )
