"""Writes the references of `tests/it/claim.rs`: signatures by the reference tool of model signing and by owlet,
whole and broken, each with what the tool says of it. Not run by the tests; run it again to change them, or when the
test says that owlet writes another signature than the one that the tool has read:

    python make.py OWLET      (model-signing 1.1.1, and pyopenssl, which it forgets to ask for)

OWLET is the program, which signs, too. Keys follow from their number (`key` below and in the test), so that owlet's
signatures are the same every time. What is written here: `vectors.json`, a list of
{name, by, files, bundle, accepted, why}: the files of a folder (or, under the name `.`, of a file alone; a text is
its content, a list is where a link leads), the text of the signature, and whether the tool accepted it.
"""

import base64
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import model_signing

HERE = pathlib.Path(__file__).parent
OWLET = pathlib.Path(sys.argv[1]).resolve()
OMS = "https://model_signing/signature/v1.0"
TREE = {"a/x": "one\n", "a-b/x": "two\n", "config.json": "{}\n", "ä:b.txt": "three\n"}
ALONE = {".": "{\"prompt\": \"7, 21\"}\n"}
WORK = pathlib.Path(tempfile.mkdtemp())


def key(number):
    """A private key: the scalar whose every byte is `number`."""
    return ec.derive_private_key(int.from_bytes(bytes([number] * 32)), ec.SECP256R1())


def key_files(number):
    private, public = WORK / f"{number}.pem", WORK / f"{number}.pub"
    private.write_bytes(key(number).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key(number).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public


PRIVATE, PUBLIC = key_files(7)
COUNT = 0


def place(files):
    """Writes files into a folder of their own, or a file alone."""
    global COUNT
    COUNT += 1
    folder = WORK / str(COUNT) / "tree"
    if "." in files:
        folder.parent.mkdir()
        alone = folder.parent / "rows.jsonl"
        alone.write_text(files["."])
        return alone
    folder.mkdir(parents=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            path.symlink_to(content[0])
        else:
            path.write_text(content)
    return folder


def by_tool(files, hashing=None):
    path, signature = place(files), WORK / f"{COUNT}.sig"
    config = model_signing.signing.Config().use_elliptic_key_signer(private_key=PRIVATE)
    config.set_hashing_config(hashing or model_signing.hashing.Config())
    config.sign(path, signature)
    return signature.read_text()


def by_owlet(files):
    path, signature = place(files), WORK / f"{COUNT}.sig"
    subprocess.run([OWLET, "sign", path, "--key", PRIVATE, "--output", signature, "--quiet"], check=True)
    return signature.read_text()


VECTORS = []


def vector(name, files, bundle, by="tool", hashing=None):
    path, signature = place(files), WORK / f"{COUNT}.sig"
    signature.write_text(bundle)
    config = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=PUBLIC)
    if hashing:
        config.set_hashing_config(hashing())
    try:
        config.verify(path, signature)
        accepted, why = True, ""
    except Exception as error:  # Whatever it is, it is refused.
        accepted, why = False, f"{type(error).__name__}: {error}".replace(str(WORK), "").splitlines()[0][:160]
    VECTORS.append(dict(name=name, by=by, files=files, bundle=bundle, accepted=accepted, why=why))
    print(f"{'accepted' if accepted else 'refused ':8}  {name}  {why}")


def changed(bundle, change):
    """The bundle with a change to its JSON, signed as before."""
    value = json.loads(bundle)
    change(value)
    return json.dumps(value)


def resigned(bundle, change, encode=None, private=None):
    """The bundle with a change to what it says, signed anew."""
    value = json.loads(bundle)
    envelope = value["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    payload = json.dumps(statement).encode()
    kind = envelope["payloadType"]
    encode = encode or (lambda kind, body: b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(body), body))
    signature = (private or key(7)).sign(encode(kind, payload), ec.ECDSA(hashes.SHA256()))
    envelope["payload"] = base64.b64encode(payload).decode()
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(value)


def root(statement):
    """Makes the root fit the resources."""
    digests = b"".join(bytes.fromhex(one["digest"]) for one in statement["predicate"]["resources"])
    digest = hashes.Hash(hashes.SHA256())
    digest.update(digests)
    statement["subject"][0]["digest"]["sha256"] = digest.finalize().hex()


def resources(change):
    """A change to the list of files, with the root that fits it."""
    def both(statement):
        change(statement["predicate"]["resources"])
        root(statement)
    return both


def without(files, name):
    return {other: content for other, content in files.items() if other != name}


def main():
    tree, alone = by_tool(TREE), by_tool(ALONE)
    hashing = model_signing.hashing.Config
    plain = lambda statement: None
    envelope = lambda change: lambda value: change(value["dsseEnvelope"])
    material = lambda change: lambda value: change(value["verificationMaterial"])

    # As they are.
    vector("a folder by the tool", TREE, tree)
    vector("a file alone by the tool", ALONE, alone)
    vector("a folder by owlet", TREE, by_owlet(TREE), by="owlet")
    vector("a file alone by owlet", ALONE, by_owlet(ALONE), by="owlet")
    git = TREE | {".gitattributes": "*.bin lfs\n", ".git/config": "[core]\n"}
    vector("what git keeps beside", git, tree)
    ignored = by_tool(TREE | {"notes/a": "?"}, hashing().set_ignored_paths(paths=["notes"]))
    vector("what was to be ignored", TREE | {"notes/b": "!"}, ignored)
    vector("what was to be ignored, elsewhere", TREE | {"a/notes/b": "!"}, ignored)
    blake3 = by_tool(TREE, hashing().use_file_serialization(hashing_algorithm="blake3"))
    vector("digests of BLAKE3", TREE, blake3)
    vector("digests of BLAKE3, a byte flipped", TREE | {"a/x": "onf\n"}, blake3)
    vector("digests of BLAKE2", TREE, by_tool(TREE, hashing().use_file_serialization(hashing_algorithm="blake2")))
    long = without(TREE, "ä:b.txt") | {"long": "0123456789" * 3, "empty": "", "even": "01234567"}
    # The tool does not understand its own signature's size of pieces, and wants to be told.
    by_eight = lambda: hashing().use_shard_serialization(shard_size=8)
    shards = by_tool(long, by_eight())
    vector("pieces", long, shards, hashing=by_eight)
    vector("pieces, a byte flipped", long | {"long": "0123456789" * 2 + "0123456788"}, shards, hashing=by_eight)
    vector("pieces, one more", long | {"even": "012345678"}, shards, hashing=by_eight)
    vector("pieces, one less", long | {"long": "0123456789" * 2}, shards, hashing=by_eight)
    vector("pieces, an empty file more", long | {"more": ""}, shards, hashing=by_eight)
    vector("pieces, a file more", long | {"more": "!"}, shards, hashing=by_eight)
    links = by_tool(TREE, hashing().set_allow_symlinks(True))
    vector("links allowed, and none there", TREE, links)

    # Other files than those that were signed.
    vector("a byte flipped", TREE | {"a/x": "onf\n"}, tree)
    vector("a byte more", TREE | {"a/x": "one\n\n"}, tree)
    vector("a file renamed", without(TREE, "config.json") | {"config2.json": "{}\n"}, tree)
    vector("a file renamed in case", without(TREE, "config.json") | {"Config.json": "{}\n"}, tree)
    vector("a file added", TREE | {"loader.py": "import os\n"}, tree)
    vector("a file missing", without(TREE, "config.json"), tree)
    vector("two files changed for each other", TREE | {"a/x": "two\n", "a-b/x": "one\n"}, tree)
    vector("a link added", TREE | {"link": ["config.json"]}, tree)
    vector("a link in the place of a file", TREE | {"config.json": ["../../elsewhere"]}, tree)
    vector("a file alone, a byte flipped", {".": "{\"prompt\": \"7, 22\"}\n"}, alone)
    vector("a folder for a file", TREE, alone)
    vector("a file for a folder", ALONE, tree)

    # Another bundle than the one that was signed.
    def flip(text, place):
        return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1:]
    vector("a byte of the payload flipped", TREE,
           changed(tree, envelope(lambda one: one.update(payload=flip(one["payload"], 300)))))
    vector("a byte of the signature flipped", TREE,
           changed(tree, envelope(lambda one: one["signatures"][0].update(sig=flip(one["signatures"][0]["sig"], 30)))))
    vector("cut short", TREE, tree[:-40])
    vector("nothing", TREE, "")
    vector("not a bundle", TREE, "[]")
    vector("another key", TREE, resigned(tree, plain, private=key(9)))
    vector("another key's hint", TREE,
           changed(tree, material(lambda one: one["publicKey"].update(hint="00" * 32))))
    vector("another type of payload", TREE,
           changed(tree, envelope(lambda one: one.update(payloadType="application/json"))))
    vector("another type of bundle", TREE,
           changed(tree, lambda value: value.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json")))
    vector("no signatures", TREE, changed(tree, envelope(lambda one: one.update(signatures=[]))))
    vector("two signatures", TREE, changed(tree, envelope(lambda one: one.update(signatures=one["signatures"] * 2))))
    vector("no envelope", TREE, changed(tree, lambda value: value.pop("dsseEnvelope")))
    vector("no key named", TREE, changed(tree, material(lambda one: one.pop("publicKey"))))
    vector("no entries of a log", TREE, changed(tree, material(lambda one: one.pop("tlogEntries"))))
    vector("no key id", TREE, changed(tree, envelope(lambda one: one["signatures"][0].pop("keyid"))))
    vector("base64 with a line feed", TREE,
           changed(tree, envelope(lambda one: one.update(payload=one["payload"][:76] + "\n" + one["payload"][76:]))))
    sloppy = json.loads(tree)
    sloppy["dsseEnvelope"]["payload"] += "===="
    vector("base64 with more padding", TREE, json.dumps(sloppy))
    vector("signed as version 0.2 did, wrongly", TREE, resigned(
        tree, plain, lambda kind, body: f"DSSEV1 {len(kind)} {kind} {len(body)} {body}".encode()))
    vector("signed without the payload's type", TREE, resigned(tree, plain, lambda kind, body: body))
    vector("a certificate for a key", TREE, changed(tree, material(
        lambda one: (one.pop("publicKey"), one.update(certificate={"rawBytes": "AAAA"})))))

    # Signed by the key, and not to be believed.
    vector("another type of statement", TREE, resigned(tree, lambda one: one.update(_type="https://in-toto.io/Statement/v0.1")))
    vector("another predicate", TREE, resigned(tree, lambda one: one.update(predicateType="https://slsa.dev/provenance/v1")))
    vector("two subjects", TREE, resigned(tree, lambda one: one.update(subject=one["subject"] * 2)))
    vector("another root", TREE, resigned(tree, lambda one: one["subject"][0]["digest"].update(sha256="00" * 32)))
    vector("files in another order, with its root", TREE, resigned(tree, resources(lambda list: list.reverse())))
    vector("files in another order, with the old root", TREE,
           resigned(tree, lambda one: one["predicate"]["resources"].reverse()))
    vector("a field more", TREE, resigned(tree, lambda one: one["predicate"].update(card={"license": "mit"})))
    vector("a file listed twice", TREE, resigned(tree, resources(lambda list: list.append(dict(list[0])))))
    vector("a file listed twice, once wrongly", TREE, resigned(
        tree, resources(lambda list: list.insert(0, dict(list[0], digest="00" * 32)))))
    vector("a file above the folder", TREE, resigned(
        tree, resources(lambda list: list.append(dict(list[0], name="../tree/a/x")))))
    vector("a file by its whole path", TREE, resigned(
        tree, resources(lambda list: list.append(dict(list[0], name="/etc/hostname")))))
    vector("another digest than is said", TREE, resigned(
        tree, resources(lambda list: list[0].update(algorithm="blake3"))))
    vector("a digest cut short", TREE, resigned(
        tree, resources(lambda list: list[0].update(digest=list[0]["digest"][:40]))))
    vector("no files", {}, resigned(tree, resources(lambda list: list.clear())))
    vector("an unknown method", TREE, resigned(
        tree, lambda one: one["predicate"]["serialization"].update(method="tree")))
    vector("an unknown digest", TREE, resigned(
        tree, lambda one: one["predicate"]["serialization"].update(hash_type="md5")))
    vector("all of it ignored", TREE | {"more": "!"}, resigned(
        tree, lambda one: one["predicate"]["serialization"].update(ignore_paths=["."])))

    (HERE / "vectors.json").write_text(json.dumps(VECTORS, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(VECTORS)} vectors")


if __name__ == "__main__":
    main()
