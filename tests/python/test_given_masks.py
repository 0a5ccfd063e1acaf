"""One meaning of a given mask: pairs of tokens, from the command line and from Python (and so from
C) alike, and a softmax over the same pairs."""

import json

import numpy as np
import pytest

import karat

TOKENS = 3 * 5 * 7  # ragged: tiles of 2 x 4 x 4 stick out on every side
GRID = (3, 5, 7)
BLOCK = 15
TILES = {"tile": [2, 4, 4]}
RECIPES = {
    "none": {"base": "dense_f64", "mask": TILES},
    "window": {
        "base": "dense_f64",
        "mask": TILES | {"kind": "window", "window": [1, 1, 1]},
        "block": {"align": "tile"},
    },
}


@pytest.fixture(scope="module")
def qkv():
    rng = np.random.default_rng(3)
    return tuple(rng.standard_normal((1, 2, TOKENS, 16)).astype(np.float32) for _ in range(3))


def softmax(q, k, v, keep):
    s = np.where(keep, q.astype(np.float64) @ k.astype(np.float64).swapaxes(-1, -2) / 4, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) @ v


def asymmetric(seed):
    keep = np.random.default_rng(seed).random((TOKENS, TOKENS)) < 0.3
    return keep | np.eye(TOKENS, dtype=bool)


def blocks(partial):
    """BlockMask arrays over tokens, lists of partial or of full blocks, and the blocks' pairs."""
    n = TOKENS // BLOCK
    kept = (np.arange(n)[:, None] + 2 * np.arange(n)) % 4 == 0
    kept |= np.eye(n, dtype=bool)
    counts = kept.sum(1).astype(np.int32)
    indices = np.argsort(~kept, axis=1, kind="stable").astype(np.int32)
    lists, empty = (counts[None, None], indices[None, None]), (np.zeros_like(counts)[None, None],
                                                               indices[None, None])  # fmt: skip
    first, second = (lists, empty) if partial else (empty, lists)
    arrays = dict(kv_num_blocks=first[0], kv_indices=first[1], full_kv_num_blocks=second[0],
                  full_kv_indices=second[1])  # fmt: skip
    return arrays, np.kron(kept, np.ones((BLOCK, BLOCK), bool)).astype(bool)


def ragged_matrix():
    """Blocks of 32 x 16 tokens; the last hold 9."""
    kept = np.random.default_rng(5).random((-(-TOKENS // 32), -(-TOKENS // 16))) < 0.5
    kept[:, -1] |= ~kept.any(1)
    return kept


def masks():
    """name -> (mask for Python, arrays for the command line, pairs by token)"""
    keep = asymmetric(1)
    full, of_blocks = blocks(False)
    partial, _ = blocks(True)
    size = {"block_size": np.array([BLOCK, BLOCK], np.int32)}
    shape = dict(BLOCK_SIZE=(BLOCK, BLOCK), seq_lengths=(TOKENS, TOKENS))
    both = partial | {"keep": keep.view(np.uint8)}
    return {
        "booleans": (keep, {"mask": keep}, keep),
        "matrix of blocks": (
            karat.BlockMatrix(ragged_matrix(), (32, 16)),
            {"mask_id": ragged_matrix(), "block_size": np.array([32, 16], np.int32)},
            np.kron(ragged_matrix(), np.ones((32, 16), bool))[:TOKENS, :TOKENS],
        ),
        "full blocks": (karat.BlockMask(**full, **shape), full | size, of_blocks),
        "partial blocks": (
            karat.BlockMask(**both, **shape),
            partial | size | {"mask": keep},
            of_blocks & keep,
        ),
    }


@pytest.mark.parametrize("kind", RECIPES)
@pytest.mark.parametrize("name", masks())
def test_the_same_pairs_everywhere(command_line, tmp_path, qkv, kind, name):
    mask, arrays, pairs = masks()[name]
    recipe = RECIPES[kind]
    o = karat.attend(*qkv, recipe=recipe, grid=GRID, mask=mask)
    # Scores below 32 and their distance to the maximum are rounded to f32.
    bound = 2.0**-18 * np.abs(qkv[2]).max()
    assert np.abs(o - softmax(*qkv, pairs)).max() < bound
    assert np.abs(o - softmax(*qkv, pairs.T)).max() > 100 * bound

    golden = karat.save(tmp_path / "ours.h5", *qkv, recipe=recipe, grid=GRID, mask=mask)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    karat.write_tensors(tmp_path / "qkv.safetensors", dict(zip("qkv", qkv)))
    karat.write_tensors(tmp_path / "mask.safetensors", arrays)
    line = ["--recipe", tmp_path / "recipe.json", "--in", tmp_path / "qkv.safetensors", "--grid",
            "3,5,7", "--mask", tmp_path / "mask.safetensors"]  # fmt: skip
    result = command_line("attend", *line, "-o", tmp_path / "o.safetensors")
    assert result.returncode == 0, result.stderr
    theirs = karat.read_tensors(tmp_path / "o.safetensors")["o"]
    result = command_line("make", *line, "-o", tmp_path / "theirs.h5")
    assert result.returncode == 0, result.stderr
    for other in (golden["o"], theirs, karat.load(tmp_path / "theirs.h5")["o"]):
        assert np.array_equal(o.view(np.uint32), other.view(np.uint32))
    assert golden.check(theirs)  # what the file holds of the mask is read back


def test_partial_blocks_without_pairs_mean_nothing(qkv):
    shape = dict(BLOCK_SIZE=(BLOCK, BLOCK), seq_lengths=(TOKENS, TOKENS))
    mask = karat.BlockMask(**blocks(True)[0], **shape)
    for call in (
        lambda: karat.attend(*qkv, recipe=RECIPES["none"], grid=GRID, mask=mask),
        mask.to_torch,
        karat.block_mask(RECIPES["window"], GRID, pairs=False).to_torch,
    ):
        with pytest.raises(karat.UsageError, match="partial blocks, but no pairs say"):
            call()


def test_a_block_matrix_of_every_head(qkv):
    """SpargeAttn's mask_id [B, H, Q, K], each head its own."""
    first, second = ragged_matrix(), ragged_matrix()[::-1].copy()
    second[:, -1] |= ~second.any(1)
    both = np.stack([first, second])[None]
    o = karat.attend(
        *qkv, recipe=RECIPES["none"], grid=GRID, mask=karat.BlockMatrix(both.view(np.int8), (32, 16))
    )
    bound = 2.0**-18 * np.abs(qkv[2]).max()
    for head, kept in enumerate((first, second)):
        pairs = np.kron(kept, np.ones((32, 16), bool))[:TOKENS, :TOKENS]
        expected = softmax(*(x[:, head] for x in qkv), pairs)
        assert np.abs(o[:, head] - expected).max() < bound


@pytest.mark.parametrize("kind", RECIPES)
def test_sdpa_is_by_token(qkv, kind):
    recipe, keep = RECIPES[kind], asymmetric(2)
    bound = 2.0**-18 * np.abs(qkv[2]).max()
    made = karat.scaled_dot_product_attention(*qkv, attn_mask=keep, recipe=recipe, grid=GRID)
    assert np.abs(made - softmax(*qkv, keep)).max() < bound
    own = karat.block_mask(recipe, GRID)
    position = own.position_of_token
    own_pairs = own.keep.astype(bool)[np.ix_(position, position)]
    made = karat.scaled_dot_product_attention(*qkv, is_causal=True, recipe=recipe, grid=GRID)
    assert np.abs(made - softmax(*qkv, own_pairs & np.tri(TOKENS, dtype=bool))).max() < bound


def test_a_mask_of_positions_says_so(command_line, tmp_path, qkv):
    """What karat.block_mask() and `karat mask --blockmask` make is over positions and read so."""
    recipe = RECIPES["none"] | {"mask": TILES | {"kind": "window", "window": [1, 1, 3]}}
    own = karat.attend(*qkv, recipe=recipe, grid=GRID)
    mask = karat.block_mask(recipe, GRID, block_size=BLOCK)
    assert mask.mask_order == "positions"
    bare = karat.BlockMask(**(mask.__dict__ | dict(token_at_position=None)))
    for given, order in ((mask, None), (bare, "positions")):
        o = karat.attend(*qkv, recipe=RECIPES["none"], grid=GRID, mask=given, mask_order=order)
        assert np.array_equal(o.view(np.uint32), own.view(np.uint32))
    o = karat.attend(*qkv, recipe=RECIPES["none"], grid=GRID, mask=bare)
    assert not np.array_equal(o.view(np.uint32), own.view(np.uint32))

    (tmp_path / "recipe.json").write_text(json.dumps(RECIPES["none"]))
    karat.write_tensors(tmp_path / "qkv.safetensors", dict(zip("qkv", qkv)))
    keep = mask.keep.astype(bool)
    position = mask.position_of_token
    arrays = {name: getattr(mask, name) for name in (
        "kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices")}  # fmt: skip
    arrays["block_size"] = np.array(mask.BLOCK_SIZE, np.int32)
    by_token = np.ascontiguousarray(keep[np.ix_(position, position)])
    known = arrays | {"mask": by_token, "position_of_token": position}
    for options, given, metadata in (
        ([], known, None),
        (["--mask-order", "positions"], arrays | {"mask": keep}, None),
        ([], arrays | {"mask": keep}, {"mask_order": "positions"}),
    ):
        karat.write_tensors(tmp_path / "mask.safetensors", given, metadata)
        result = command_line(
            "attend", "--recipe", tmp_path / "recipe.json", "--in", tmp_path / "qkv.safetensors",
            "--grid", "3,5,7", "--mask", tmp_path / "mask.safetensors", *options, "-o",
            tmp_path / "o.safetensors",
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        theirs = karat.read_tensors(tmp_path / "o.safetensors")["o"]
        assert np.array_equal(theirs.view(np.uint32), own.view(np.uint32))


def test_partial_blocks_need_their_pairs(command_line, tmp_path, qkv):
    arrays, _ = blocks(True)
    mask = karat.BlockMask(**arrays, BLOCK_SIZE=(BLOCK, BLOCK), seq_lengths=(TOKENS, TOKENS))
    with pytest.raises(karat.UsageError, match="partial"):
        karat.attend(*qkv, recipe=RECIPES["none"], grid=GRID, mask=mask)
    arrays["block_size"] = np.array([BLOCK, BLOCK], np.int32)
    karat.write_tensors(tmp_path / "mask.safetensors", arrays)
    result = command_line("attend", "--recipe", "dense_f32", "--grid", "3,5,7", "--mask",
                          tmp_path / "mask.safetensors", "-o", tmp_path / "o.safetensors")  # fmt: skip
    assert result.returncode == 2 and "partial" in result.stderr
