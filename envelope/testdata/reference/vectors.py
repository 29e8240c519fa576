"""Opens the vectors beside it, writes from the input of TestVectorsPython, and says what it did."""
import hashlib, hmac, json, os, sys, time
from pathlib import Path

import cbor2
import rahasia as r

done = {"opened": 0, "refused": 0}


def load(name):
    return json.loads((Path(__file__).parent.parent / "vectors" / name).read_text())


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
    for path in sorted((Path(__file__).parent.parent / "vectors").glob("row_*.json")):
        v = json.loads(path.read_text())
        row, parts = unhex(v["row"]), v.get("keys") or v.get("sections")
        keys = {(p["compartment"], p["generation"]): unhex(p["record_key"]) for p in parts}
        if "expect" in v:
            refuses(path.name, v["expect"], r.open_row, v["context"], row, keys)
            continue
        want = {p["compartment"]: (unhex(p["tag"]), [(f["name"], f["type"], unhex(f["value"])) for f in p["fields"] or []])
                for p in parts}
        opens(path.name, r.open_row(v["context"], row, keys), want)
        again = [(p["compartment"], p["generation"], unhex(p["record_key"]), *want[p["compartment"]]) for p in parts]
        assert r.seal_row(v["context"], unhex(v["seal_id"]), again) == row, path.name


def objects():
    file, made = load("object_v1.json"), {}
    for v in file["objects"]:
        text = bytes(i % 251 for i in range(v["length"]))
        c, key, reference = v["context"], unhex(v["object_key"]), unhex(v["reference"])
        mine, sealed = r.seal_object(c, key, v["generation"], unhex(c["id"]), unhex(v["salt"]), text)
        assert mine == reference and hashlib.sha256(sealed).hexdigest() == v["sealed_sha256"], v["length"]
        opens(v["length"], r.open_object(c, key, reference, sealed), text)
        made[v["length"]] = (c, key, reference, sealed)
    for v in file["rejections"]:
        c, key, reference, good = made[v["length"]]
        c = c | {k: v[k] for k in ("subject", "object_type") if k in v}
        bad = bytearray(b"".join(good[a:b] for a, b in v.get("ranges", [[0, len(good)]])))
        for i, x in enumerate(unhex(v.get("xor", ""))):
            bad[v["xor_at"] + i] ^= x
        reference = unhex(v["reference"]) if "reference" in v else reference
        refuses(v["name"], v["error"], r.open_object, c, key, reference, bytes(bad))


def messages():
    v = load("message_v1.json")
    v["key"] = unhex(v["keyset_key"])
    for m in v["messages"]:
        what = unhex(m["subject"]), unhex(m["payload"])
        opens(m["name"], r.open_message(v, unhex(m["message"])), what)
        assert r.seal_message(v, unhex(m["id"]), *what) == unhex(m["message"]), m["name"]
    for m in v["rejected"]:
        refuses(m["name"], m["error"], r.open_message, v, unhex(m["sealed"]))


def items():
    v = load("inbox_v1.json")
    v["key"] = unhex(v["keyset_key"])
    exported = {unhex(i["encapsulation"]): unhex(i["input_key"]) for i in v["items"]}
    for i in v["items"]:
        enc, what = unhex(i["encapsulation"]), (unhex(i["subject"]), unhex(i["payload"]))
        opens(i["name"], r.open_item(v, unhex(i["item"]), exported), what)
        assert r.seal_item(v, enc, exported[enc], unhex(i["salt"]), *what) == unhex(i["item"]), i["name"]
    for i in v["rejected"]:
        refuses(i["name"], i["error"], r.open_item, v, unhex(i["sealed"]), exported)


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


rows(), objects(), messages(), items()
write(json.load(sys.stdin))
json.dump({k: v.hex() if isinstance(v, bytes) else v for k, v in done.items()}, sys.stdout)
