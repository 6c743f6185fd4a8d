"""Files of a local state treated as a failing disk treats them."""


def flip_bits(path, random, every=512):
    """One bit in each so many bytes of the first half: of a table that is data, and the file can still be opened."""
    data = bytearray(path.read_bytes())
    for at in range(random.randrange(every), len(data) // 2, every):
        data[at] ^= 1 << random.randrange(8)
    with open(path, "r+b") as file:  # the same file: whoever has it open reads the new bytes
        file.write(data)
