"""By hand: the rule of --fuse ptxas against ptxas itself. Random blocks of mul, add, sub, neg and mov
are assembled, and the FFMA of the machine code counted; karat says how many sums it joined.

  fuse_ptxas.py KARAT PTXAS NVDISASM [SEED [BLOCKS]]

Prints blocks whose numbers differ. Known: blocks with the same sum twice, which ptxas computes once.
"""
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile


def block(rng):
    """Lines of one basic block, and the registers it stores."""
    values, products, lines, read = [f"%f{i}" for i in range(8)], [], [], set()
    for i in range(rng.randint(3, 12)):
        to, draw = f"%f{10 + i}", rng.random()

        def value():
            return rng.choice(products if products and rng.random() < 0.6 else values)
        if draw < 0.38:
            name, operands = "mul", [rng.choice(values), rng.choice(values)]
        elif draw < 0.87:
            name, operands = "add" if draw < 0.75 else "sub", [value(), value()]
        elif draw < 0.95:
            name, operands = "neg" if draw < 0.92 else "mov", [value()]
        else:
            name, operands = "add.rn" if draw < 0.975 else "max", [value(), value()]
        lines.append((name, to, operands))
        read.update(operands)
        values.append(to)
        if name in ("mul", "neg", "mov"):
            products.append(to)
    stored = [to for _, to, _ in lines if to not in read or rng.random() < 0.08]
    return lines, stored


def kernel(name, lines, stored):
    text = "".join(f"{op}.f32 {to}, {', '.join(operands)};\n" for op, to, operands in lines)
    text += "".join(f"st.global.f32 [%rd0+{32 + 4 * i}], {each};\n" for i, each in enumerate(stored))
    return (f".visible .entry {name}(.param .u64 b) {{\n.reg .b64 %rd0; .reg .f32 %f<40>;\n"
            "ld.param.u64 %rd0, [b];\n"
            "ld.global.v4.f32 {%f0,%f1,%f2,%f3}, [%rd0];\n"
            "ld.global.v4.f32 {%f4,%f5,%f6,%f7}, [%rd0+16];\n" + text + "}\n")


def live(lines, stored):
    """Without what nobody reads: ptxas leaves it out before it joins anything."""
    wanted, kept = set(stored), []
    for name, to, operands in reversed(lines):
        if to in wanted:
            kept.append((name, to, operands))
            wanted.update(operands)
    return kept[::-1]


def counted(ptxas, nvdisasm, file):
    """FFMA of each kernel; one that adds -0 stands for a neg."""
    cubin = file.with_suffix(".cubin")
    subprocess.run([ptxas, "-arch=sm_90a", file, "-o", cubin], check=True)
    text = subprocess.run([nvdisasm, "-c", cubin], check=True, capture_output=True, text=True).stdout
    counts, name = {}, None
    for line in text.splitlines():
        if found := re.search(r"\.section\s+\.text\.(k\d+)", line):
            name = found.group(1)
            counts[name] = 0
        elif name and "FFMA" in line and "-RZ" not in line:
            counts[name] += 1
    return counts


def joined(karat, folder, name):
    launch = {"schema": "karat.launch", "version": 1, "ptx": "blocks.ptx", "kernel": name,
              "block": [1], "fuse": "ptxas", "tensors": {"b": {"dtype": "f32", "shape": [64]}},
              "parameters": [{"pointer": "b"}]}
    (folder / "l.json").write_text(json.dumps(launch))
    done = subprocess.run([karat, "run", folder / "l.json", "-o", folder / "o.safetensors", "--json"],
                          check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["fused"]


def main(karat, ptxas, nvdisasm, seed=1, blocks=400):
    rng = random.Random(int(seed))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        made = {f"k{i}": block(rng) for i in range(int(blocks))}
        texts = {name: kernel(name, live(*each), each[1]) for name, each in made.items()}
        file = folder / "blocks.ptx"
        file.write_text(".version 8.0\n.target sm_90a\n.address_size 64\n" + "".join(texts.values()))
        counts, different = counted(ptxas, nvdisasm, file), 0
        for name in texts:
            ours = joined(karat, folder, name)
            if ours != counts[name]:
                different += 1
                print(f"{texts[name]}karat {ours}, ptxas {counts[name]}\n")
        print(f"{different} of {len(texts)} blocks differ, {sum(counts.values())} FFMA in all")


main(*sys.argv[1:])
