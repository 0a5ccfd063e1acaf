"""BlockMask arrays, given and taken."""

import numpy as np
import pytest
from conftest import GRID, SMALL

import karat

CASES = [
    (dict(tile=[2, 4, 4], window=[1, 1, 1]), (4, 8, 8)),
    (dict(tile=[2, 4, 4], window=[3, 1, 1]), (5, 7, 9)),
    (dict(tile=[3, 4, 4], window=[1, 3, 1], border="truncate"), (6, 8, 8)),
    (dict(tile=[1, 1, 1], window=[3, 5, 5], unit="tokens_exact"), (3, 8, 8)),
]


def kept(tile, window, grid, border="clamp", unit="tiles"):
    """Pairs by the definition of docs/recipe.md, token by token; tiles, odd windows."""
    tokens = [(t, h, w) for t in range(grid[0]) for h in range(grid[1]) for w in range(grid[2])]
    cells = [-(-n // s) for n, s in zip(grid, tile)]
    keep = np.zeros((len(tokens), len(tokens)), bool)
    for i, query in enumerate(tokens):
        for j, key in enumerate(tokens):
            inside = True
            for axis in range(3):
                radius = window[axis] // 2
                centre, cell = query[axis] // tile[axis], key[axis] // tile[axis]
                count = cells[axis]
                if border == "clamp":
                    if 2 * radius + 1 >= count:
                        continue
                    centre = min(max(centre, radius), count - 1 - radius)
                inside &= abs(centre - cell) <= radius
            keep[i, j] = inside
    return keep


@pytest.mark.parametrize("mask, grid", CASES)
def test_pairs_follow_the_definition(mask, grid):
    made = karat.block_mask({"base": "sta_bf16", "mask": mask}, grid, block_size=32)
    position = made.position_of_token
    keep = made.keep.astype(bool)[np.ix_(position, position)]
    assert np.array_equal(keep, kept(grid=grid, **mask))


@pytest.mark.parametrize("mask, grid", CASES)
def test_arrays_are_torchs(mask, grid):
    """Partial and full blocks counted from the pairs, padded with False as create_block_mask does."""
    made = karat.block_mask({"base": "sta_bf16", "mask": mask}, grid, block_size=(32, 16))
    n = made.seq_lengths[0]
    rows, columns = -(-n // 32), -(-n // 16)
    padded = np.zeros((rows * 32, columns * 16), bool)
    padded[:n, :n] = made.keep
    count = padded.reshape(rows, 32, columns, 16).sum((1, 3))
    for i in range(rows):
        partial = made.kv_indices[0, 0, i, : made.kv_num_blocks[0, 0, i]]
        full = made.full_kv_indices[0, 0, i, : made.full_kv_num_blocks[0, 0, i]]
        assert np.array_equal(partial, np.flatnonzero((count[i] > 0) & (count[i] < 512)))
        assert np.array_equal(full, np.flatnonzero(count[i] == 512))


def test_a_given_mask_equals_the_recipes_own(heads):
    own = karat.attend(*heads, recipe=SMALL, grid=GRID)
    mask = karat.block_mask(SMALL, GRID)
    assert mask.kv_num_blocks.sum() + mask.full_kv_num_blocks.sum() < mask.kv_indices.size
    position = mask.position_of_token
    by_token = mask.keep.astype(bool)[np.ix_(position, position)]
    by_position = mask.keep.astype(bool)
    for given, order in (
        (mask, None),
        (mask, "positions"),
        (by_token, None),
        (by_token[None, None], "tokens"),
        (by_position, "positions"),
    ):
        o = karat.attend(*heads, recipe=SMALL, grid=GRID, mask=given, mask_order=order)
        assert np.array_equal(o.view(np.uint16), own.view(np.uint16))
    with pytest.raises(karat.UsageError, match="over positions"):
        karat.attend(*heads, recipe=SMALL, grid=GRID, mask=mask, mask_order="tokens")
    flipped = by_token.copy()
    flipped[0, 0] = False
    o = karat.attend(*heads, recipe=SMALL, grid=GRID, mask=flipped)
    assert not np.array_equal(o.view(np.uint16), own.view(np.uint16))


def test_order_and_back():
    mask = karat.block_mask(SMALL, GRID)
    x = np.arange(256, dtype=np.float32).reshape(1, 1, 256, 1)
    there = mask.reorder(x)
    assert np.array_equal(there[0, 0, :, 0], mask.token_at_position)
    assert there[0, 0, 1, 0] == 1 and there[0, 0, 4, 0] == 8  # the tile's second row of w
    assert np.array_equal(mask.restore(there), x)


def test_pictures():
    assert karat.mask_picture(SMALL, GRID).startswith("<svg")
    assert karat.mask_picture(SMALL, GRID, query_tile=3) != karat.mask_picture(SMALL, GRID)


@pytest.mark.parametrize("grid", [GRID, (5, 7, 9)])
def test_a_golden_file_keeps_a_given_mask(command_line, small_json, tmp_path, grid):
    """save(mask=) is attend(mask=), and `karat make --mask` with the same pairs by token."""
    heads = karat.generate("video", grid=grid, heads=2, head_dim=32, seed=4)
    own = karat.block_mask(SMALL, grid)
    keep = own.keep.astype(bool) & (np.random.default_rng(1).random(own.keep.shape) < 0.7)
    np.fill_diagonal(keep, True)
    by_position = dict(recipe=SMALL, grid=grid, mask=keep, mask_order="positions")
    golden = karat.save(tmp_path / "ours.h5", *heads, **by_position)
    o = karat.attend(*heads, **by_position)
    assert np.array_equal(golden["o"].view(np.uint16), o.view(np.uint16))
    assert golden.check(o) and not golden.check(karat.attend(*heads, recipe=SMALL, grid=grid))

    position = own.position_of_token
    by_token = np.ascontiguousarray(keep[np.ix_(position, position)])
    assert np.array_equal(golden["mask/given/mask"], by_token)
    karat.write_tensors(tmp_path / "qkv.safetensors", dict(zip("qkv", heads)))
    np.save(tmp_path / "keep.npy", by_token)
    line = ["--recipe", small_json, "--in", tmp_path / "qkv.safetensors", "--grid",
            ",".join(map(str, grid)), "--mask", tmp_path / "keep.npy"]  # fmt: skip
    result = command_line("make", *line, "-o", tmp_path / "theirs.h5")
    assert result.returncode == 0, result.stderr
    ours, theirs = (karat.read_tensors(tmp_path / f"{who}.h5") for who in ("ours", "theirs"))
    assert set(ours) == set(theirs)
    for name, x in theirs.items():
        assert np.array_equal(ours[name].view(np.uint8), x.view(np.uint8)), name

    blocks = karat.save(tmp_path / "blocks.h5", *heads, recipe=SMALL, grid=grid, mask=own)
    assert blocks.check(karat.attend(*heads, recipe=SMALL, grid=grid))
    assert "mask/given/kv_num_blocks" in blocks
    with pytest.raises(karat.UsageError, match="mask of its own"):
        karat.flashinfer.export(blocks, tmp_path / "dataset")
    with pytest.raises(karat.UsageError, match="tokens"):
        karat.save(tmp_path / "x.h5", *heads, recipe=SMALL, grid=grid, mask=keep[:9, :9].copy())
    assert not (tmp_path / "x.h5").exists()


def test_no_mask_keeps_padding(tmp_path):
    """A matrix of ones over padded positions is no mask at all, for attend and save alike."""
    grid = (3, 7, 7)
    heads = karat.generate("video", grid=grid, heads=1, head_dim=32, seed=6)
    recipe = karat.Recipe(SMALL).replace(mask={"kind": "none", "ragged": "pad", "tile": [2, 4, 4]})
    ones = dict(recipe=recipe, grid=grid, mask=np.ones((256, 256), bool), mask_order="positions")
    free = karat.attend(*heads, recipe=recipe, grid=grid)
    o = karat.attend(*heads, **ones)
    golden = karat.save(tmp_path / "padded.h5", *heads, **ones)
    assert np.array_equal(o.view(np.uint16), free.view(np.uint16))
    assert np.array_equal(golden["o"].view(np.uint16), free.view(np.uint16))
