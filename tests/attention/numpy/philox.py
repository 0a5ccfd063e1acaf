# Random words, Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3"),
# written from docs/recipes/operations.md alone.


def philox(counter, key):
    """Four 32-bit words of a counter of four and a key of two."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def random_word(seed, stream, index):
    """Word `index` of a stream: word index mod 4 of the block of counter index div 4."""
    low, high = lambda x: x & 0xFFFFFFFF, lambda x: x >> 32
    block = index // 4
    return philox((low(block), high(block), low(stream), high(stream)), (low(seed), high(seed)))[index % 4]
