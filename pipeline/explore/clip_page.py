"""The page of `erc explore clip`: one file that needs nothing else, and no script.

Every value from data passes through autoescape; the page's policy lets nothing load but what stands in it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from features.encoders.views import FramesView, Region, SoundView, Strip, TextView, Token
from features.errors import status_of
from features.media.clip import Clip
from pipeline.explore.clip_inputs import Found, Look, Seen
from pipeline.explore.clip_sound import mel_spectrogram, waveform
from pipeline.explore.inline_media import Budget, Image, thumbnail
from pipeline.pages.drawing import Drawing
from pipeline.pages.page import render
from pipeline.pages.words import SYNTHETIC_WARNING, count, plural

_TITLES = {"text": "Text", "audio": "Sound", "visual": "Pictures"}
_FRAME_WIDTH = 320  # pixels of the decoded frames
_ALL = 0.999  # of a frame: what is less is cut
_MOST_PICTURES = 40  # of a strip
_MOST_CUT = 60  # tokens in a row that are not in the input
_SURE = 0.5  # a face above this score is cut out
_MOST_FACES = 24
_CROP_SIDE = 112


@dataclass(frozen=True)
class Box:
    """Where something lies on a picture, in percent of its width and height."""

    left: float
    top: float
    width: float
    height: float
    label: str = ""
    counts: bool = True


@dataclass(frozen=True)
class Shot:
    """A picture with what stands on it and under it. region: the part that goes on; gone: nothing of it does"""

    image: Image
    label: str
    boxes: tuple[Box, ...] = ()
    region: Box | None = None
    gone: bool = False
    note: str = ""


@dataclass(frozen=True)
class Row:
    """Pictures side by side."""

    title: str
    shots: tuple[Shot, ...]
    note: str = ""


@dataclass(frozen=True)
class Sounding:
    """A sound to look at and to play. played: seconds of it in the page"""

    uri: str
    seconds: float
    played: float
    wave: Drawing
    mel: Drawing


@dataclass
class Block:
    """One encoder's part of the page.

    facts:   (name, value) lines; glance: the same in a few words
    tokens:  a number stands for so many cut ones that are not shown
    same_as: the encoder whose sound is the same
    """

    seen: Seen
    name: str
    anchor: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    glance: str = ""
    tokens: tuple[Token | int, ...] = ()
    values: tuple[tuple[str, float], ...] = ()
    sounding: Sounding | None = None
    rows: list[Row] = field(default_factory=list)
    same_as: str = ""
    note: str = ""

    @property
    def outcome(self) -> str:
        """`ok`, or `missing` and `failed` with the reason, or `not tried`."""
        if self.seen.not_shown:
            return "not tried"
        error = self.seen.unavailable
        return "ok" if error is None else f"{status_of(error.reason)}: {error.reason}"

    @property
    def got(self) -> str:
        """Its facts in one line, or why there is none."""
        if self.seen.not_shown:
            return self.seen.not_shown
        error = self.seen.unavailable
        if error is not None:
            return error.detail or str(error.reason)
        return self.glance

    @property
    def stored_outcome(self) -> str:
        """What the store says, or nothing where it has no such feature."""
        stored = self.seen.wanted.stored
        if stored is None:
            return ""
        return f"{stored.status}: {stored.reason}" if stored.reason else stored.status


def clip_page(look: Look, command_line: str, store: str | None = None) -> str:
    """The page. store: the folder whose ledgers were read, or None"""
    blocks = blocks_of(look)
    sections = [
        (title, [block for block in blocks if block.seen.modality == modality]) for modality, title in _TITLES.items()
    ]
    return render(
        "clip.html.jinja",
        look=look,
        badges=_badges(look),
        warnings=_warnings(look),
        blocks=blocks,
        sections=[(title, group) for title, group in sections if group],
        clip_facts=_clip_facts(look),
        command_line=command_line,
        store=store,
        visible=visible,
        setting=_setting,
        has_stored=any(block.seen.wanted.stored for block in blocks),
    )


def blocks_of(look: Look) -> list[Block]:
    """A part of the page an encoder, in the order of the modalities."""
    budget = Budget()
    made: dict[str, str] = {}
    blocks: list[Block] = []
    order = {modality: number for number, modality in enumerate(_TITLES)}
    for number, seen in enumerate(sorted(look.seen, key=lambda each: order[each.modality]), start=1):
        stored = seen.wanted.stored
        name = f"{stored.feature.name}@{stored.feature.fingerprint[:8]}" if stored else seen.wanted.name
        block = Block(seen, name, f"encoder-{number}")
        blocks.append(block)
        if isinstance(seen.view, TextView):
            _text(block, seen.view)
        elif isinstance(seen.view, SoundView):
            _sound(block, seen.view, budget, made)
        elif isinstance(seen.view, FramesView):
            _frames(block, seen.view, budget, made)
        elif isinstance(seen.before, FramesView):
            _frames(block, seen.before, budget, made, finished=False)
    return blocks


def _text(block: Block, view: TextView) -> None:
    kept = sum(token.kept for token in view.tokens)
    cut = len(view.tokens) - kept
    if view.tokens:
        window = f" of a window of {count(view.window)}" if view.window else ""
        block.facts.append(("tokens", f"{count(kept)}{window}"))
        own = sum(token.kept for token in view.tokens if token.part == "own")
        block.facts.append(("of them", f"{count(own)} of this turn, {count(kept - own)} past or special"))
        block.facts.append(("left out", count(cut) if cut else "none"))
        block.glance = plural(kept, "token") + (f", {count(cut)} left out" if cut else "")
    else:
        block.glance = plural(len(view.values), "count")
    block.tokens = tuple(_shortened(view.tokens))
    block.values, block.note = view.values, view.note


def _shortened(tokens: Sequence[Token]) -> Iterator[Token | int]:
    """The tokens; of many cut ones in a row only those nearest to the input, before it or behind it."""
    runs = [list(run) for _, run in itertools.groupby(tokens, key=lambda token: token.kept)]
    for number, run in enumerate(runs):
        skipped = 0 if run[0].kept else max(0, len(run) - _MOST_CUT)
        if skipped and number == 0:
            yield skipped
            yield from run[skipped:]
        else:
            yield from run[: len(run) - skipped]
            if skipped:
                yield skipped


def _sound(block: Block, view: SoundView, budget: Budget, made: dict[str, str]) -> None:
    length = len(view.samples)
    block.facts += [
        ("samples", f"{count(length)} at {count(view.rate_hz)} Hz"),
        ("seconds", f"{length / view.rate_hz:.3f} as the encoder hears it, {view.seconds:.3f} in the clip"),
        ("cut", "yes: the rest is not heard" if view.cut else "no"),
    ]
    if view.padding:
        block.facts.append(("padding", f"{count(view.padding)} zeros, {view.padding / length:.0%} of the input"))
    block.glance = f"{length / view.rate_hz:.2f} s at {count(view.rate_hz)} Hz" + (", cut" if view.cut else "")
    if view.padding:
        block.glance += f", {view.padding / length:.0%} of it zeros"
    peak = float(np.abs(view.samples).max()) if length else 0.0
    block.facts.append(("peak", f"{peak:.3f} of full scale"))
    block.note = view.note
    same = made.setdefault(_digest([view.samples], str(view.rate_hz)), block.name)
    if same != block.name:
        block.same_as = same
        return
    uri, num_played = budget.wav(view.samples, view.rate_hz)
    block.sounding = Sounding(
        uri,
        length / view.rate_hz,
        num_played / view.rate_hz,
        waveform(f"{block.anchor}-wave", view.samples, view.rate_hz, view.padding),
        mel_spectrogram(f"{block.anchor}-mel", view.samples, view.rate_hz),
    )


def _frames(block: Block, view: FramesView, budget: Budget, made: dict[str, str], finished: bool = True) -> None:
    """finished: whether the view is of the network's input, not of what faces are still to be cut out of."""
    frames, faces = view.frames, block.seen.faces
    times = ", ".join(f"{time_s:.2f}" for time_s in frames.times_s)
    distinct = len({id(frame) for frame in frames.pixels})
    same = f", {distinct} of them distinct" if distinct < len(frames.pixels) else ""
    block.facts += [
        ("frames", f"{len(frames.pixels)}{same}"),
        ("at seconds", f"{times} of {frames.seconds:.2f}"),
        ("cut", "yes: the rest is not seen" if frames.cut else "no"),
    ]
    shares = [_share(region, frame) for region, frame in zip(view.seen, frames.pixels, strict=False)]
    block.glance = plural(len(frames.pixels), "frame") + (", cut" if frames.cut else "")
    if shares and finished:
        whole, alike = min(shares) > _ALL, max(shares) - min(shares) < 1 - _ALL
        each, together = f"{shares[0]:.0%} of every frame", f"{sum(shares):.1f} of {len(shares)} frames"
        block.facts.append(("in the input", "all of every frame" if whole else each if alike else together))
        if not whole:
            block.glance = f"{block.glance}, {each}" if alike else together
    if faces is not None:
        sure = int((faces.faces.scores >= faces.confidence).sum())
        block.facts.append(("faces", f"{plural(sure, 'face')} with a score of {faces.confidence:g} or more"))
        block.facts.append(("found by", faces.origin))
        block.glance += f", {plural(sure, 'face')}"
    block.note = view.note
    is_detector = block.seen.wanted.request.encoder == "faces"
    published = bool(block.seen.settings.get("as_published"))
    block.rows.append(_decoded_row(view, shares, None if published or is_detector else faces))
    if not finished:
        strips = [replace(strip, title="Faces are looked for in these") for strip in view.strips]
        block.rows += [_strip(strip, budget, made, block, faces if published else None) for strip in strips]
        return
    if block.seen.before is not None and published and isinstance(block.seen.before, FramesView):
        strips = [replace(strip, title="Faces are looked for in this") for strip in block.seen.before.strips]
        block.rows += [_strip(strip, budget, made, block, faces) for strip in strips]
    block.rows += [_strip(strip, budget, made, block, faces if is_detector else None) for strip in view.strips]
    if is_detector and faces is not None and not published and len(faces.faces):
        block.rows.append(_crops(view, faces))


def _decoded_row(view: FramesView, shares: Sequence[float], found: Found | None) -> Row:
    """The frames as decoded, small; what is not in the input is dark, faces are framed."""
    shots = []
    places = range(len(view.frames.pixels))
    for place in _chosen(places):
        frame, time_s = view.frames.pixels[place], view.frames.times_s[place]
        region = view.seen[place] if view.seen else None
        share = shares[place] if shares else 1.0
        box = _region_box(region, frame) if region is not None and share < _ALL else None
        part = f"{share:.0%} of it is in the input" if share else "nothing of it is in the input"
        note = "" if share > _ALL else part
        label = f"frame {place + 1}, {time_s:.2f} s"
        image = thumbnail(frame, _FRAME_WIDTH)
        shots.append(Shot(image, label, _boxes(found, place), box, bool(shares) and not share, note))
    height, width = view.frames.pixels[0].shape[:2]
    note = f"{width} x {height} pixels as decoded, shown smaller"
    if any(share < _ALL for share in shares):
        note += "; what is dark never reaches the network"
    return Row("Sampled frames", tuple(shots), note + _some(places))


def _strip(strip: Strip, budget: Budget, made: dict[str, str], block: Block, found: Found | None) -> Row:
    places = range(len(strip.pictures))
    chosen = _chosen(places)
    height, width = strip.pictures[0].shape[:2]
    note = f"{width} x {height} pixels"
    same = made.setdefault(_digest(strip.pictures, ""), block.name)
    if same != block.name and found is None:
        return Row(strip.title, (), f"{note}, the same as those of {same}")
    images, is_exact = budget.exact([strip.pictures[place] for place in chosen])
    shots = tuple(
        Shot(image, strip.labels[place], _boxes(found, place)) for image, place in zip(images, chosen, strict=True)
    )
    note += ", pixel by pixel" if is_exact else ", as JPEG, to keep this page small"
    return Row(strip.title, shots, note + _some(places))


def _crops(view: FramesView, found: Found) -> Row:
    """The faces that are likely ones, cut out of the decoded frames with a margin."""
    from features.encoders.visual.face_pictures import cut_out, square_around

    faces = found.faces.where(found.faces.scores >= _SURE)
    shots = []
    likely = list(zip(faces.frames.tolist(), faces.boxes.tolist(), faces.scores.tolist(), strict=True))
    for frame, box, score in likely[:_MOST_FACES]:
        picture = view.frames.pixels[frame]
        square = square_around(box, picture.shape[1], picture.shape[0])
        image = thumbnail(cut_out(picture, square, _CROP_SIDE), _CROP_SIDE)
        shots.append(Shot(image, f"frame {frame + 1}, score {score:.2f}"))
    rest = len(found.faces) - len(shots)
    note = f"score of {_SURE:g} or more, from the decoded frames with a margin"
    return Row("Faces", tuple(shots), f"{note}; {rest} others are not shown" if rest else note)


def _boxes(found: Found | None, place: int) -> tuple[Box, ...]:
    """The faces of one frame, those that do not count among them."""
    if found is None:
        return ()
    own = found.faces.where(found.faces.frames == place)
    return tuple(
        Box(100 * x1, 100 * y1, 100 * (x2 - x1), 100 * (y2 - y1), f"{score:.2f}", score >= max(_SURE, found.confidence))
        for (x1, y1, x2, y2), score in zip(own.boxes.tolist(), own.scores.tolist(), strict=True)
    )


def _region_box(region: Region, frame: np.ndarray) -> Box:
    height, width = frame.shape[:2]
    left, top, right, bottom = region
    return Box(100 * left / width, 100 * top / height, 100 * (right - left) / width, 100 * (bottom - top) / height)


def _share(region: Region | None, frame: np.ndarray) -> float:
    """How much of a frame's area a region is."""
    if region is None:
        return 0.0
    left, top, right, bottom = region
    return (right - left) * (bottom - top) / (frame.shape[0] * frame.shape[1])


def _chosen(places: range) -> list[int]:
    """All places, or as many as a row shows, evenly spread."""
    if len(places) <= _MOST_PICTURES:
        return list(places)
    return [places[number * len(places) // _MOST_PICTURES] for number in range(_MOST_PICTURES)]


def _some(places: range) -> str:
    return f"; {_MOST_PICTURES} of {len(places)} are shown" if len(places) > _MOST_PICTURES else ""


def _digest(arrays: Sequence[np.ndarray], more: str) -> str:
    digest = hashlib.sha256(more.encode())
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def visible(text: str) -> str:
    """A token's text with its line ends and tabs to be seen."""
    return text.replace("\n", "\u21b5\n").replace("\t", "\u2192")


def _setting(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _badges(look: Look) -> list[tuple[str, str]]:
    utterance = look.utterance
    badges = [
        ("id", utterance.utterance_id),
        ("split", utterance.split),
        ("turn", f"{look.index + 1} of {len(look.dialogue.utterances)} in its dialogue"),
        ("label", utterance.label or "none"),
    ]
    if utterance.duration is not None:
        badges.append(("annotated", f"{utterance.duration:.2f} s"))
    if utterance.media is not None:
        badges.append(("clip", utterance.media))
    return badges


def _warnings(look: Look) -> list[tuple[str, str]]:
    """(what, why) of everything that makes this page other than it looks."""
    found = []
    if look.manifest.card.synthetic:
        found.append(("Synthetic corpus.", SYNTHETIC_WARNING))
    if look.known_bad is not None:
        found.append(
            (
                "Known-bad clip.",
                f"{look.known_bad}. Extraction masks its sound and pictures (missing: known-bad) unless told"
                " --known-bad use; below is what encoders would get then.",
            )
        )
    if any(seen.faces is not None and seen.faces.random for seen in look.seen):
        found.append(("Random weights.", "The faces were found by a detector with random weights: they mean nothing."))
    return found


def _clip_facts(look: Look) -> list[tuple[str, str]]:
    clip, facts = look.clip, []
    if not isinstance(clip, Clip):
        return []
    facts.append(("file", f"{look.utterance.media}, {count(clip.size)} bytes, sha256 {clip.digest[:12]}"))
    if look.utterance.start is not None or look.utterance.end is not None:
        start, end = look.utterance.start, look.utterance.end
        facts.append(("cut", f"{start or 0:.2f} s to {'its end' if end is None else f'{end:.2f} s'}"))
    return facts
