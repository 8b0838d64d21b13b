"""The attacks of the full test: shell text for a box, by name, with the limits it runs under. Values alone.

Each prints `attacked NAME` when it has done what it came for, so that an attack that could not be made is
not taken for one that failed.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from runner.sandbox.box import MIB
from runner.selfcheck import bomb
from runner.tasks.plan import Limits

LIMITS = Limits(cpus=1, memory=256 * MIB, pids=64, disk=64 * MIB, time=60, idle=45)
MEMORY = LIMITS.model_copy(update={"memory": 96 * MIB})
ROOMY = LIMITS.model_copy(update={"memory": 1024 * MIB})

FLOOD = 48 * MIB
"""Bytes printed: more than twice what is kept of them."""

_SETTINGS = (
    *("core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "gpg.program"),
    *("diff.external", "filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "diff.evil.command"),
    *("merge.evil.driver", "credential.helper", "uploadpack.packObjectsHook", "remote.origin.uploadpack"),
)
_HOOKS = (
    *("post-index-change", "reference-transaction", "pre-commit", "post-commit", "post-checkout"),
    *("pre-receive", "update", "post-receive", "post-update", "pre-auto-gc", "fsmonitor-watchman"),
)
HONEST = "honest work\n"
"""What the attack on the host's git leaves in the file `made`, to come home as it is."""


@dataclass(frozen=True)
class Attack:
    """One attack: its task's name, the shell text that is its agent, and the task's limits."""

    name: str
    script: str
    limits: Limits = LIMITS


def host_execution(marker: Path) -> Attack:
    """Settings, hooks and attributes that make git leave a marker, where the marker's directory exists."""
    run = f"touch {shlex.quote(str(marker))}; false"
    settings = "".join(f"git config {name} {shlex.quote(run)}\n" for name in _SETTINGS)
    return Attack(
        "host-execution",
        f"""printf 'honest work\\n' > made
        echo '* filter=evil diff=evil merge=evil' > .gitattributes
        mkdir -p /gitdir/hooks
        for hook in {" ".join(_HOOKS)}; do
            printf '#!/bin/sh\\n%s\\n' {shlex.quote(run)} > /gitdir/hooks/$hook
            chmod +x /gitdir/hooks/$hook
        done
        {settings}
        git config core.hooksPath /gitdir/hooks
        git config extensions.partialClone origin
        git config remote.origin.promisor true
        test -x /gitdir/hooks/update && echo attacked host-execution""",
    )


def tree_policy() -> Attack:
    """A commit that expands to billions of files, hidden behind one with the base's own."""
    return Attack(
        "tree-policy",
        f"""honest=$(git rev-parse HEAD^{{tree}})
        id=$(git hash-object -w --stdin </dev/null) kind='100644 blob'
        for level in $(seq {bomb.LEVELS}); do
            list=$(for i in $(seq 0 {bomb.WIDTH - 1}); do printf '%s %s\\t%04d\\n' "$kind" $id $i; done)
            id=$(printf '%s\\n' "$list" | git mktree)
            kind='040000 tree'
        done
        git update-ref HEAD $(git commit-tree -p $(git commit-tree -p HEAD -m bomb $id) -m after $honest) &&
            echo attacked tree-policy $id
        echo honest > made""",
    )


MEMORY_BOMB = Attack(
    "memory",
    'echo attacked memory; exec perl -e \'push @a, "x" x 8388608 while @a < 64; print "took it all\\n"\'',
    MEMORY,
)
OUTPUT_FLOOD = Attack(
    "output",
    # Every line says it: on a busy host the engine drops the beginning, and the end is beyond what is kept.
    f"""perl -e 'print "attacked output ", "x" x 1007, "\\n" for 1 .. {FLOOD // 1024}'""",
)
CREDENTIALS = Attack(
    "credentials",
    r"""env
    cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n'
    grep -raohE 'sk-[c]anary-[0-9a-f]+' / --exclude-dir=proc --exclude-dir=sys 2>/dev/null
    perl -MIO::Socket::UNIX -e '
        my $body = "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}";
        my $post = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" .
            "Connection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
        $SIG{ALRM} = sub { print "\nattacked credentials\n"; exit };
        alarm 10;  # nobody is there to answer the second, and the gateway waits for them
        for my $asked ("GET /v1/organizations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", $post) {
            my $gateway = IO::Socket::UNIX->new(Peer => "/run/gw/gw.sock") or die "no gateway: $!\n";
            print $gateway $asked;
            print while <$gateway>;
        }
        kill ALRM => $$;' 2>&1""",
    ROOMY,
)
