"""karat mask against a mask counted pair by pair in NumPy."""
import json
import types
import unittest
import unittest.mock

import numpy as np

from karat import Case, read, write


def brute_mask(grid, tile, window, border):
    """L x L booleans in original token order; unit tiles, centre query."""
    coordinates = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, 3)
    cells = coordinates // tile
    counts = -(-np.array(grid) // tile)
    half = np.array(window) // 2
    keep = np.ones((len(cells), len(cells)), bool)
    for axis in range(3):
        centre = cells[:, axis]
        if border == "clamp":
            high = counts[axis] - 1 - half[axis]
            centre = (np.clip(centre, half[axis], high) if counts[axis] > 2 * half[axis] + 1
                      else np.full_like(centre, half[axis]))
        distance = np.abs(centre[:, None] - cells[None, :, axis])
        whole = border == "clamp" and 2 * half[axis] + 1 >= counts[axis]
        keep &= True if whole else distance <= half[axis]
    return keep


class Table(np.ndarray):
    """An array that moves between devices as PyTorch's tensors do."""
    devices = []

    def to(self, device):
        self.devices.append(device)
        return self


class Mask(Case):
    def report(self, *arguments):
        return json.loads(self.succeeds("mask", *arguments, "--json").stdout)

    def test_wan_720p_like_grid(self):
        report = self.report("--tile", "6,8,8", "--window", "3,3,3", "--grid", "30,48,80")
        self.assertEqual((report["schema"], report["version"]), ("karat.mask", 1))
        self.assertAlmostEqual(report["density"], 0.09, places=12)  # 27 of 300 tiles
        self.assertAlmostEqual(report["tile_density"], 0.09, places=12)
        self.assertAlmostEqual(report["block_density"], 0.09, places=12)
        self.assertEqual(report["full_blocks"], 900 * 81)
        self.assertEqual(report["partial_blocks"], 0)

    def test_density_equals_a_count_of_pairs(self):
        for border in ("clamp", "truncate"):
            for grid in ((5, 7, 9), (4, 4, 8)):
                keep = brute_mask(grid, (2, 3, 4), (3, 1, 3), border)
                report = self.report("--tile", "2,3,4", "--window", "3,1,3", "--border", border,
                                     "--grid", ",".join(map(str, grid)))
                self.assertEqual(report["kept_pairs"], int(keep.sum()))
                self.assertAlmostEqual(report["density"], keep.mean(), places=12)

    def test_blockmask_holds_the_same_pairs(self):
        grid, tile, window, block = (5, 7, 9), (2, 3, 4), (3, 3, 1), 16
        self.succeeds("mask", "--tile", "2,3,4", "--window", "3,3,1", "--grid", "5,7,9", "--block",
                      "16,16", "--blockmask", "b.safetensors")
        arrays = {name: array for name, (_, array) in read(self.path("b.safetensors")).items()}
        keep = brute_mask(grid, tile, window, "clamp")
        order = np.argsort(arrays["position_of_token"])
        tiled = keep[np.ix_(order, order)]
        blocks = -(-len(tiled) // block)
        padded = np.zeros((blocks * block,) * 2, bool)
        padded[:len(tiled), :len(tiled)] = tiled
        parts = padded.reshape(blocks, block, blocks, block).swapaxes(1, 2)
        share = parts.mean((2, 3))
        for prefix, wanted in (("kv_", (share > 0) & (share < 1)), ("full_kv_", share == 1)):
            counts, indices = arrays[prefix + "num_blocks"], arrays[prefix + "indices"]
            self.assertEqual(counts.dtype, np.int32)
            self.assertEqual(counts.shape, (1, 1, blocks))
            self.assertEqual(indices.shape, (1, 1, blocks, blocks))
            for row in range(blocks):
                found = indices[0, 0, row, :counts[0, 0, row]]
                np.testing.assert_array_equal(found, np.flatnonzero(wanted[row]))

    def mask_mod(self, *arguments):
        """The pairs that the written mask_mod keeps over the padded grid, and the arrays."""
        done = self.succeeds("mask", *arguments, "--blockmask", "b.safetensors")
        self.assertIn("BACKEND=\"FLASH\"", done.stderr)
        with open(self.path("b.py")) as file:
            source = file.read()
        torch = types.ModuleType("torch")
        torch.tensor, torch.clamp = lambda values: np.array(values).view(Table), np.clip
        space = {}
        with unittest.mock.patch.dict("sys.modules", torch=torch):
            exec(compile(source, "b.py", "exec"), space)
        length = -(-space["POSITIONS"] // 16) * 16
        q, k = np.indices((length, length))
        kept = space["mask_mod"](0, 0, q, k)
        np.testing.assert_array_equal(space["mask_mod_on"]("cuda")(0, 0, q, k), kept)
        table = space["TABLE"]
        self.assertTrue(table is None or table.devices[-2:] == ["cpu", "cuda"], "the table must move too")
        self.against_torch(source, arguments[arguments.index("--block") + 1])
        return kept, space["POSITIONS"]

    def against_torch(self, source, block):
        """The blocks that PyTorch finds by the mask_mod, where PyTorch is, are those of the arrays."""
        try:
            from torch.nn.attention.flex_attention import create_block_mask
        except ImportError:
            return
        space = {}
        exec(compile(source, "b.py", "exec"), space)
        arrays = read(self.path("b.safetensors"))
        length = space["POSITIONS"]
        made = create_block_mask(space["mask_mod_on"]("cpu"), None, None, length, length, device="cpu",
                                 BLOCK_SIZE=tuple(map(int, block.split(","))))
        for name in ("kv_num_blocks", "full_kv_num_blocks"):
            np.testing.assert_array_equal(getattr(made, name).numpy().ravel(), arrays[name][1].ravel())

    def positions(self):
        return np.argsort(read(self.path("b.safetensors"))["position_of_token"][1])

    def test_mask_mod_keeps_the_pairs_of_the_window(self):
        for border in ("clamp", "truncate"):
            kept, length = self.mask_mod("--tile", "2,3,4", "--window", "3,1,3", "--border", border,
                                         "--grid", "5,7,9", "--block", "16,16")
            order = self.positions()
            wanted = brute_mask((5, 7, 9), (2, 3, 4), (3, 1, 3), border)[np.ix_(order, order)]
            np.testing.assert_array_equal(kept[:length, :length], wanted)
            self.assertFalse(kept[length:].any() or kept[:, length:].any(), "padding")

    def test_mask_mod_knows_text_and_bands(self):
        kept, length = self.mask_mod("--tile", "1,1,1", "--window", "3,3,3", "--grid", "3,4,5",
                                     "--text", "4", "--block", "16,16")
        wanted = np.ones((64, 64), bool)
        wanted[:60, :60] = brute_mask((3, 4, 5), (1, 1, 1), (3, 3, 3), "clamp")
        np.testing.assert_array_equal(kept[:length, :length], wanted)
        recipe = self.path("band.json")
        with open(recipe, "w") as file:
            json.dump({"base": "svg1_spatial", "mask": {"band": 0.05}}, file)
        kept, length = self.mask_mod("--recipe", recipe, "--grid", "8,7,9", "--block", "16,16")
        q, k = np.indices((length, length))
        np.testing.assert_array_equal(kept[:length, :length], (abs(q - k) <= 128) | (k < 63))

    def test_mask_mod_of_lists_is_a_table_of_blocks(self):
        keep = np.array([[1, 0, 1], [0, 1, 1]], np.uint8)
        write(self.path("m.safetensors"), {"mask_id": ("U8", keep)})
        kept, length = self.mask_mod("--mask", "m.safetensors", "--grid", "1,1,192", "--block",
                                     "128,64")
        wanted = np.kron(keep, np.ones((128, 64)))[:192] == 1
        np.testing.assert_array_equal(kept[:length, :length], wanted)
        pairs = (np.indices((32, 32)).sum(0) % 3 == 0).astype(np.uint8)
        write(self.path("p.safetensors"), {"mask": ("U8", pairs)})
        done = self.succeeds("mask", "--mask", "p.safetensors", "--grid", "1,1,32", "--block", "16,16",
                             "--blockmask", "p_out.safetensors")
        self.assertIn("no formula says", done.stderr)
        self.assertNotIn("p_out.py", self.files())

    def test_picture(self):
        self.succeeds("mask", "--tile", "2,3,4", "--window", "3,1,3", "--grid", "5,7,9", "--svg",
                      "m.svg")
        with open(self.path("m.svg")) as file:
            text = file.read()
        self.assertTrue(text.startswith("<svg"))
        self.assertIn("</svg>", text)

    def test_recipes_have_masks_too(self):
        report = self.report("--recipe", "fpsattention", "--grid", "21,30,52")
        self.assertEqual(report["block"], [64, 128])

    def test_bad_values(self):
        base = ["mask", "--grid", "5,7,9"]
        self.fails(2, "--window", arguments=base + ["--tile", "2,3,4", "--window", "0,3,3"])
        self.fails(2, "--tile", arguments=base + ["--tile", "2,3", "--window", "3,3,3"])
        self.fails(2, "tile", "missing", arguments=base + ["--window", "3,3,3"])
        self.fails(2, "border", arguments=base + ["--tile", "2,3,4", "--window", "3,3,3", "--border",
                                                  "clmap"])
        self.fails(3, "no/m.svg", arguments=base + ["--tile", "2,3,4", "--window", "3,3,3", "--svg",
                                                    "no/m.svg"])


if __name__ == "__main__":
    unittest.main()
