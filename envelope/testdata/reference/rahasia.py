"""Another implementation of docs/SPEC.md, section 2; vectors.py runs it.
`cryptography` has no ML-KEM: inbox items start from the secret that HPKE exports.
Not for production: it leaves copies of keys in memory.
"""
import base64, hmac, re, struct

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

class Refused(Exception): pass
def must(ok, why):
    if not ok:
        raise Refused(why)

def lp(*parts):
    parts = [p.encode() if isinstance(p, str) else p for p in parts]
    return b"".join(struct.pack(">H", len(p)) + p for p in parts)

def u32(n): return struct.pack(">I", n)
def prf(key, *parts): return HKDF(SHA256(), 32, None, lp(*parts)).derive(key)
def expand(key, *parts): return HKDFExpand(SHA256(), 32, lp(*parts)).derive(key)
def mac(key, data): return hmac.digest(key, data, "sha256")
def seal(key, nonce, text, aad=None): return AESGCM(key).encrypt(nonce, text, aad)
def unseal(key, nonce, sealed, aad=None, why="open"):
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Refused(why) from None

def pad(n):  # 2.3
    e = n.bit_length() - 1
    step = 64 if n <= 1024 else 1 << (e - e.bit_length())
    return -(-n // step) * step

# 2.4: deterministic CBOR
def item(b, at, why="value", depth=0):
    """Returns where the item at b[at:] ends."""
    must(at < len(b) and depth <= 32, why)
    major, n = b[at] >> 5, b[at] & 31
    size = {24: 1, 25: 2, 26: 4, 27: 8}.get(n, 0)
    end = at + 1 + size
    must(n < 28 and end <= len(b), why)
    if major == 7:
        if size < 2:
            must(b[at] in (0xF4, 0xF5, 0xF6), why)
        else:
            must(cbor2.dumps(cbor2.loads(b[at:end]), canonical=True) == b[at:end], why)
        return end
    if size:
        n = int.from_bytes(b[at + 1:end], "big")
        must(n >= (24 if size == 1 else 1 << 4 * size), why)
    if major in (2, 3):
        must(n <= len(b) - end, why)
        text = b[end:end + n]
        must(major == 2 or text.decode(errors="ignore").encode() == text, why)
        return end + n
    if major == 4:
        for _ in range(n):
            end = item(b, end, why, depth + 1)
    elif major == 5:
        last = b""
        for _ in range(n):
            after = item(b, end, why, depth + 1)
            key = b[end:after]
            must(key[0] >> 5 in (0, 1, 3) and key > last, why)
            last, end = key, item(b, after, why, depth + 1)
    else:
        must(major < 2, why)
    return end

# 2.1 to 2.5: rows
def nonce(seal_id, i): return seal_id[:8] + u32(int.from_bytes(seal_id[8:], "big") ^ i)
def record(c, compartment): return lp("rahasia/record/v1", c["ring"], compartment, c["subject"], c["record_type"], c["record"])

def seal_row(c, seal_id, sections):
    """sections: (compartment, generation, key, tag, [(name, code, value)])."""
    plan, header = [], b"\x11" + seal_id + bytes([len(sections)])
    for name, generation, key, tag, fields in sorted(sections, key=lambda s: s[0].encode()):
        fields = sorted(fields, key=lambda f: f[0].encode())
        index = cbor2.dumps([tag] + [[f, code, len(v)] for f, code, v in fields], canonical=True)
        n = 20 + len(index) + 16 + sum(len(v) + 16 for _, _, v in fields)
        header += bytes([len(name)]) + name.encode() + u32(generation) + u32(pad(n))
        plan.append((name, key, index + bytes(pad(n) - n), fields))
    row = header
    for name, key, manifest, fields in plan:
        row += seal(key, nonce(seal_id, 0), u32(len(manifest)), record(c, name) + header)
        row += seal(key, nonce(seal_id, 1), manifest)
        row += b"".join(seal(key, nonce(seal_id, 2 + j), f[2]) for j, f in enumerate(fields))
    return row

def parts(row):  # 2.5 step 1
    must(row and row[0] >> 4 == 1, "structure")
    must(row[0] & 15 == 1, "version")
    must(14 <= len(row) <= 64 << 20 and 1 <= row[13] <= 16, "structure")
    out, at = [], 14
    for _ in range(row[13]):
        must(at < len(row) and at + 9 + row[at] <= len(row), "structure")
        name, at = row[at + 1:at + 1 + row[at]], at + 1 + row[at]
        generation, length = struct.unpack(">II", row[at:at + 8])
        at += 8
        must(re.fullmatch(rb"[a-z][a-z0-9-]{0,31}", name) and (not out or out[-1][0] < name), "structure")
        must(64 <= length <= 64 << 20 and length == pad(length), "structure")
        out.append((name, generation, length))
    must(len(row) == at + sum(p[2] for p in out), "structure")
    return row[:at], out

def entries(manifest, length):
    """2.5 step 4: the tag and the fields (name, code, length)."""
    raw = manifest[:item(manifest, 0, "manifest")]
    index = cbor2.loads(raw)
    must(type(index) is list and index and type(index[0]) is bytes and len(index[0]) <= 4096 and len(index) <= 1025, "manifest")
    last, n = "", 20 + len(raw) + 16
    for f in index[1:]:
        must(type(f) is list and [type(x) for x in f] == [str, int, int], "manifest")
        must(re.fullmatch(r"[ -~]{1,64}", f[0]) and f[0] > last and 1 <= f[1] <= 23 and 1 <= f[2] <= 16 << 20, "manifest")
        last, n = f[0], n + f[2] + 16
    must(pad(n) == length and manifest == raw + bytes(length - n), "manifest")
    return index[0], index[1:]

def open_row(c, row, keys):
    """Opens all of it: {compartment: (tag, [(name, code, value)])}."""
    header, sections = parts(row)
    out, at, seal_id = {}, len(header), row[1:13]
    for name, generation, length in sections:
        section, at, name = row[at:at + length], at + length, name.decode()
        must((name, generation) in keys, "key")
        key = keys[name, generation]
        size, = struct.unpack(">I", unseal(key, nonce(seal_id, 0), section[:20], record(c, name) + header, "lead"))
        must(20 + size + 16 <= length, "manifest")
        manifest = unseal(key, nonce(seal_id, 1), section[20:36 + size], why="manifest")
        tag, index = entries(manifest, length)
        fields, begin = [], 36 + size
        for j, (field, code, n) in enumerate(index):
            value = unseal(key, nonce(seal_id, 2 + j), section[begin:begin + n + 16], why="field")
            must(item(value, 0) == n, "value")
            fields.append((field, code, value))
            begin += n + 16
        out[name] = (tag, fields)
    return out

# 2.10: chunked encryption and objects
CHUNK = 16384
def derive(key, salt, context):
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + context
    out = HKDFExpand(SHA512(), 76, info).derive(key)
    return out[:32], int.from_bytes(out[32:44], "big"), out[44:]
def seal_chunks(key, base, text):
    return b"".join(seal(key, (base ^ i).to_bytes(12, "big"), text[i * CHUNK:(i + 1) * CHUNK])
                    for i in range(len(text) // CHUNK + 1))
def open_chunks(key, base, size, sealed):
    text = b""
    for i in range(size // CHUNK + 1):
        n = min(CHUNK, size - i * CHUNK) + 16
        must(len(sealed) >= n, "truncated")
        text += unseal(key, (base ^ i).to_bytes(12, "big"), sealed[:n])
        sealed = sealed[n:]
    must(not sealed, "open")
    return text

def object_context(c, object_id): return lp("rahasia/object/v1", c["ring"], c["compartment"], c["subject"], c["object_type"], object_id)
def seal_object(c, key, generation, object_id, salt, text):
    k, base, commitment = derive(key, salt, object_context(c, object_id))
    head = salt + commitment
    return b"\x41" + object_id + u32(generation) + struct.pack(">Q", len(text)) + head, head + seal_chunks(k, base, text)
def open_object(c, key, reference, sealed):
    must(reference and reference[0] >> 4 == 4, "structure")
    must(reference[0] & 15 == 1, "version")
    must(len(reference) == 85, "structure")
    object_id, (generation, size), head = reference[1:17], struct.unpack(">IQ", reference[17:29]), reference[29:]
    must(object_id[6] >> 4 == 7 and object_id[8] >> 6 == 2 and generation > 0 and size < 1 << 52, "structure")
    k, base, commitment = derive(key, head[:24], object_context(c, object_id))
    must(hmac.compare_digest(commitment, head[24:]), "open")
    must(len(sealed) >= 56, "truncated")
    must(sealed[:56] == head, "open")
    return open_chunks(k, base, size, sealed[56:])

# 2.11: messages; 2.12: inbox items and credentials
SENDER = rb"[A-Za-z0-9._-]{1,64}"
LONGEST = pad(1 + 255 + (16 << 20) + 1 + 16)
def fill(subject, payload):
    b = bytes([len(subject)]) + subject + payload + b"\x80"
    return b + bytes(pad(len(b) + 16) - 16 - len(b))
def split(content):
    n, body = content[0], content.rstrip(b"\0")
    must(0 < n and 1 + n < len(body) and body[-1] == 0x80, "open")
    subject, payload = body[1:1 + n], body[1 + n:-1]
    must(len(payload) <= 16 << 20 and fill(subject, payload) == content, "open")
    return subject, payload

def seal_message(v, ident, subject, payload):
    key = prf(v["key"], "rahasia/message/v1", v["topic"], ident)
    header = b"\x21" + u32(v["keyset_version"]) + ident
    return header + seal(key, bytes(12), fill(subject, payload), lp("rahasia/message/v1", v["ring"], v["topic"]) + header)
def open_message(v, b):
    must(b and b[0] >> 4 == 2, "structure")
    must(b[0] & 15 == 1, "version")
    header, n = b[:29], len(b) - 29
    must(64 <= n <= LONGEST and n == pad(n) and header[1:5] != bytes(4), "structure")
    must(header[1:5] == u32(v["keyset_version"]), "keyset version")
    key = prf(v["key"], "rahasia/message/v1", v["topic"], header[5:])
    return split(unseal(key, bytes(12), b[29:], lp("rahasia/message/v1", v["ring"], v["topic"]) + header))

def item_mac(v, sender, head, start):
    key = prf(v["key"], "rahasia/inbox-sender/v1", v["inbox"], sender)
    return mac(key, lp("rahasia/inbox-item/v1", v["ring"], v["inbox"]) + head + start)
def seal_item(v, encapsulation, exported, salt, subject, payload):
    sender = v["sender"].encode()
    head = b"\x31\x64\x7a" + u32(v["keyset_version"]) + bytes([len(sender)]) + sender + encapsulation
    k, base, commitment = derive(exported, salt, lp("rahasia/inbox-body/v1") + head)
    start = salt + commitment
    return head + item_mac(v, sender, head, start) + start + seal_chunks(k, base, fill(subject, payload))
def open_item(v, b, exported):
    """exported: the secret that HPKE exports, by encapsulation."""
    must(b and b[0] >> 4 == 3, "structure")
    must(b[0] & 15 == 1, "version")
    must(len(b) >= 8, "structure")
    must(b[1:3] == b"\x64\x7a", "version")
    end = 8 + b[7]
    sender, head, rest = b[8:end], b[:end + 1120], b[end + 1120:]
    must(b[3:7] != bytes(4) and re.fullmatch(SENDER, sender), "structure")
    chunks = len(rest) - 32 - 56
    count = -(-chunks // (CHUNK + 16))
    size = chunks - 16 * count
    must(count == size // CHUNK + 1 and 64 <= size + 16 <= LONGEST and size + 16 == pad(size + 16), "structure")
    must(b[3:7] == u32(v["keyset_version"]), "keyset version")
    must(hmac.compare_digest(rest[:32], item_mac(v, sender, head, rest[32:88])), "open")
    must(head[end:] in exported, "no ML-KEM here: unknown encapsulation")
    k, base, commitment = derive(exported[head[end:]], rest[32:56], lp("rahasia/inbox-body/v1") + head)
    must(hmac.compare_digest(commitment, rest[56:88]), "open")
    return split(open_chunks(k, base, size, rest[88:]))

def open_credential(text):
    form = re.fullmatch(rb"rahasia-intake-v1:([A-Za-z0-9_-]+)\n", text)
    must(form and len(form[1]) % 4 != 1, "credential")
    b = base64.urlsafe_b64decode(form[1] + b"==")
    must(base64.urlsafe_b64encode(b).rstrip(b"=") == form[1], "credential")
    names, at = [], 0
    for _ in range(3):
        n = int.from_bytes(b[at:at + 2], "big")
        names, at = names + [b[at + 2:at + 2 + n]], at + 2 + n
    must(len(b) == at + 6 + 1216 + 64 and re.fullmatch(SENDER, names[2]), "credential")
    version, public, key = b[at:at + 4], b[at + 6:-64], b[-64:-32]
    must(names[0] and 0 < len(names[1]) <= 122 and version != bytes(4) and b[at + 4:at + 6] == b"\x64\x7a", "credential")
    must(all(int.from_bytes(public[:1152], "little") >> 12 * i & 4095 < 3329 for i in range(768)), "credential")  # FIPS 203, 7.2
    must(hmac.compare_digest(b[-32:], mac(key, lp("rahasia/intake-file/v1") + b[:-64])), "credential")
    return *names, version, public, key
