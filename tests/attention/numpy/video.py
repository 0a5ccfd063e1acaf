# Grid, token orders, masks and blocks, written from docs/recipes/operations.md and cases.md alone.

import math

import numpy as np


class Grid(tuple):
    """T, H, W, and how many text tokens stand behind the video."""

    def __new__(cls, extents, text=0):
        grid = super().__new__(cls, extents)
        grid.text = text
        return grid


class Order:
    """Positions of a T x H x W grid cut into tiles: tile after tile, row-major inside each; text is one more."""

    def __init__(self, grid, tile):
        self.grid = grid
        self.tiles_per_axis, tile_of_token = tiles_of_tokens(grid, tile)
        self.token_of_position = np.argsort(tile_of_token, kind="stable")
        self.tile_of_position = tile_of_token[self.token_of_position]

    def tile_ranges(self):
        """(begin, end) in positions of every tile."""
        starts = np.flatnonzero(np.diff(self.tile_of_position, prepend=-1)).tolist()
        return list(zip(starts, starts[1:] + [len(self.tile_of_position)]))

    def tile_blocks(self, size):
        """(begin, end) of every block; none straddles two tiles, a tile's last may be short."""
        return [block for tile in self.tile_ranges() for block in cut(*tile, size)]

    def sequence_blocks(self, size):
        """(begin, end) of blocks along the sequence; only the last may be short."""
        return cut(0, len(self.token_of_position), size)


def as_given(grid):
    return Order(grid, (1, 1, 1))


def token_major(grid):
    """All frames of a place, then the next place."""
    order = as_given(grid)
    video = np.arange(math.prod(grid)).reshape(grid[0], -1).T.reshape(-1)
    order.token_of_position = np.concatenate([video, len(video) + np.arange(grid.text)])
    order.tile_of_position = None
    return order


def tiles_of_tokens(grid, tile):
    """Tiles per axis, and each token's tile, row-major; the text's comes after the video's."""
    tiles_per_axis = [-(-g // t) for g, t in zip(grid, tile)]
    t, h, w = np.indices(grid).reshape(3, -1)  # in token order: index (t*H + h)*W + w
    coordinates = t // tile[0], h // tile[1], w // tile[2]
    of_video = np.ravel_multi_index(coordinates, tiles_per_axis)
    return tiles_per_axis, np.concatenate([of_video, np.full(grid.text, math.prod(tiles_per_axis))])


def cut(begin, end, size):
    return [(start, min(start + size, end)) for start in range(begin, end, size)]


def axis_window(count, window):
    """kept[u, v] on one axis of `count` tiles: clamped border, the query in the centre."""
    half = window // 2
    u, v = np.indices((count, count))
    if count <= window:
        return np.ones((count, count), bool)
    centre = np.clip(u, half, count - 1 - half)
    return np.abs(centre - v) <= half


def window_mask(tiles_per_axis, window):
    """kept[u, v] between tiles, both in row-major order of their coordinates; text sees and is seen by all."""
    t, h, w = (axis_window(c, k).astype(int) for c, k in zip(tiles_per_axis, window))
    return np.pad(np.kron(np.kron(t, h), w) == 1, (0, 1), constant_values=True)


def window_pairs(order, window):
    """kept[query, key] between positions of `order`."""
    of = order.tile_of_position
    return window_mask(order.tiles_per_axis, window)[of[:, None], of[None, :]]


def band_pairs(grid, density, first_frames):
    """kept[query, key] between positions: a band, and the first frames' positions."""
    tokens = math.prod(grid)
    width = -(-(tokens * (1 - math.sqrt(1 - density))) // 128) * 128
    query, key = np.indices((tokens, tokens))
    kept = (np.abs(query - key) <= width) | (key < first_frames * grid[1] * grid[2])
    return np.pad(kept, (0, grid.text), constant_values=True)


def causal_pairs(length):
    """kept[query, key] between positions: no key behind the query."""
    return np.tri(length, dtype=bool)


def visited(kept, queries, key_blocks):
    """The blocks of keys, in their order, that hold a kept pair with the (begin, end) of queries."""
    rows = kept[slice(*queries)]
    return [block for block in key_blocks if rows[:, slice(*block)].any()]


def partial_then_full(kept, queries, key_blocks, listed):
    """The visited blocks of keys: those in partial blocks of `listed` x `listed` positions first, then those in
    full ones. A listed block that is short is partial. listed = 0: the blocks themselves, however short."""
    def is_full(block):
        if listed == 0:
            return kept[slice(*queries), slice(*block)].all()
        row, column = queries[0] // listed * listed, block[0] // listed * listed
        pairs = kept[row:row + listed, column:column + listed]
        return pairs.size == listed * listed and pairs.all()

    return sorted(visited(kept, queries, key_blocks), key=is_full)  # stable
