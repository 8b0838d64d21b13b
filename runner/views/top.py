"""All living boxes at a glance: what the host has left, and what each box uses of what it may."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from runner.sandbox.pressure import Pressure, Stall
from runner.supervisor.census import Living, Look
from runner.views import wording
from runner.views.fitting import Column, Fitting
from runner.views.inert import cell
from runner.views.summary import Json

NONE_LIVES = "no box lives"
SCARCE = 0.9
"""From this share of a limit on, a figure is coloured."""
WAITS = 10.0
"""From this percent of the time on, what work waits for is coloured."""

_HEAD = (
    Column("attempt"),
    Column("run", importance=4),
    Column("", importance=5),
    Column("since", importance=2),
    Column("cpu", importance=9),
    Column("memory", importance=9),
    Column("processes", importance=3),
    Column("read/s", importance=1),
    Column("written/s", importance=1),
    Column("disk", importance=6),
    Column("waits for", importance=7),
)


def terminal(seen: Look, most: int | None = None) -> RenderableType:
    """The host in a line, and a row for each box, the busiest first.

    Args:
        seen: What there is.
        most: How many boxes there is room for.
    """
    if not seen.boxes:
        return Group(_host(seen), Text(NONE_LIVES, "dim"))
    boxes = sorted(seen.boxes, key=lambda box: -(box.cores or 0.0))
    shown = boxes[:most]
    parts: list[RenderableType] = [_host(seen), Fitting(_HEAD, [_row(box, seen.at) for box in shown])]
    if len(shown) < len(boxes):
        parts.append(Text(f"… and {len(boxes) - len(shown)} more", "dim"))
    return Group(*parts)


def as_json(seen: Look) -> Json:
    """The same for programs; unknown values are None."""
    host = seen.host
    return {
        "kind": "top",
        "schema": 1,
        "at": seen.at,
        "host": {
            "cores": host.cores,
            "busy_cores": seen.busy,
            "load": list(host.load),
            "memory": host.memory_total,
            "memory_available": host.memory_available,
            "swap": host.swap_total,
            "swap_used": host.swap_used,
            "disk": host.disk_total,
            "disk_free": host.disk_free,
            "pressure": _pressure_row(host.pressure),
        },
        "boxes": [_box_row(box) for box in seen.boxes],
    }


def _host(seen: Look) -> Text:
    host = seen.host
    used = host.memory_total - host.memory_available
    text = Text("host", "bold")
    text.append("  cpu ", "not bold").append_text(
        _of(seen.busy, host.cores, _cores(seen.busy), f"{host.cores}")
    )
    text.append("  load " + " ".join(f"{load:.2f}" for load in host.load), "not bold")
    text.append("  memory ", "not bold").append_text(_sizes(used, host.memory_total))
    if host.swap_total:
        text.append("  swap ", "not bold").append_text(_sizes(host.swap_used, host.swap_total))
    text.append("  disk ", "not bold").append_text(_sizes(host.disk_total - host.disk_free, host.disk_total))
    text.append("  waits for ", "not bold").append_text(_waits(host.pressure))
    return text


def _row(box: Living, now: float) -> tuple[Text, ...]:
    usage, bounds = box.usage, box.bounds
    stage = "frozen" if box.frozen else "running" if box.role == "agent" else box.role
    cores = _of(box.cores, bounds.cpus, _cores(box.cores), "" if bounds.cpus is None else f"{bounds.cpus:g}")
    if box.throttled:
        cores.append(f" ({box.throttled:.0%} stopped)", "yellow")
    return (
        cell(box.attempt),
        cell(box.run),
        Text(stage, "yellow" if box.frozen else "cyan"),
        Text(wording.UNKNOWN if box.started is None else wording.duration(max(0.0, now - box.started))),
        cores,
        _sizes(usage.memory, bounds.memory),
        _of(usage.pids, bounds.pids, wording.count(usage.pids), wording.count(bounds.pids)),
        Text(_rate(box.read)),
        Text(_rate(box.written)),
        Text(wording.size(box.disk)),
        _waits(usage.pressure or Pressure()),
    )


def _of(used: float | None, most: float | None, words: str, limit: str) -> Text:
    """So much of a limit, if there is one; coloured when little is left."""
    scarce = used is not None and most is not None and used >= SCARCE * most
    return Text(words if most is None else f"{words}/{limit}", "yellow" if scarce else "not bold")


def _sizes(used: int | None, most: int | None) -> Text:
    return _of(used, most, wording.size(used), wording.size(most))


def _cores(cores: float | None) -> str:
    return wording.UNKNOWN if cores is None else f"{cores:.1f}"


def _rate(count: float | None) -> str:
    return wording.UNKNOWN if count is None else wording.size(round(count)) if count >= 1 else "-"


def _waits(pressure: Pressure) -> Text:
    """What work waited for in at least a hundredth of the last ten seconds."""
    stalls = {"cpu": pressure.cpu, "memory": pressure.memory, "io": pressure.io}
    known = {name: stall.some for name, stall in stalls.items() if stall is not None}
    if not known:
        return Text(wording.UNKNOWN, "not bold")
    words = ", ".join(f"{name} {some:.0f}%" for name, some in known.items() if some >= 1)
    return Text(words or "-", "yellow" if max(known.values()) >= WAITS else "not bold")


def _box_row(box: Living) -> Json:
    usage, bounds = box.usage, box.bounds
    return {
        "run": box.run,
        "attempt": box.attempt,
        "role": box.role,
        "container": box.container,
        "started": box.started,
        "frozen": box.frozen,
        "cores": box.cores,
        "cpus": bounds.cpus,
        "cpu_seconds": usage.cpu_seconds,
        "throttled": box.throttled,
        "throttled_seconds": usage.throttled_seconds,
        "memory": usage.memory,
        "memory_used": usage.memory_used,
        "memory_limit": bounds.memory,
        "peak_memory": usage.peak_memory,
        "oom_kills": usage.oom_kills,
        "pids": usage.pids,
        "pids_limit": bounds.pids,
        "pid_refusals": usage.pid_refusals,
        "read_bytes": usage.read_bytes,
        "written_bytes": usage.written_bytes,
        "read_per_second": box.read,
        "written_per_second": box.written,
        "disk": box.disk,
        "pressure": None if usage.pressure is None else _pressure_row(usage.pressure),
    }


def _pressure_row(pressure: Pressure) -> Json:
    return {
        "cpu": _stall_row(pressure.cpu),
        "memory": _stall_row(pressure.memory),
        "io": _stall_row(pressure.io),
    }


def _stall_row(stall: Stall | None) -> Json | None:
    if stall is None:
        return None
    return {
        "some": stall.some,
        "full": stall.full,
        "some_seconds": stall.some_seconds,
        "full_seconds": stall.full_seconds,
    }
