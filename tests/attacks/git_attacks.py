"""The attacks of `test_git`, as shell text: each also leaves a file `made`, as honest work beside it."""

from __future__ import annotations

import shlex
from typing import Any

from tests.attacks.night import script
from tests.attacks.oracle import Stakes
from tests.support import git

COMMIT = "git add -A && git -c core.hooksPath=/dev/null commit -qm"
HOOKS = [
    "pre-commit",
    "post-index-change",
    "reference-transaction",
    "post-checkout",
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
    "pre-push",
    "post-rewrite",
    "fsmonitor-watchman",
    "sendemail-validate",
    "pre-auto-gc",
]


def configuration(mark: str) -> str:
    """Every setting that names a program, in the private git directory."""
    names = [
        "core.fsmonitor",
        "core.sshCommand",
        "core.pager",
        "pager.log",
        "pager.diff",
        "core.editor",
        "sequence.editor",
        "gpg.program",
        "gpg.ssh.program",
        "core.askPass",
        "core.gitProxy",
        "core.alternateRefsCommand",
        "diff.external",
        "uploadpack.packObjectsHook",
        "remote.origin.uploadpack",
        "remote.origin.receivepack",
        "trailer.x.command",
        "mergetool.x.cmd",
        "browser.x.cmd",
        "interactive.diffFilter",
    ]
    set_all = "".join(f'git config {name} "{mark};:"\n' for name in names)
    hooks = "".join(f"cp /gitdir/evil /gitdir/hooks/{name}\n" for name in HOOKS)
    return f"""
        mkdir -p /gitdir/hooks
        printf '#!/bin/sh\\n%s\\n' "{mark}" > /gitdir/evil
        chmod 755 /gitdir/evil
        {hooks}
        git config core.hooksPath /gitdir/hooks
        git config credential.helper "!{mark};:"
        git config log.showSignature true
        git config protocol.ext.allow always
        git config include.path /gitdir/evil
        git config alias.status "!{mark}"
        {set_all}
        touch made"""


def drivers(mark: str) -> str:
    """Filters, and diff and merge drivers, that attributes turn on."""
    return f"""
        git config filter.x.clean "{mark}; tr a-z A-Z"
        git config filter.x.smudge "{mark}; tr a-z A-Z"
        git config filter.x.process "{mark};:"
        git config filter.x.required true
        git config diff.x.command "{mark};:"
        git config diff.x.textconv "{mark};:"
        git config merge.x.driver "{mark};:"
        git config diff.external "{mark};:"
        printf '* filter=x diff=x merge=x\\n' > .gitattributes
        printf 'lower\\n' > made"""


def nested(mark: str) -> str:
    """Repositories inside of the tree, one of which the tip has as a submodule."""
    return (
        "".join(
            f"""
        rm -rf {sub}; git init -q {sub}
        git -C {sub} -c user.name=x -c user.email=x commit -q --allow-empty -m x
        git -C {sub} config core.fsmonitor "{mark};:"
        git -C {sub} config filter.x.clean "{mark}; cat"
        printf '* filter=x\\n' > {sub}/.gitattributes; echo x > {sub}/file
        """
            for sub in ("sub", "new")
        )
        + "git add sub; touch made"
    )


def attacks(at: Stakes) -> dict[str, Any]:
    """The attacks by task."""
    secret = git(at.repo, "rev-parse", "secret")
    blob, tree = git(at.repo, "rev-parse", "secret:secret.txt"), git(at.repo, "rev-parse", "secret^{tree}")
    base, first = git(at.repo, "rev-parse", "main"), git(at.repo, "rev-parse", "main~1")
    repo = shlex.quote(str(at.repo))
    lose = "rm -f /gitdir/objects/$(git rev-parse HEAD:lost | cut -c-2)/*"
    stolen = (
        "commit=$(git commit-tree -p HEAD -m x $made) && echo $commit > /gitdir/refs/heads/work; touch made"
    )
    return {
        "01-configuration": configuration(at.mark("01")),
        "02-filters": drivers(at.mark("02")),
        "03-diff-drivers": f"{drivers(at.mark('03'))}\n{COMMIT} x; printf 'more\\n' >> a.txt; true",
        "04-mask": f"{script('mask.py')} rm -f mine other; touch made",
        "05-nested": nested(at.mark("05")),
        "06-embedded-bare": f"""
            git init -q --bare bare.git
            git -C bare.git config core.fsmonitor "{at.mark("06")};:"
            git -C bare.git config core.worktree /workspace
            mkdir evil; echo gitdir: {repo}/.git > evil/.git; echo x > evil/x; touch made""",
        "07-alternates": f"""
            printf '%s\\n' {repo}/.git/objects /etc {at.home}/bases >> /gitdir/objects/info/alternates
            printf '%s\\n' "http://127.0.0.1:1/" > /gitdir/objects/info/http-alternates
            echo {secret} > /gitdir/refs/heads/work; touch made""",
        "07-objects-link": f"rm -rf /gitdir/objects; ln -s {repo}/.git/objects /gitdir/objects; touch made",
        "07-commondir": f"echo {repo}/.git > /gitdir/commondir; touch made",
        "08-known-tip": f"echo {secret} > /gitdir/refs/heads/work; touch made",
        "09-known-blob": f"made=$(printf '100644 blob {blob}\\tstolen\\n' | git mktree --missing); {stolen}",
        "09-known-tree": f"made=$(printf '040000 tree {tree}\\tstolen\\n' | git mktree --missing); {stolen}",
        "09-known-root": f"made={tree}; printf 'tree {tree}\\nparent {base}\\nauthor x <x> 1 +0000\\n"
        "committer x <x> 1 +0000\\n\\nx\\n' | git hash-object -t commit -w --literally --stdin "
        "> /gitdir/refs/heads/work; touch made",
        "10-fifos": "rm /gitdir/HEAD /gitdir/index /gitdir/config; mkfifo /gitdir/HEAD /gitdir/index "
        "/gitdir/config /gitdir/packed-refs; touch made",
        "10-links": "rm /gitdir/HEAD /gitdir/index; ln -s /dev/zero /gitdir/HEAD; ln -s /proc/self/environ "
        "/gitdir/index; ln -s /dev/zero /gitdir/packed-refs; touch made",
        "10-endless-include": "printf '[include]\\npath = /gitdir/config\\n' >> /gitdir/config; touch made",
        "10-endless-refs": "echo 'ref: refs/heads/a' > /gitdir/HEAD; echo 'ref: refs/heads/b' > "
        "/gitdir/refs/heads/a; echo 'ref: refs/heads/a' > /gitdir/refs/heads/b; touch made",
        "11-all-deleted": "rm -rf /workspace/* /workspace/.gitignore /gitdir/* 2>/dev/null; true",
        "12-locks": "for lock in index HEAD config packed-refs shallow refs/heads/work objects/maintenance; "
        "do touch /gitdir/$lock.lock; done; touch made",
        "13-orphan": f"git checkout -q --orphan other; touch made; {COMMIT} x",
        "13-rewritten": "git commit -q --amend -m 'Not what it was'; touch made",
        "13-below-base": f"git reset -q --hard {first}; touch made; {COMMIT} x",
        "13-shallow": f"echo {base} > /gitdir/shallow; git checkout -q --orphan other; touch made; "
        f"{COMMIT} x; git rev-parse HEAD >> /gitdir/shallow; touch made",
        "14-many-refs": f"""
            {COMMIT} --allow-empty -q; touch made; {COMMIT} made; git checkout -q --detach
            for n in $(seq 200); do echo {base} > /gitdir/refs/heads/b$n; done
            git branch -f main; git tag v1; git tag -a -m x v2; git notes add -m note
            git replace -f {base} HEAD; git update-ref refs/corral/base/x HEAD
            for name in -x 'a;b' '$(touch PWNED)' "$(printf 'e\\033]0;x\\007')" ..x a..b x.lock 'a b'; do
                echo {base} > "/gitdir/refs/heads/$name"; done
            mkdir -p /gitdir/refs/heads/corral/x; echo {base} > /gitdir/refs/heads/corral/x/y; true""",
        "15-lazy-fetch": f"""
            echo lost > lost; touch made; {COMMIT} lost; {lose}
            git config core.repositoryformatversion 1; git config extensions.partialClone away
            git config remote.away.promisor true; git config protocol.ext.allow always
            git config remote.away.url "ext::sh -c '{at.mark("15")}'"
            git config remote.away.uploadpack "{at.mark("15")};:"; rm -f lost; true""",
        "18-worktree-is-root": "git config core.worktree /; touch made",
        "18-worktree-is-gitdir": "git config core.worktree /gitdir; git config core.bare true; touch made",
        "18-git-dir-file": "echo 'gitdir: /base' > /gitdir/gitdir; echo /base > /gitdir/commondir; "
        "touch made",
        "19-spoofed": f"""
            git config gpg.program "{at.mark("19")};:"; git config log.showSignature true
            touch made; git add made; tree=$(git write-tree)
            who='Linus Torvalds <torvalds@example.org> 1 +0000'
            printf 'tree %s\\nparent {base}\\nauthor %s\\ncommitter %s\\n' $tree "$who" "$who" > /tmp/c
            printf 'gpgsig -----BEGIN PGP SIGNATURE-----\\n garbage\\n -----END\\n' >> /tmp/c
            printf '\\nTrust me\\n\\nCo-authored-by: Ada <ada@example.org>\\n' >> /tmp/c
            git hash-object -t commit -w --stdin < /tmp/c > /gitdir/refs/heads/work""",
    }
