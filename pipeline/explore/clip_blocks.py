"""What each encoder saw of a clip as a block of the page: facts, tokens, sound, rows of pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from features.encoders.views import FramesView, SoundView, TextView, Token
from pipeline.explore.clip_inputs import Look
from pipeline.explore.clip_parts import Block, Sounding
from pipeline.explore.clip_pictures import ALL, crops_row, decoded_row, share_of, strip_row
from pipeline.explore.clip_sound import mel_spectrogram, waveform
from pipeline.explore.inline_media import Budget
from pipeline.pages.words import count, plural

MODALITIES = {"text": "Text", "audio": "Sound", "visual": "Pictures"}
_MOST_CUT = 60  # tokens in a row that are not in the input


def blocks_of(look: Look) -> list[Block]:
    """A part of the page an encoder, in the order of the modalities."""
    budget = Budget()
    blocks: list[Block] = []
    order = {modality: number for number, modality in enumerate(MODALITIES)}
    for number, seen in enumerate(sorted(look.seen, key=lambda each: order[each.modality]), start=1):
        stored = seen.wanted.stored
        name = f"{stored.feature.name}@{stored.feature.fingerprint[:8]}" if stored else seen.wanted.name
        block = Block(seen, name, f"encoder-{number}")
        blocks.append(block)
        if isinstance(seen.view, TextView):
            _text(block, seen.view)
        elif isinstance(seen.view, SoundView):
            _sound(block, seen.view, budget)
        elif isinstance(seen.view, FramesView):
            _frames(block, seen.view, budget)
        elif isinstance(seen.before, FramesView):
            _frames(block, seen.before, budget, finished=False)
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


def _sound(block: Block, view: SoundView, budget: Budget) -> None:
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
    same = budget.first_shown([view.samples], block.name, str(view.rate_hz))
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


def _frames(block: Block, view: FramesView, budget: Budget, finished: bool = True) -> None:
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
    shares = [share_of(region, frame) for region, frame in zip(view.seen, frames.pixels, strict=False)]
    block.glance = plural(len(frames.pixels), "frame") + (", cut" if frames.cut else "")
    if shares and finished:
        whole, alike = min(shares) > ALL, max(shares) - min(shares) < 1 - ALL
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
    block.rows.append(decoded_row(view, shares, None if published or is_detector else faces))
    if not finished:
        strips = [replace(strip, title="Faces are looked for in these") for strip in view.strips]
        block.rows += [strip_row(strip, block.name, budget, faces if published else None) for strip in strips]
        return
    if block.seen.before is not None and published and isinstance(block.seen.before, FramesView):
        strips = [replace(strip, title="Faces are looked for in this") for strip in block.seen.before.strips]
        block.rows += [strip_row(strip, block.name, budget, faces) for strip in strips]
    block.rows += [strip_row(strip, block.name, budget, faces if is_detector else None) for strip in view.strips]
    if is_detector and faces is not None and not published and len(faces.faces):
        block.rows.append(crops_row(view, faces))
