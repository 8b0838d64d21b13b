"""The attacks of `test_container`, as task keys with their shell text."""

from __future__ import annotations

from typing import Any

MIB = 1024**2
DISK = 64 * MIB
PIDS = 128
SMALL = {"cpus": 1, "memory": "256MiB", "pids": PIDS, "disk": "64MiB", "time": "120s", "idle": "60s"}
LARGE = {**SMALL, "disk": "2GiB", "memory": "512MiB"}


def python(text: str) -> str:
    """Shell text that runs a Python program."""
    return f"python3 - <<'END_OF_PROGRAM'\n{text}\nEND_OF_PROGRAM\n"


FORKS = python("""
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(600)
        made += 1
except OSError as error:
    print("forks", made, error.errno)
""")

ZOMBIES = python("""
import os
made = 0
try:
    while True:
        if os.fork() == 0:
            os._exit(0)
        made += 1
except OSError as error:
    print("zombies", made, error.errno)
""")

MEMORY_CHILD = python("""
import os, subprocess, sys
bomb = "x = bytearray(0)\\nwhile True: x += bytearray(16 * 2**20)"
child = subprocess.run([sys.executable, "-c", bomb])
print("child", child.returncode)
open("made", "w").write("made\\n")
""")

SHARED_MEMORY = python("""
import os
room = os.statvfs("/dev/shm")
print("shm", room.f_blocks * room.f_frsize, flush=True)
with open("/dev/shm/fill", "wb", 0) as file:
    try:
        while True:
            file.write(bytes(2**20))
    except OSError as error:
        print("errno", error.errno)
""")

INODES = python("""
import os
made = 0
try:
    while True:
        open(f"/home/agent/f{made}", "w").close()
        made += 1
except OSError as error:
    print("files", made, error.errno)
for number in range(100):
    os.unlink(f"/home/agent/f{number}")
""")

UNLINKED = python("""
import os
held, size = [], 0
try:
    while True:
        file = os.open("gone", os.O_CREAT | os.O_WRONLY)
        os.unlink("gone")
        held.append(file)
        for _ in range(8):
            size += os.write(file, bytes(2**20))
except OSError as error:
    print("held", size, error.errno)
""")

DEEP = python("""
import os
name = "d" * 100
for _ in range(20000):
    try:
        os.mkdir(name)
        os.chdir(name)
    except OSError as error:
        print("depth ends", error.errno)
        break
print("deep")
""")

BEATS = """
import os, signal, sys, time
for number in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for caught in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(caught, signal.SIG_IGN)
        while True:
            with open(f"/workspace/beat-{number}.part", "w") as file:
                file.write(repr(time.time()))
            os.replace(f"/workspace/beat-{number}.part", f"/workspace/beat-{number}")
            time.sleep(0.005)
time.sleep(1)
"""

ABORT = python("""
import os, resource
print("core limit", resource.getrlimit(resource.RLIMIT_CORE))
try:
    resource.setrlimit(resource.RLIMIT_CORE, (2**32, 2**32))
except (ValueError, OSError) as error:
    print("refused", error)
if os.fork() == 0:
    x = bytearray(32 * 2**20)
    os.abort()
os.wait()
open("made", "w").write("made\\n")
""")

PRIVILEGED_FILES = """
for mode in 4755 2755; do cp /bin/sh s$mode && chmod $mode s$mode && echo "mode $mode"; done
mknod disk b 254 0 2>/dev/null && echo "a block device"
mknod null c 1 3 2>/dev/null && echo "a character device"
mkfifo pipe && echo "a pipe"
grep -E ' (/workspace|/gitdir|/home/agent|/tmp) ' /proc/mounts | sed 's/^[^ ]* /mounted /'
"""

SEARCH = python("""
import os, stat
for place, folders, files in os.walk("/", topdown=True):
    if place in ("/proc", "/sys"):
        folders[:] = []
    for name in files:
        path = os.path.join(place, name)
        try:
            mode = os.lstat(path).st_mode
        except OSError:
            continue
        if stat.S_ISSOCK(mode):
            print("socket", path)
        if stat.S_ISBLK(mode):
            print("block", path)
print("processes", *sorted(int(name) for name in os.listdir("/proc") if name.isdigit()))
print("mounts", *sorted({line.split()[1] for line in open("/proc/mounts")} & {
    "/workspace", "/gitdir", "/home/agent", "/base", "/run/gw", "/run/corral/in", "/workspace/.git"}))
print("searched")
""")

POISON = """
find / -xdev -type d -writable 2>/dev/null > /tmp/places
for place in / /workspace /gitdir /home/agent /tmp /dev/shm /base /run/corral/in; do
    find "$place" -xdev -type d -writable 2>/dev/null
done | sort -u | while read -r place; do echo evil 2>/dev/null > "$place/evil-49" && echo "wrote $place"; done
rm -f /workspace/evil-49
"""

FIND_POISON = """
for place in / /workspace /gitdir /home/agent /tmp /dev/shm /base /run/corral/in; do
    find "$place" -xdev -name 'evil-49' 2>/dev/null
done | sed 's/^/found /'
echo looked
"""

BURN = python("""
import os, time
for _ in range(8):
    if os.fork() == 0:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            os.sync()
        os._exit(0)
try:
    os.nice(-10)
    print("nicer")
except OSError as error:
    print("nice refused", error.errno)
print("affinity", len(os.sched_getaffinity(0)))
for _ in range(8):
    os.wait()
""")

MANY = python("""
import os
for number in range(100_000):
    if number % 1000 == 0:
        os.makedirs(f"many/{number}")
    with open(f"many/{number - number % 1000}/{number}", "w") as file:
        file.write(str(number))
""")

SPECIAL = python("""
import os, socket
for number in range(200):
    os.mkfifo(f"pipe{number}")
    socket.socket(socket.AF_UNIX).bind(f"socket{number}")
    os.symlink("/dev/zero", f"zero{number}")
os.mkdir("locked", 0)
with open("sparse", "wb") as file:
    file.truncate(2 * 2**30)
with open("made", "w") as file:
    file.write("made\\n")
""")


def attacks() -> dict[str, Any]:
    """Every attack, by its case."""
    beats = f"{python(BEATS)}\ntrap '' TERM\ntouch made\nexit 0"
    scripts: dict[str, str | dict[str, Any]] = {
        "36-forks": FORKS,
        "36-zombies": ZOMBIES,
        "37-main": "exec python3 -c 'x = bytearray(0)\nwhile True: x += bytearray(16 * 2**20)'",
        "37-child": MEMORY_CHILD,
        "37-tmp": "head -c 2G /dev/zero > /tmp/fill",
        "37-shm": SHARED_MEMORY,
        "38-bytes": "echo small > made; head -c 1G /dev/zero > /gitdir/fill; sync; exit 1",
        "38-files": INODES,
        "38-unlinked": UNLINKED,
        "38-sparse": "truncate -s 1T sparse && ls -s sparse && echo small > made",
        "38-deep": DEEP,
        "40-daemons": beats,
        "41-files": PRIVILEGED_FILES,
        "42-core": ABORT,
        "47-burn": BURN,
        "48-search": SEARCH,
        "49-poison": POISON,
        "49-victim": {"sh": FIND_POISON, "needs": ["49-poison"], "from": "base"},
        "many": {"sh": MANY, "limits": LARGE},
        "special": SPECIAL,
        "neighbour": "sleep 3; echo made > made",
    }
    may = {"may_be_empty": True}
    return {task: {"sh": sh, **may} if isinstance(sh, str) else {**sh, **may} for task, sh in scripts.items()}
