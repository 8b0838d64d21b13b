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


def tag(objects: Objects, base: str) -> str:
    body = f"object {base}\ntype commit\ntag t\ntagger A <a@b> 1 +0000\n\nm\n"
    return objects.add("tag", body.encode())


HOSTILE: dict[str, tuple[Make, str]] = {
    **{
        f"a file called {name!a}": (of_tree((FILE, name, "")), "git refuses|forbidden")
        for name in (
            b".git",
            b".GIT",
            b".gIt",
            b"git~1",
            b".g\xe2\x80\x8cit",
            b".git ",
            b".git.",
            b"..",
            b".",
        )
    },
    "a directory called .git": (of_tree((TREE, b".git", "")), "git refuses"),
    "a name with a slash": (of_tree((FILE, b"../../escape", "")), "git refuses"),
    "an empty name": (of_tree((FILE, b"", "")), "git refuses"),
    "two entries of one name": (of_tree((FILE, b"a", ""), (FILE, b"a", "")), "git refuses"),
    "a link and a file of one name": (of_tree((LINK, b"a", ""), (FILE, b"a", "")), "git refuses"),
    "entries out of order": (of_tree((FILE, b"b", ""), (FILE, b"a", "")), "git refuses"),
    "a set-user-id program": (of_tree((f"{0o104777:o}", b"a", "")), "file mode"),
    "a group-writable file": (of_tree((f"{0o100664:o}", b"a", "")), "file mode"),
    "a device": (of_tree((f"{0o020666:o}", b"a", "")), "git refuses|file mode"),
    "a mode with a leading zero": (of_tree((f"0{FILE}", b"a", "")), "git refuses|file mode"),
    "a name of 70 kB": (of_tree((FILE, b"n" * 70_000, "")), "longer than"),
    "a file that is said to be a directory": (of_tree((TREE, b"a", "")), "git refuses"),
    "a submodule whose address is an option": (
        gitmodules('[submodule "m"]\npath=m\nurl=-u./x\n'),
        "git refuses",
    ),
    "a submodule whose path is an option": (gitmodules('[submodule "m"]\npath=-x\nurl=x\n'), "git refuses"),
    "a submodule whose name climbs": (gitmodules('[submodule "../m"]\npath=m\nurl=x\n'), "git refuses"),
    "a submodule with a command": (
        gitmodules('[submodule "m"]\npath=m\nurl=x\nupdate=!touch x\n'),
        "git refuses",
    ),
    "a .gitmodules that is a link": (of_tree((LINK, b".gitmodules", "")), "git refuses"),
    "a tree of ten thousand million files": (git_bomb, "more than 500000 files"),
    "such a tree in a commit below the tip": (hidden_git_bomb, "more than 500000 files"),
    "directories nested 20000 deep": (deep_tree, "nested"),
    "a directory of a million files": (long_tree, "a tree object of more than 32 MiB"),
    "a commit message of two megabytes": (long_message, "a commit object of more than 1 MiB"),
    "a commit with 5000 parents": (many_parents, "more than 1000 commits|parents"),
    "1500 commits": (many_commits, "more than 1000 commits"),
    "a file of zeros larger than a file may be": (zeros, "a file of more than 50 MiB"),
    "a small delta that makes a large file": (blown_up_by_a_delta, "a file of more than 50 MiB"),
    "a tip that is a tag": (tag, "not a commit"),
    "a tip that is a tree": (lambda o, _: o.tree((FILE, b"a", o.blob())), "not a commit"),
    "a tip that is a blob": (lambda o, _: o.blob(), "not a commit"),
    "history without the base": (
        lambda o, _: o.commit(o.tree((FILE, b"a", o.blob()))),
        "not build on the base",
    ),
    "a tip that was not sent": (lambda o, _: (o.blob(), "ab" * 20)[1], "not there"),
    "a tree that was not sent": (lambda o, b: o.commit("ab" * 20, b), "git refuses|incomplete"),
    "a file that was not sent": (of_tree((FILE, b"a", "cd" * 20)), "git refuses|incomplete"),
}
