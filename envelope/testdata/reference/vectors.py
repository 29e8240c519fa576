"""Opens the vectors beside it, writes from the input of TestVectorsPython, and says what it did."""
import hashlib, hmac, json, os, sys, time
from pathlib import Path

import cbor2
import rahasia as r

done = {"opened": 0, "refused": 0}


def files(kind):
    """Name and content of the vectors that open, then of those that do not."""
    paths = sorted((Path(__file__).parent.parent / "vectors").glob(kind + "_*.json"), key=lambda p: ("_reject_" in p.name, p.name))
    return [(p.name, json.loads(p.read_text())) for p in paths]


def opens(name, got, want):
    assert got == want, f"{name}: opens as something else"
    done["opened"] += 1


def refuses(name, why, do, *args):
    try:
        do(*args)
    except r.Refused as e:
        assert str(e) == why, f"{name}: refused for {e}, want {why}"
        done["refused"] += 1
    else:
        raise AssertionError(f"{name}: opens")


def rows():
    for name, v in files("row"):
        row, parts = unhex(v["row"]), v.get("keys") or v.get("sections")
        keys = {(p["compartment"], p["generation"]): unhex(p["record_key"]) for p in parts}
        if "expect" in v:
            refuses(name, v["expect"], r.open_row, v["context"], row, keys)
            continue
        want = {p["compartment"]: (unhex(p["tag"]), [(f["name"], f["type"], unhex(f["value"])) for f in p["fields"] or []])
                for p in parts}
        opens(name, r.open_row(v["context"], row, keys), want)
        again = [(p["compartment"], p["generation"], unhex(p["record_key"]), *want[p["compartment"]]) for p in parts]
        assert r.seal_row(v["context"], unhex(v["seal_id"]), again) == row, name


def objects():
    made = {}
    for name, v in files("object"):
        c, key, reference = v["context"], unhex(v["object_key"]), unhex(v["reference"])
        if "expect" in v:
            good = made[v["object"]]
            bad = bytearray(b"".join(good[a:b] for a, b in v.get("ranges", [[0, len(good)]])))
            for i, x in enumerate(unhex(v.get("xor", ""))):
                bad[v.get("xor_at", 0) + i] ^= x
            refuses(name, v["expect"], r.open_object, c, key, reference, bytes(bad))
            continue
        text = bytes(i % 251 for i in range(v["length"]))
        mine, sealed = r.seal_object(c, key, v["generation"], unhex(c["id"]), unhex(v["salt"]), text)
        assert mine == reference and hashlib.sha256(sealed).hexdigest() == v["sealed_sha256"], name
        opens(name, r.open_object(c, key, reference, sealed), text)
        made[name] = sealed


def messages():
    for name, v in files("message"):
        v["key"], m = unhex(v["keyset_key"]), unhex(v["message"])
        if "expect" in v:
            refuses(name, v["expect"], r.open_message, v, m)
            continue
        what = unhex(v["subject"]), unhex(v["payload"])
        opens(name, r.open_message(v, m), what)
        assert r.seal_message(v, unhex(v["id"]), *what) == m, name


def items():
    for name, v in files("inbox"):
        v["key"], item, enc, exported = (unhex(v[k]) for k in ("keyset_key", "item", "encapsulation", "input_key"))
        if "expect" in v:
            refuses(name, v["expect"], r.open_item, v, item, {enc: exported})
            continue
        what = unhex(v["subject"]), unhex(v["payload"])
        opens(name, r.open_item(v, item, {enc: exported}), what)
        assert r.seal_item(v, enc, exported, unhex(v["salt"]), *what) == item, name


def credentials():
    for name, v in files("credential"):
        if "expect" in v:
            refuses(name, v["expect"], r.open_credential, v["text"].encode())
            continue
        names = tuple(v[k].encode() for k in ("ring", "inbox", "sender"))
        keys = r.u32(v["keyset_version"]), unhex(v["public_key"]), unhex(v["sender_key"])
        opens(name, r.open_credential(v["text"].encode()), names + keys)


def unhex(s): return bytes.fromhex(s)


def subject_key(row):
    """§1, subject keys 3 to 6, of a live row: the record key and the object key."""
    wrap = r.prf(row["key"], "rahasia/wrap/v1", row["compartment"], row["tag"])
    aad = r.lp("rahasia/subject-key/v1", row["ring"], row["compartment"], row["tag"], r.u32(row["generation"]), r.u32(row["version"]), b"\1")
    key = r.unseal(wrap, row["wrapped"][:12], row["wrapped"][12:], aad)
    r.must(hmac.compare_digest(r.expand(key, "rahasia/commitment/v1"), row["commitment"]), "commitment")
    return r.expand(key, "rahasia/record-key/v1"), r.expand(key, "rahasia/object-key/v1")


def write(given):
    """Hex in and out, but for names and numbers."""
    row, v, box = given["row"], given["topic"], given["inbox"]
    c = {k: row[k] for k in ("ring", "compartment", "subject", "record_type", "record", "object_type")}
    for name in ("key", "tag", "wrapped", "commitment"):
        row[name] = unhex(row[name])
    record_key, object_key = subject_key(row)
    fields = [(f["name"], f["type"], cbor2.dumps(f["value"], canonical=True)) for f in given["fields"]]
    section = (c["compartment"], row["generation"], record_key, b"label", fields)
    ident = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))  # RFC 9562, version 7
    ident[6], ident[8] = 0x70 | ident[6] & 15, 0x80 | ident[8] & 63
    subject, payload = c["subject"].encode(), unhex(given["payload"])
    done["reference"], done["object"] = r.seal_object(c, object_key, row["generation"], bytes(ident), os.urandom(24), payload)
    done["row"] = r.seal_row(c, os.urandom(12), [section])
    v["key"], box["key"] = unhex(v["keyset_key"]), unhex(box["keyset_key"])
    done["message"] = r.seal_message(v, os.urandom(24), subject, payload)
    done["item"] = r.seal_item(box, unhex(box["encapsulation"]), unhex(box["exported"]), os.urandom(24), subject, payload)


rows(), objects(), messages(), items(), credentials()
write(json.load(sys.stdin))
json.dump({k: v.hex() if isinstance(v, bytes) else v for k, v in done.items()}, sys.stdout)
