"""What limited an extraction, in words: the busiest stage, how long the others waited for it, and what would help."""

from __future__ import annotations

from typing import Any

from features.engines.activity import Activity, Stage

_IDLE = 0.5  # below this share even the busiest stage did not limit the run
_WORTH_ADVICE_S = 30.0
_STAGES: tuple[Stage, ...] = ("preparing", "decoding", "encoding", "writing")


def limit_line(activity: Activity, device: str, cores: int) -> str:
    """One line on one activity.

    device: `cpu` or `cuda`, where the encoders compute; cores: all that the engine may use
    """
    stage, kind, elapsed = activity.limit, activity.kind, f"{activity.elapsed:.1f} s"
    if activity.busy(stage) < _IDLE:
        shares = ", ".join(f"{name} {_percent(activity.busy(name))}" for name in _STAGES if getattr(activity, name))
        return f"{kind}: start-up and waiting took most of {elapsed} ({shares or 'nothing was busy'})"
    busy = f"{_who(activity)} busy {_percent(activity.busy(stage))} of {elapsed}"
    return f"{kind}: limited by {stage}: " + "; ".join([busy, *_others(activity), *_advice(activity, device, cores)])


def activity_summary(activity: Activity) -> dict[str, Any]:
    """The same for --json. busy: shares of the time, 0 to 1, of all who do a stage"""
    return {
        "kind": activity.kind,
        "seconds": round(activity.elapsed, 3),
        "places": activity.places,
        "workers": activity.workers,
        "busy": {stage: round(activity.busy(stage), 3) for stage in _STAGES},
        "limit": activity.limit if activity.busy(activity.limit) >= _IDLE else None,
    }


def _who(activity: Activity) -> str:
    if activity.limit == "decoding" and activity.workers:
        return _count(activity.workers * activity.places, "worker")
    if activity.limit == "encoding":
        return _count(activity.places, "device") if activity.places > 1 else "the device"
    return _count(activity.places, "process") if activity.places > 1 else "one process"


def _others(activity: Activity) -> list[str]:
    """How long those waited who are not the limit."""
    others: list[Stage] = ["encoding"] if activity.limit != "encoding" else []
    if activity.limit != "decoding" and activity.workers:
        others.append("decoding")
    return [f"{stage} waited {_percent(1 - activity.busy(stage))} of the time" for stage in others]


def _advice(activity: Activity, device: str, cores: int) -> list[str]:
    """What would make such work faster; nothing where it is over before anything could be changed."""
    if activity.elapsed < _WORTH_ADVICE_S:
        return []
    if activity.limit == "decoding":
        if not activity.workers:
            return ["--workers 1 or more would decode beside encoding"]
        if activity.workers * activity.places < cores:
            return ["more --workers would help"]
        return ["all cores decode already: more machines would help (--shard I/N, or --engine ray)"]
    if activity.limit == "encoding":
        return ["a GPU would help" if device == "cpu" else "a larger --batch-size or --dtype bf16 may help"]
    if activity.limit == "writing":
        return ["a faster disk for the store would help"]
    return []


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _count(number: int, thing: str) -> str:
    plural = thing + ("es" if thing.endswith("s") else "s")
    return f"{number} {thing if number == 1 else plural}"
