# Grid, token order, window mask and blocks, written from docs/recipes/fpsattention.md alone.

import numpy as np


class Order:
    """Positions of a T x H x W grid cut into tiles: tile after tile, row-major inside each."""

    def __init__(self, grid, tile):
        self.grid, self.tile = grid, tile
        self.tiles_per_axis = [-(-g // t) for g, t in zip(grid, tile)]
        t, h, w = np.indices(grid).reshape(3, -1)  # in token order: index (t*H + h)*W + w
        coordinates = t // tile[0], h // tile[1], w // tile[2]
        tile_of_token = np.ravel_multi_index(coordinates, self.tiles_per_axis)
        self.token_of_position = np.argsort(tile_of_token, kind="stable")
        self.tile_of_position = tile_of_token[self.token_of_position]

    def tile_count(self):
        return int(np.prod(self.tiles_per_axis))

    def tile_range(self, tile):
        """First position of a tile and the one after its last."""
        return (int(np.searchsorted(self.tile_of_position, tile, "left")),
                int(np.searchsorted(self.tile_of_position, tile, "right")))

    def blocks(self, size):
        """(tile, begin, end) of every block of positions; none straddles two tiles."""
        for tile in range(self.tile_count()):
            begin, end = self.tile_range(tile)
            for start in range(begin, end, size):
                yield tile, start, min(start + size, end)

    def sequence_blocks(self, size):
        """(begin, end) of blocks of fixed size along the sequence; the last may be short."""
        length = len(self.token_of_position)
        return [(start, min(start + size, length)) for start in range(0, length, size)]


def axis_window(count, window):
    """kept[u, v] on one axis of `count` tiles: clamped border, the query in the centre."""
    half = window // 2
    u, v = np.indices((count, count))
    if count <= window:
        return np.ones((count, count), bool)
    centre = np.clip(u, half, count - 1 - half)
    return np.abs(centre - v) <= half


def window_mask(tiles_per_axis, window):
    """kept[u, v] between tiles in row-major order."""
    t, h, w = (axis_window(c, k) for c, k in zip(tiles_per_axis, window))
    return np.kron(np.kron(t, h), w).astype(bool)
