"""Work that a hostile box could send, each with the words with which it is refused."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import FULL
from tests.unit.packs import Entry, Objects, delta

FILE, LINK, TREE, MODULE = "100644", "120000", "40000", "160000"
BLOB_LIMIT = 50

Make = Callable[[Objects, str], str]
"""Adds objects that build on the base commit it is given, and returns the tip."""


def of_tree(*entries: Entry) -> Make:
    """A commit on the base whose tree has these entries; an id that is not given is that of some file."""

    def make(objects: Objects, base: str) -> str:
        some = objects.blob()
        return objects.commit(objects.tree(*((m, n, o or some) for m, n, o in entries)), base)

    return make


def gitmodules(text: str) -> Make:
    def make(objects: Objects, base: str) -> str:
        entries = ((FILE, b".gitmodules", objects.blob(text.encode())), (MODULE, b"m", base))
        return objects.commit(objects.tree(*entries), base)

    return make


def git_bomb(objects: Objects, base: str) -> str:
    oid = objects.tree(*((FILE, b"f%d" % n, objects.blob()) for n in range(10)))
    for _ in range(10):
        oid = objects.tree(*((TREE, b"d%d" % n, oid) for n in range(10)))
    return objects.commit(oid, base)


def hidden_git_bomb(objects: Objects, base: str) -> str:
    return objects.commit(objects.tree((FILE, b"a", objects.blob())), git_bomb(objects, base))


def deep_tree(objects: Objects, base: str) -> str:
    oid = objects.tree((FILE, b"f", objects.blob()))
    for _ in range(20_000):
        oid = objects.tree((TREE, b"d", oid))
    return objects.commit(oid, base)


def many_parents(objects: Objects, base: str) -> str:
    tree = objects.tree((FILE, b"a", objects.blob()))
    parents = [objects.commit(tree, base, message=f"{n}") for n in range(5000)]
    return objects.commit(tree, *parents)


def many_commits(objects: Objects, base: str) -> str:
    tree, tip = objects.tree((FILE, b"a", objects.blob())), base
    for number in range(1500):
        tip = objects.commit(tree, tip, message=f"{number}")
    return tip


def zeros(objects: Objects, base: str) -> str:
    oid = objects.zeros(2048 if FULL else BLOB_LIMIT + 1)
    return objects.commit(objects.tree((FILE, b"zeros", oid)), base)


def blown_up_by_a_delta(objects: Objects, base: str) -> str:
    """A blob of 60 MiB that is a thousand copies of one of 64 KiB."""
    small = bytes(0x10000)
    start = objects.blob(small)
    copies = 1000
    instructions = b"\x80" * copies  # copy from offset 0, size 0, which means 64 KiB
    big = Objects().blob(small * copies)
    objects.packed[big] = delta(len(small), len(small) * copies, instructions, start)
    return objects.commit(objects.tree((FILE, b"big", big)), base)


def long_tree(objects: Objects, base: str) -> str:
    some = bytes.fromhex(objects.blob())
    body = b"".join(f"{FILE} {n:07}\0".encode() + some for n in range(1_000_000))
    return objects.commit(objects.add("tree", body), base)


def long_message(objects: Objects, base: str) -> str:
    return objects.commit(objects.tree((FILE, b"a", objects.blob())), base, message="m" * 2**21)


def link_and_directory(objects: Objects, base: str) -> str:
    """A link out of the tree, and files that a careless checkout would write through it."""
    inner = objects.tree((FILE, b"escaped", objects.blob()))
    return objects.commit(objects.tree((LINK, b"d", objects.blob(b"/tmp")), (TREE, b"d", inner)), base)


def nine_parents(objects: Objects, base: str) -> str:
    tree = objects.tree((FILE, b"a", objects.blob()))
    return objects.commit(tree, *(objects.commit(tree, base, message=f"{n}") for n in range(9)))


def tag(objects: Objects, base: str) -> str:
    body = f"object {base}\ntype commit\ntag t\ntagger A <a@b> 1 +0000\n\nm\n"
    return objects.add("tag", body.encode())


def text_in_a_tree(kind: str) -> Make:
    """A commit on the base with one file, whose name, message or author holds what terminals obey."""
    evil = "\x1b]52;c;aGk=\x07\x1b[2J\u202e\u200b\r"

    def make(objects: Objects, base: str) -> str:
        name = evil.encode() if kind == "path" else b"CLAUDE.md"
        tree = objects.tree(
            (FILE, name, objects.blob()), (LINK, name + b"l", objects.blob(b"/" + evil.encode()))
        )
        if kind == "author":
            who = f"{evil} <a@example.invalid> 1700000000 +0000"
            body = f"tree {tree}\nparent {base}\nauthor {who}\ncommitter {who}\n\nm\n"
            return objects.add("commit", body.encode())
        return objects.commit(tree, base, message=evil if kind == "message" else "m")

    return make


NAMES = (b".git", b".GIT", b".gIt", b"git~1", b".g\xe2\x80\x8cit", b".git ", b".git.", b".git\\x")
MODULES = {
    "whose address is an option": "path=m\nurl=-u./x\n",
    "whose path is an option": "path=-x\nurl=x\n",
    "with a command": "path=m\nurl=x\nupdate=!touch x\n",
    "whose path ends with a carriage return": 'path="m\r"\nurl=x\n',
}
MORE = "more than 500000 files"

HOSTILE: dict[int, dict[str, tuple[Make, str]]] = {
    21: {
        **{f"a file called {name!a}": (of_tree((FILE, name, "")), "git refuses|forbidden") for name in NAMES},
        "a directory called .git": (of_tree((TREE, b".git", "")), "git refuses"),
        "a link called .git": (of_tree((LINK, b".git", "")), "git refuses"),
    },
    22: {
        "a file called ..": (of_tree((FILE, b"..", "")), "git refuses|forbidden"),
        "a file called .": (of_tree((FILE, b".", "")), "git refuses|forbidden"),
        "a name with a slash": (of_tree((FILE, b"../../escape", "")), "git refuses"),
        "an empty name": (of_tree((FILE, b"", "")), "git refuses"),
        "two entries of one name": (of_tree((FILE, b"a", ""), (FILE, b"a", "")), "git refuses"),
        "a link and a file of one name": (of_tree((LINK, b"a", ""), (FILE, b"a", "")), "git refuses"),
        "a link and a directory of one name": (link_and_directory, "git refuses"),
        "entries out of order": (of_tree((FILE, b"b", ""), (FILE, b"a", "")), "git refuses"),
        "a file that is said to be a directory": (of_tree((TREE, b"a", "")), "git refuses"),
    },
    23: {
        **{
            f"a submodule {what}": (gitmodules(f'[submodule "m"]\n{text}'), "git refuses|carriage return")
            for what, text in MODULES.items()
        },
        "a submodule whose name climbs": (gitmodules('[submodule "../m"]\npath=m\nurl=x\n'), "git refuses"),
        "a .gitmodules that is a link": (of_tree((LINK, b".gitmodules", "")), "git refuses"),
    },
    24: {
        "a set-user-id program": (of_tree((f"{0o104777:o}", b"a", "")), "file mode"),
        "a group-writable file": (of_tree((f"{0o100664:o}", b"a", "")), "file mode"),
        "a device": (of_tree((f"{0o020666:o}", b"a", "")), "git refuses|file mode"),
        "a mode with a leading zero": (of_tree((f"0{FILE}", b"a", "")), "git refuses|file mode"),
    },
    26: {
        "a tree of ten thousand million files": (git_bomb, MORE),
        "such a tree in a commit below the tip": (hidden_git_bomb, MORE),
        "a directory of a million files": (long_tree, "a tree object of more than 32 MiB"),
    },
    27: {
        "directories nested 20000 deep": (deep_tree, "nested"),
        "a name of 70 kB": (of_tree((FILE, b"n" * 70_000, "")), "longer than"),
    },
    28: {
        "a file of zeros larger than a file may be": (zeros, "a file of more than 50 MiB"),
        "a small delta that makes a large file": (blown_up_by_a_delta, "a file of more than 50 MiB"),
        "a commit message of two megabytes": (long_message, "a commit object of more than 1 MiB"),
    },
    30: {
        "a tree that was not sent": (lambda o, b: o.commit("ab" * 20, b), "git refuses|incomplete"),
        "a file that was not sent": (of_tree((FILE, b"a", "cd" * 20)), "git refuses|incomplete"),
        "a parent that was not sent": (
            lambda o, b: o.commit(o.tree((FILE, b"a", o.blob())), b, "ef" * 20),
            "git refuses|incomplete",
        ),
        "a tip that was not sent": (lambda o, _: (o.blob(), "ab" * 20)[1], "not there"),
        "a tip that is a tag": (tag, "not a commit"),
        "a tip that is a tree": (lambda o, _: o.tree((FILE, b"a", o.blob())), "not a commit"),
        "a tip that is a blob": (lambda o, _: o.blob(), "not a commit"),
        "history without the base": (
            lambda o, _: o.commit(o.tree((FILE, b"a", o.blob()))),
            "not build on the base",
        ),
    },
    31: {
        "a commit with 5000 parents": (many_parents, "more than 1000 commits|parents"),
        "a commit with 9 parents": (nine_parents, "more than 8 parents"),
        "1500 commits": (many_commits, "more than 1000 commits"),
    },
}
"""By the number of the threat model's case: what it is, how it is made, and in which words it is refused."""
