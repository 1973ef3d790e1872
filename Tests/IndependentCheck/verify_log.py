#!/usr/bin/env python3
"""Verifies audit logs from their files alone, sharing no code with the program that wrote them.

Written from RFC 6962 (hashes and proofs) and the C2SP specifications signed-note, tlog-checkpoint, tlog-cosignature,
tlog-tiles and tlog-proof. Needs Python 3.8 or later and the package `cryptography`.
Exit status: 0 everything verified, 1 something did not, 2 the question itself was wrong.
"""
import argparse
import base64
import datetime
import hashlib
import json
import os
import re
import stat
import sys

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    print("verify_log.py: Python's package cryptography is missing (Debian: python3-cryptography)", file=sys.stderr)
    sys.exit(2)

LOG, WITNESS = 0x01, 0x04  # signature types of signed-note
LONGEST_ENTRY = 65535  # what the two-byte length in a bundle can say
LARGEST_NUMBER = 2**53 - 1  # every JSON reader agrees on integers up to here


class Bad(Exception):
    """Something in a file is not as it must be."""


def require(condition, reason):
    if not condition:
        raise Bad(reason)


# --- Hashes and proofs: RFC 6962 section 2.1 ---------------------------------------


def sha256(data):
    return hashlib.sha256(data).digest()


def leaf_hash(entry):
    return sha256(b"\0" + entry)


def node_hash(left, right):
    return sha256(b"\1" + left + right)


class Tree:
    """The roots of all complete subtrees over a list of leaf hashes."""

    def __init__(self, leaves):
        self.levels = [leaves]
        while len(self.levels[-1]) > 1:
            below = self.levels[-1]
            self.levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def node(self, level, index):
        return self.levels[level][index]


def split(low, high):
    """Where RFC 6962 cuts: after the largest power of two of leaves that is not all of them."""
    return low + (1 << ((high - low - 1).bit_length() - 1))


def subtree_root(source, low, high):
    """MTH(D[low:high]), where every complete subtree comes from `source`."""
    count = high - low
    if count == 0:
        return sha256(b"")
    if count & (count - 1) == 0:
        return source.node(count.bit_length() - 1, low // count)
    middle = split(low, high)
    return node_hash(subtree_root(source, low, middle), subtree_root(source, middle, high))


def inclusion_path(source, index, low, high):
    """PATH(m, D[n]), from the leaf upwards."""
    if high - low == 1:
        return []
    middle = split(low, high)
    if index < middle:
        return inclusion_path(source, index, low, middle) + [subtree_root(source, middle, high)]
    return inclusion_path(source, index, middle, high) + [subtree_root(source, low, middle)]


def root_by_inclusion(leaf, path, index, low, high):
    """The root that a path from the leaf upwards leads to; its hashes are used up from the end."""
    if high - low == 1:
        require(not path, "a proof with too many hashes")
        return leaf
    require(path, "a proof with too few hashes")
    middle = split(low, high)
    if index < middle:
        return node_hash(root_by_inclusion(leaf, path[:-1], index, low, middle), path[-1])
    return node_hash(path[-1], root_by_inclusion(leaf, path[:-1], index, middle, high))


def consistency_path(source, old, low, high, whole=True):
    """SUBPROOF(m, D[low:high], b), where `old` counts leaves from 0."""
    if old == high:
        return [] if whole else [subtree_root(source, low, high)]
    middle = split(low, high)
    if old <= middle:
        return consistency_path(source, old, low, middle, whole) + [subtree_root(source, middle, high)]
    return consistency_path(source, old, middle, high, False) + [subtree_root(source, low, middle)]


def roots_by_consistency(old_root, path, old, low, high, whole=True):
    """The old and the new root that a consistency proof leads to."""
    if old == high:
        require(len(path) == (not whole), "a proof with a wrong number of hashes")
        return (old_root, old_root) if whole else (path[0], path[0])
    require(path, "a proof with too few hashes")
    middle = split(low, high)
    if old <= middle:
        first, second = roots_by_consistency(old_root, path[:-1], old, low, middle, whole)
        return first, node_hash(second, path[-1])
    first, second = roots_by_consistency(old_root, path[:-1], old, middle, high, False)
    return node_hash(path[-1], first), node_hash(path[-1], second)


# --- Notes, checkpoints, cosignatures, proofs: C2SP ------------------------------------------------------------------


def decode64(text):
    """Strict base64: no other spelling of the same bytes."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = None
    require(data is not None and base64.b64encode(data).decode() == text, "base64 that is not canonical")
    return data


def decimal(text):
    require(re.fullmatch("0|[1-9][0-9]{0,19}", text, re.ASCII), "a number that is not plain decimal")
    return int(text)


class Key:
    """name+keyID+base64(type || public key)"""

    def __init__(self, text, kind):
        parts = text.strip("\n").split("+", 2)
        require(len(parts) == 3, "a key is neither name+id+key nor a file with that line")
        self.name, data = parts[0], decode64(parts[2])
        require(len(data) == 33 and data[0] == kind, "a key of the wrong type or length")
        self.id = sha256(self.name.encode() + b"\n" + data)[:4]
        require(self.id.hex() == parts[1], "the id of the key is not that of its name and bytes")
        self.raw = data[1:]
        self.public = Ed25519PublicKey.from_public_bytes(self.raw)

    def verifies(self, signature, message):
        try:
            self.public.verify(signature, message)
            return True
        except InvalidSignature:
            return False


class Checkpoint:
    """A signed note whose text is origin, size, root and perhaps more lines."""

    def __init__(self, data):
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise Bad("a checkpoint that is not UTF-8")
        require(not any((c < " " or c == "\x7f") and c != "\n" for c in text), "control characters in a checkpoint")
        body, separator, rest = text.rpartition("\n\n")
        require(separator and rest.endswith("\n"), "a checkpoint without signature lines")
        self.text = (body + "\n").encode()
        self.signatures = {}
        for line in rest[:-1].split("\n"):
            match = re.fullmatch("\u2014 ([^\\s+]+) (\\S+)", line)
            require(match, "a line under the checkpoint that is no signature")
            blob = decode64(match[2])
            signer = (match[1], blob[:4])
            require(len(blob) > 4 and signer not in self.signatures, "an empty signature, or two by one key")
            self.signatures[signer] = blob[4:]
        lines = body.split("\n")
        require(len(lines) >= 3 and all(lines), "a checkpoint with a missing or an empty line")
        self.origin, self.size, self.root = lines[0], decimal(lines[1]), decode64(lines[2])
        require(len(self.root) == 32 and self.size < 2**64, "a root or size that cannot be")

    def check_log(self, key):
        require(self.origin == key.name, "the origin is not the name of the key")
        signature = self.signatures.get((key.name, key.id))
        require(signature is not None, "the log's key has not signed the checkpoint")
        require(len(signature) == 64 and key.verifies(signature, self.text), "the log's signature is not valid")

    def count_witnesses(self, witnesses):
        """How many have cosigned. A witness's line that does not verify is somebody's lie."""
        counted = set()  # one key under two names, or twice, counts once
        for key in witnesses:
            blob = self.signatures.get((key.name, key.id))
            if blob is None:
                continue
            time = int.from_bytes(blob[:8], "big")
            message = b"cosignature/v1\ntime %d\n" % time + self.text
            valid = len(blob) == 72 and 0 < time < 2**63 and key.verifies(blob[8:], message)
            require(valid, f"the cosignature of {key.name} is not valid")
            counted.add(key.raw)
        return len(counted)

    def check_witnesses(self, witnesses, quorum):
        """Too few is as bad as one that is false."""
        count = self.count_witnesses(witnesses)
        require(count >= quorum, f"{count} of {len(witnesses)} witnesses have cosigned; {quorum} are needed")


# --- Files -----------------------------------------------------------------------------------------------------------


def open_file(path):
    """A regular file itself: no link, no pipe."""
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
    require(stat.S_ISREG(os.fstat(file.fileno()).st_mode), f"{path}: not a regular file")
    return file


def read_file(path):
    with open_file(path) as file:
        return file.read(1 << 25)


def list_folder(log, name):
    """The names in a directory of the log that need not be there, and is no link to one."""
    path = os.path.join(log, name)
    if not os.path.lexists(path):
        return []
    require(os.path.isdir(path) and not os.path.islink(path), f"{name}: not a directory")
    return os.listdir(path)


def tile_path(kind, index, width):
    """tile/<L>/<N>[.p/<W>]: N in groups of three digits, all but the last marked by an x."""
    groups = f"{index % 1000:03}"
    while index >= 1000:
        index //= 1000
        groups = f"x{index % 1000:03}/{groups}"
    return f"tile/{kind}/{groups}" + (f".p/{width}" if width < 256 else "")


def parse_tile_path(path):
    match = re.fullmatch(r"tile/(entries|\d{1,2})/((?:x\d{3}/)*\d{3})(?:\.p/(\d{1,3}))?", path, re.ASCII)
    if not match:
        return None
    address = (match[1], int(match[2].replace("x", "").replace("/", "")), int(match[3] or 256))
    return address if address[2] and tile_path(*address) == path else None


class Tiles:
    """Nodes of the tree of `size` leaves as the tile files give them."""

    def __init__(self, directory, size):
        self.directory, self.size, self.read = directory, size, {}

    def node(self, level, index):
        tile_level, height = divmod(level, 8)
        first = index << height
        tile, place = divmod(first, 256)
        width = min(256, (self.size >> (8 * tile_level)) - 256 * tile)
        if (tile_level, tile) not in self.read:
            paths = [os.path.join(self.directory, tile_path(tile_level, tile, w)) for w in (width, 256)]
            data = read_file(paths[0] if os.path.lexists(paths[0]) else paths[1])
            self.read[tile_level, tile] = [data[i : i + 32] for i in range(0, len(data), 32)]
        hashes = self.read[tile_level, tile][place : place + (1 << height)]
        require(len(hashes) == 1 << height and len(hashes[-1]) == 32, "a tile is too short for the proof")
        return Tree(hashes).node(height, 0)


def journal_lines(log):
    """Numbers and entries in order: sealed segments, then `journal`. Last, without a number, what a crash cut off."""
    names = [name for name in sorted(list_folder(log, "journal.d")) if not name.endswith(".tmp")]
    segments = [name for name in names if name != "pruned"]
    number = oldest = None
    for name in segments:
        match = re.fullmatch(r"(\d{16})-(\d{16})", name, re.ASCII)
        require(match and number in (None, int(match[1])), f"journal.d/{name}: does not follow what is before it")
        number = int(match[1])
        oldest = number if oldest is None else oldest
        with open_file(os.path.join(log, "journal.d", name)) as file:
            for line in file:
                require(line.endswith(b"\n"), f"journal.d/{name}: the last line is cut")
                yield number, line[:-1]
                number += 1
        require(number == int(match[2]) + 1, f"journal.d/{name}: not as many entries as its name says")
    if not segments:
        number = parse_canonical(read_file(os.path.join(log, "journal.d/pruned")))["below"] if names else 0
    with open_file(os.path.join(log, "journal")) as file:
        repeated = None
        for line in file:
            if not line.endswith(b"\n"):
                yield None, line
            elif segments and repeated is None:
                # Sealing was interrupted if the journal begins with entries that a segment holds as well.
                match = re.search(rb'"sequence":(\d{1,16}),', line)
                repeated = max(0, number - int(match[1])) if match and int(match[1]) >= oldest else 0
            if line.endswith(b"\n") and not repeated:
                yield number, line[:-1]
                number += 1
            repeated = repeated and repeated - 1


def parse_canonical(entry):
    """One JSON object in the only form that it may have: members sorted, no white space, integers only."""

    def members(pairs):
        require(len(dict(pairs)) == len(pairs), "a member twice")
        require(all(re.fullmatch("[ -~]*", name) for name, _ in pairs), "a name that is not printable ASCII")
        return dict(pairs)

    def integer(text):
        require(len(text) < 20 and abs(int(text)) <= LARGEST_NUMBER, "an integer too large")
        return int(text)

    def refuse(text):
        raise Bad(f"{text[:20]} is not an integer")

    try:
        text = entry.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=members, parse_int=integer, parse_float=refuse, parse_constant=refuse)
        form = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise Bad("not JSON")
    require(isinstance(value, dict) and form.encode("utf-8", "replace") == entry, "not one object of canonical JSON")
    return value


def check_entry(entry, sequence, previous, organization):
    require(len(entry) <= LONGEST_ENTRY, "longer than an entry can be")
    record = parse_canonical(entry)
    require(record.get("schema") == "bauta/audit/1", "another schema")
    require(record.get("organization") == organization, "another organisation")
    number = record.get("sequence")
    require(type(number) is int and number == sequence, "not the number of its place")
    require(record.get("previous") == previous, "does not continue the entry before")
    require(isinstance(record.get("event"), str), "no event")
    time = str(record.get("time"))
    require(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time, re.ASCII), "no time in UTC")
    try:
        datetime.datetime.strptime(time[:19], "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise Bad("a time that does not exist")
    require(time >= "1970", "a time before 1970")
    return record


def check_proof(path, options):
    """A tlog-proof. The entry is in a file of its own, or comes with the proof as extra data."""
    failures = []
    try:
        head, separator, note = read_file(path).partition(b"\n\n")
        lines = head.decode("ascii", "replace").split("\n")
        require(separator and lines.pop(0) == "c2sp.org/tlog-proof@v1", "not a tlog-proof")
        extra = decode64(lines.pop(0)[6:]) if lines and lines[0].startswith("extra ") else None
        # A record is one line: the newline that ends it in a file is not part of it.
        entry = re.sub(rb"\n\Z", b"", read_file(options.entry)) if options.entry else extra
        require(entry is not None, "the proof has no entry with it: give --entry")
        require(lines and lines[0].startswith("index "), "a proof without an index")
        index, hashes = decimal(lines[0][6:]), [decode64(line) for line in lines[1:]]
        require(all(len(hash) == 32 for hash in hashes), "a hash in the proof has not 32 bytes")
        checkpoint = Checkpoint(note)
        checkpoint.check_log(options.key)
        checkpoint.check_witnesses(options.witness, options.quorum)
        require(index < checkpoint.size, "an index that the log does not have")
        root = root_by_inclusion(leaf_hash(entry), hashes, index, 0, checkpoint.size)
        require(root == checkpoint.root, f"the entry is not number {index} of the log")
    except (Bad, OSError) as reason:
        failures.append(str(reason))
    return {"proof": path, "verified": not failures, "failures": failures}


class Verification:
    """One log: every check is made, and every failure kept."""

    def __init__(self, directory, options):
        nested = os.path.join(directory, "log")
        has_journal = os.path.lexists(os.path.join(directory, "journal"))
        self.log = nested if not has_journal and os.path.lexists(os.path.join(nested, "journal")) else directory
        self.options, self.name = options, directory
        self.failures, self.checkpoint, self.leaves, self.first, self.torn = [], None, [], 0, 0
        self.attempt(self.check_checkpoint)
        self.attempt(self.check_journal)
        self.tree = Tree(self.leaves)
        self.attempt(self.check_cosignatures)
        self.attempt(self.check_root)
        self.attempt(self.check_files)
        if not self.failures:
            self.attempt(self.check_proofs)

    def note(self, reason):
        self.failures.append(str(reason).encode("unicode_escape").decode())  # file names are hostile

    def attempt(self, check, *arguments, place=""):
        try:
            return check(*arguments)
        except (Bad, OSError, KeyError, TypeError) as reason:
            self.note(f"{place}{reason}")

    def check_checkpoint(self):
        self.checkpoint = Checkpoint(read_file(os.path.join(self.log, "checkpoint")))
        self.checkpoint.check_log(self.options.key)

    def check_cosignatures(self):
        """Of the checkpoint itself, or of the one in checkpoint.cosigned, which must be an earlier one of this log."""
        counts = [self.checkpoint.count_witnesses(self.options.witness)] if self.checkpoint else []
        path = os.path.join(self.log, "checkpoint.cosigned")
        if os.path.lexists(path):
            earlier = Checkpoint(read_file(path))
            earlier.check_log(self.options.key)
            require(self.checkpoint and earlier.size <= min(self.checkpoint.size, len(self.leaves)),
                    "more entries were cosigned than there are")
            require(subtree_root(self.tree, 0, earlier.size) == earlier.root,
                    "what was cosigned is not the beginning of this log")
            counts.append(earlier.count_witnesses(self.options.witness))
        require(max(counts, default=0) >= self.options.quorum,
                f"at most {max(counts, default=0)} witnesses have cosigned; {self.options.quorum} are needed")

    def check_journal(self):
        pruned = 0
        for number, line in journal_lines(self.log):
            if number is None:
                self.torn = len(line)
                break
            if not self.leaves and number:
                self.take_pruned(number)
            previous = self.leaves[-1].hex() if self.leaves else ""
            place = f"journal entry {number}: "
            record = self.attempt(check_entry, line, number, previous, self.options.key.name, place=place)
            self.leaves.append(leaf_hash(line))
            if record and record["event"] == "entriesPruned" and self.checkpoint and number < self.checkpoint.size:
                pruned = max(pruned, record["pruned"]["below"])
        require(self.first <= pruned, f"no entry says that those before {self.first} are no longer kept")

    def take_pruned(self, first):
        """Entries before `first` are no longer kept. Their hashes are, in full tiles; the root vouches for them."""
        require(first % 256 == 0, f"the journal begins with entry {first}")
        for index in range(first // 256):
            tile = read_file(os.path.join(self.log, tile_path(0, index, 256)))
            self.leaves += [tile[i : i + 32] for i in range(0, 8192, 32)]
        self.first = first

    def check_root(self):
        if self.checkpoint:
            size = self.checkpoint.size
            require(len(self.leaves) >= size, f"{len(self.leaves)} entries, but {size} were signed")
            require(subtree_root(self.tree, 0, size) == self.checkpoint.root, "the entries do not give the signed root")

    def check_files(self):
        """Every file under tile/ is a tile or bundle of this journal, and none that the checkpoint needs is missing."""
        found, tiles = set(), os.path.join(self.log, "tile")
        for parent, folders, names in os.walk(tiles, onerror=self.note) if list_folder(self.log, "tile") else []:
            for name in names + [name for name in folders if os.path.islink(os.path.join(parent, name))]:
                path = os.path.relpath(os.path.join(parent, name), self.log)
                address = parse_tile_path(path)
                if address:
                    found.add(address)
                    self.attempt(self.check_tile, path, *address)
                # A crash can leave an unfinished file, which is never served and is written again.
                elif not (path.endswith(".tmp") and parse_tile_path(path[:-4])):
                    self.note(f"{path}: not a file of a tiled log")
        size = min(self.checkpoint.size if self.checkpoint else 0, len(self.leaves))
        for kind in ["entries"] + [str(level) for level in range(8)]:
            count = size >> (0 if kind == "entries" else 8 * int(kind))
            for index in range(self.first // 256 if kind == "entries" else 0, (count + 255) // 256):
                width = min(256, count - 256 * index)
                if not found & {(kind, index, width), (kind, index, 256)}:
                    self.note(f"{tile_path(kind, index, width)}: missing")

    def check_tile(self, path, kind, index, width):
        level = 0 if kind == "entries" else 8 * int(kind)
        nodes = self.tree.levels[level] if level < len(self.tree.levels) else []
        expected = nodes[256 * index : 256 * index + width]
        require(len(expected) == width, f"{path}: covers entries that the log does not have")
        data = read_file(os.path.join(self.log, path))
        if kind != "entries":
            require(data == b"".join(expected), f"{path}: not the hashes of the entries")
            return
        start = 0
        for leaf in expected:
            end = start + 2 + int.from_bytes(data[start : start + 2], "big")
            require(start + 2 <= end <= len(data), f"{path}: an entry is cut")
            require(leaf_hash(data[start + 2 : end]) == leaf, f"{path}: not the entries of the journal")
            start = end
        require(start == len(data), f"{path}: bytes after the last entry")

    def check_proofs(self):
        """Proofs from the tiles alone: those asked for, a few others, and that what was seen before is still there."""
        size, root = self.checkpoint.size, self.checkpoint.root
        tiles = Tiles(self.log, size)
        some = [number for number in (0, size // 2, size - 1) if 0 <= number < size]
        for index in self.options.inclusion or some:
            require(index < size, f"there is no entry {index} under the checkpoint")
            path = inclusion_path(tiles, index, 0, size)
            found = root_by_inclusion(self.leaves[index], path, index, 0, size)
            require(found == root, f"the tiles do not prove entry {index}")
        for old, new in self.options.consistency or [(old, size) for old in some]:
            require(old <= new <= size, f"no sizes of this log: {old} and {new}")
            self.check_consistency(tiles, old, subtree_root(self.tree, 0, old), new)
        if self.options.seen:
            require(self.options.seen.size <= size, "the log is shorter than when it was seen")
            self.check_consistency(tiles, self.options.seen.size, self.options.seen.root, size)

    def check_consistency(self, tiles, old, old_root, new):
        new_root = subtree_root(self.tree, 0, new)
        path = consistency_path(tiles, old, 0, new) if old else []  # everything continues the empty log
        roots = roots_by_consistency(old_root, path, old, 0, new) if old else (sha256(b""), new_root)
        require(roots == (old_root, new_root), f"size {new} does not continue size {old}")

    def report(self):
        size = self.checkpoint.size if self.checkpoint else None
        root = self.checkpoint.root.hex() if self.checkpoint else None
        tail = max(0, len(self.leaves) - (size or 0))
        return {"log": self.name, "verified": not self.failures, "size": size, "root": root, "unsignedTail": tail,
                "pruned": self.first, "tornBytes": self.torn, "failures": self.failures}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", metavar="DIRECTORY", help="of a log, or of the organisation that keeps it")
    parser.add_argument("--key", required=True, help="the log's verifier key, or the file with it")
    parser.add_argument("--witness", action="append", default=[], help="a witness's verifier key, or the file with it")
    parser.add_argument("--quorum", type=int, help="witnesses that must have cosigned; all that are named without it")
    parser.add_argument("--seen", help="file with an earlier checkpoint, which the log must continue")
    parser.add_argument("--inclusion", type=int, action="append", metavar="INDEX", help="prove an entry from the tiles")
    parser.add_argument("--consistency", type=int, nargs=2, action="append", metavar=("OLD", "NEW"))
    parser.add_argument("--proof", action="append", default=[], help="file with a tlog-proof to verify")
    parser.add_argument("--entry", help="file with the entry that it is about; else the proof's extra data")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each log")
    options = parser.parse_args()
    try:
        text = lambda given: read_file(given).decode() if os.path.exists(given) else given
        options.key = Key(text(options.key), LOG)
        options.witness = [Key(text(given), WITNESS) for given in options.witness]
        options.quorum = len(options.witness) if options.quorum is None else options.quorum
        if options.seen:
            options.seen = Checkpoint(read_file(options.seen))
            options.seen.check_log(options.key)
        require(options.logs or options.proof, "nothing to verify: name a log or a proof")
    except (Bad, OSError, ValueError) as reason:
        print(f"{parser.prog}: {reason}", file=sys.stderr)
        return 2
    verified = True
    for subject in options.logs + options.proof:
        report = check_proof(subject, options) if subject in options.proof else Verification(subject, options).report()
        verified = verified and report["verified"]
        if options.json:
            print(json.dumps(report, sort_keys=True))
            continue
        print("verified" if report["verified"] else "NOT VERIFIED", subject)
        if "size" in report:
            size = "no checkpoint" if report["size"] is None else f"{report['size']} entries under the checkpoint"
            print(f"  {size}, {report['unsignedTail']} after it")
        for failure in report["failures"][:20]:
            print(f"  {failure}")
    return 0 if verified else 1


if __name__ == "__main__":
    sys.exit(main())
