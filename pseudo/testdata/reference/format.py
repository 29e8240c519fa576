"""Format-preserving tokens v1 (docs/SPEC.md, section 3) apart from the Go code:
writes ../vectors/format_v1.json.

    python3 pseudo/testdata/reference/format.py > pseudo/testdata/vectors/format_v1.json

Needs the package cryptography, of which AES on one block is all that is used.
"""

import json

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

DATES, REST = 62 * 12, 10**12
COUNT = DATES * REST


def ff1(key, text, radix=10):
    """SP 800-38G, algorithm 7, with an empty tweak."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    n = len(text)
    u, v = n // 2, n - n // 2
    a, b = text[:u], text[u:]
    size = ((radix**v - 1).bit_length() + 7) // 8
    d = 4 * -(-size // 4) + 4
    assert d <= 16
    p = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256]) + n.to_bytes(4, "big") + bytes(4)
    for i in range(10):
        q = bytes((-size - 1) % 16) + bytes([i]) + int(b, radix).to_bytes(size, "big")
        r = bytes(16)
        for at in range(0, 16 + len(q), 16):
            r = encryptor.update(bytes(x ^ y for x, y in zip(r, (p + q)[at : at + 16])))
        m = u if i % 2 == 0 else v
        c = (int(a, radix) + int.from_bytes(r[:d], "big")) % radix**m
        a, b = b, str(c).zfill(m)
    return a + b


def nik(key, version, normal):
    day, month = int(normal[6:8]), int(normal[8:10])
    date = (day - 1 if day <= 31 else day - 41 + 31) * 12 + month - 1
    rank = date * REST + int(normal[:6] + normal[10:])
    walk = [rank]
    while len(walk) == 1 or walk[-1] >= COUNT:
        walk.append(int(ff1(key, str(walk[-1]).zfill(15))))
    date, rest = divmod(walk[-1], REST)
    pair = version % 3 * DATES + date
    rest = str(rest).zfill(12)
    token = f"{rest[:6]}{72 + pair // 87:02}{13 + pair % 87:02}{rest[6:]}"
    return {"kind": "nik", "version": version, "key": key.hex(), "normal": normal, "walk": walk, "token": token}


def main():
    assert ff1(bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C"), "0123456789") == "2433477484"  # NIST, sample 1
    keys = [bytes(range(32)), bytes(range(32, 64))]
    numbers = ["9271060312000001", "0000000101000000", "9999997112999999", "3171233112999999", "3171234101000001", "3171236902000001"]
    vectors = [nik(key, version, n) for key in keys for version in (1, 2, 3, 4294967295) for n in numbers]
    for key in keys:
        for n in ("0001234567890", "0000000000000", "9999999999999"):
            vectors.append({"kind": "bpjs", "version": 1, "key": key.hex(), "normal": n, "token": ff1(key, n)})
    comment = "Format-preserving tokens v1 (docs/SPEC.md), by testdata/reference/format.py and not by the Go code. walk: the number of the NIK, and after it the results of FF1 up to the first that is the number of a NIK."
    print(json.dumps({"comment": comment, "vectors": vectors}, indent=1))


main()
