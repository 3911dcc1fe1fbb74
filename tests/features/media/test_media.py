"""Clips of every odd kind: each gives the right samples and frames, or the reason why not."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clip_factory import damaged, every, number_of, sine, turned, utterance, without_codec, write_clip

from features.errors import Reason, UnavailableError
from features.media import clip as clip_module
from features.media import decode as decode_module
from features.media import limits
from features.media import source as source_module
from features.media.clip import Clip, decode_clip
from features.media.frame_reader import FrameReader
from features.media.needs import AudioNeed, ClipNeeds, FramesNeed
from features.media.timeline import Timeline

AUDIO = AudioNeed(16000, 30.0)
FRAMES = FramesNeed(5, 30.0)
BOTH = [ClipNeeds(audio=AUDIO), ClipNeeds(frames=FRAMES)]
FRAMES_OF_3_S = [7, 22, 37, 52, 67]  # of 75 at 25 a second: on screen at 0.3, 0.9, 1.5, 2.1 and 2.7 s


def decode(path: Path, start: float | None = None, end: float | None = None) -> Clip:
    return decode_clip(path, utterance(start, end), BOTH)


def numbers(clip: Clip, need: FramesNeed = FRAMES) -> list[int]:
    return [number_of(picture) for picture in clip.frames(need).pixels]


def level(clip: Clip) -> float:
    return float(np.sqrt(np.mean(np.square(clip.sound(AUDIO).samples, dtype=np.float64))))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    """3 s: 75 numbered frames, a sine of 440 Hz at half scale, everything in one file whose index stands first."""
    movflags = {"movflags": "faststart"}
    return write_clip(folder / "plain.mp4", times_ms=every(40, 75), samples=sine(3, 48000), container_options=movflags)


@pytest.fixture(scope="module")
def session(folder: Path) -> Path:
    """30 s: 750 numbered frames, key frames 2 s apart; second n of the sound has the frequency 200 + 20 n Hz."""
    sound = np.concatenate([sine(1, 16000, 200 + 20 * second) for second in range(30)], axis=1)
    return write_clip(
        folder / "session.mp4",
        times_ms=every(40, 750),
        samples=sound,
        rate_hz=16000,
        options={"g": "50", "preset": "ultrafast"},
    )


def test_a_plain_clip(plain: Path) -> None:
    clip = decode(plain)
    sound, frames = clip.sound(AUDIO), clip.frames(FRAMES)
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert sound.seconds == pytest.approx(3.0, abs=0.05)
    assert level(clip) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    spectrum = np.abs(np.fft.rfft(sound.samples))
    assert np.argmax(spectrum) * 16000 / len(sound.samples) == pytest.approx(440, abs=1)
    assert numbers(clip) == FRAMES_OF_3_S
    assert frames.times_s == pytest.approx([0.28, 0.88, 1.48, 2.08, 2.68])
    assert frames.pixels[0].dtype == np.uint8
    assert frames.pixels[0].shape == (48, 160, 3)
    assert (frames.seconds, frames.cut, sound.cut) == (3.0, False, False)
    assert (clip.size, clip.mtime_ns) == (plain.stat().st_size, plain.stat().st_mtime_ns)
    assert len(clip.digest) == 64


# name, what makes it, what is expected of (audio, video): a reason, or for audio seconds and for video frame numbers
ODD_CLIPS: list[tuple[str, Callable[[Path], object], Reason | float, Reason | list[int]]] = [
    ("no-audio.mp4", lambda p: write_clip(p, times_ms=every(40, 75)), Reason.NO_AUDIO, FRAMES_OF_3_S),
    ("no-video.mp4", lambda p: write_clip(p, samples=sine(3, 48000)), 3.0, Reason.NO_VIDEO),
    (
        "mono-8-khz.wav",
        lambda p: write_clip(p, samples=sine(2, 8000), rate_hz=8000, audio_codec="pcm_s16le"),
        2.0,
        Reason.NO_VIDEO,
    ),
    (
        "variable-rate.mp4",  # 3 s: targets 0.3, 0.9, 1.5, 2.1, 2.7 s; the last frame lasts as long as that before it
        lambda p: write_clip(p, times_ms=[0, 40, 80, 120, 1000, 1040, 1080, 2000, 2960], options={"bf": "0"}),
        Reason.NO_AUDIO,
        [3, 3, 6, 7, 7],
    ),
    (
        "b-frames.mp4",
        lambda p: write_clip(p, times_ms=every(40, 75), options={"bf": "3"}),
        Reason.NO_AUDIO,
        FRAMES_OF_3_S,
    ),
    ("late-start.mp4", lambda p: write_clip(p, times_ms=every(40, 75, 700)), Reason.NO_AUDIO, FRAMES_OF_3_S),
    ("one-frame.mp4", lambda p: write_clip(p, times_ms=[0]), Reason.NO_AUDIO, [0, 0, 0, 0, 0]),
    (
        "mpeg4.avi",  # AVI stores decoding times only
        lambda p: write_clip(
            p,
            times_ms=every(40, 75),
            rate=25,
            video_codec="mpeg4",
            options={"bf": "2"},
            samples=sine(3, 48000),
            audio_codec="pcm_s16le",
        ),
        3.0,
        FRAMES_OF_3_S,
    ),
    (
        "h264.avi",
        lambda p: write_clip(p, times_ms=every(40, 75), rate=25, options={"bf": "2"}),
        Reason.NO_AUDIO,
        FRAMES_OF_3_S,
    ),
    ("bare.h264", lambda p: write_clip(p, times_ms=every(40, 75), rate=25), Reason.NO_AUDIO, FRAMES_OF_3_S),
    ("matroska.mkv", lambda p: write_clip(p, times_ms=every(40, 75), samples=sine(3, 48000)), 3.0, FRAMES_OF_3_S),
    ("transport.ts", lambda p: write_clip(p, times_ms=every(40, 75), samples=sine(3, 48000)), 3.0, FRAMES_OF_3_S),
    (
        "video-without-codec.mp4",
        lambda p: without_codec(
            write_clip(p.with_name("_v.mp4"), times_ms=every(40, 75), samples=sine(3, 48000)), p, b"avc1"
        ),
        3.0,
        Reason.UNDECODABLE,
    ),
    (
        "audio-without-codec.mp4",
        lambda p: without_codec(
            write_clip(p.with_name("_a.mp4"), times_ms=every(40, 75), samples=sine(3, 48000), audio_codec="ac3"),
            p,
            b"ac-3",
        ),
        Reason.UNDECODABLE,
        FRAMES_OF_3_S,
    ),
]


@pytest.mark.parametrize(("name", "make", "audio", "video"), ODD_CLIPS, ids=[row[0] for row in ODD_CLIPS])
def test_odd_clips(
    tmp_path: Path,
    name: str,
    make: Callable[[Path], object],
    audio: Reason | float,
    video: Reason | list[int],
) -> None:
    make(tmp_path / name)
    clip = decode(tmp_path / name)
    if isinstance(audio, Reason):
        with pytest.raises(UnavailableError, match=str(audio)) as caught:
            clip.sound(AUDIO)
        assert caught.value.reason is audio
    else:
        assert clip.sound(AUDIO).seconds == pytest.approx(audio, abs=0.06)
        assert level(clip) == pytest.approx(0.5 / np.sqrt(2), rel=0.03)
    if isinstance(video, Reason):
        with pytest.raises(UnavailableError, match=str(video)) as caught:
            clip.frames(FRAMES)
        assert caught.value.reason is video
    else:
        assert numbers(clip) == video


def test_the_table_of_odd_clips_is_not_cut_short() -> None:
    assert len(ODD_CLIPS) == 14


UNUSABLE: list[tuple[str, Callable[[Path], object], Reason, str]] = [
    ("absent.mp4", lambda p: None, Reason.NO_FILE, "absent.mp4"),
    ("absent/clip.mp4", lambda p: None, Reason.NO_FILE, "clip.mp4"),
    ("empty.mp4", lambda p: p.write_bytes(b""), Reason.UNDECODABLE, "0 bytes"),
    ("folder.mp4", lambda p: p.mkdir(), Reason.UNDECODABLE, "not a regular file"),
    ("text.mp4", lambda p: p.write_text("This is not a film.\n" * 50), Reason.UNDECODABLE, "Invalid data"),
    ("one-byte.mp4", lambda p: p.write_bytes(b"\0"), Reason.UNDECODABLE, "nvalid|EOF|End of file"),
    (
        "concat.mp4",
        lambda p: write_clip(p.with_name("a.mp4"), times_ms=[0]) and p.write_text("ffconcat version 1.0\nfile a.mp4\n"),
        Reason.UNDECODABLE,
        "playlist",
    ),
    (
        "lfs.mp4",
        lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
        Reason.UNDECODABLE,
        "is a git-lfs pointer, not the clip: run `git lfs pull`",
    ),
    (
        "hls.mp4",
        lambda p: p.write_text(
            "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://localhost:1/a.ts\n#EXT-X-ENDLIST\n"
        ),
        Reason.UNDECODABLE,
        "hls.mp4",
    ),
]


@pytest.mark.parametrize(("name", "make", "reason", "detail"), UNUSABLE, ids=[row[0] for row in UNUSABLE])
def test_files_that_are_no_clip(
    tmp_path: Path,
    name: str,
    make: Callable[[Path], object],
    reason: Reason,
    detail: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    make(tmp_path / name)
    with pytest.raises(UnavailableError, match=detail) as caught:
        decode(tmp_path / name)
    assert caught.value.reason is reason
    assert capfd.readouterr() == ("", "")  # FFmpeg keeps quiet


@pytest.mark.parametrize("name", ["large.jpg", "photo*.jpg", "photo*.png", "photo.png", "photo.bmp"])
def test_a_still_picture_is_a_clip(tmp_path: Path, name: str) -> None:
    """FFmpeg takes a JPEG that is larger than its first look for one of a series."""
    picture = np.random.default_rng(0).integers(0, 255, (800, 800, 3), np.uint8)
    picture[:200, :] = 255
    written = tmp_path / f"picture{Path(name).suffix}"
    cv2.imwrite(str(written), picture[:, :, ::-1])
    written.rename(tmp_path / name)
    seen = decode(tmp_path / name).frames(FRAMES)
    assert [pixels.shape for pixels in seen.pixels] == [(800, 800, 3)] * 5
    np.testing.assert_allclose(seen.pixels[0][:192], 255, atol=2)
    assert seen.pixels[0][200:].std() > 20


def test_a_clip_whose_index_is_cut_off_is_undecodable(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", times_ms=every(40, 75))  # the index stands last
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UnavailableError, match="undecodable") as caught:
        decode(path)
    assert caught.value.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("share", [0.4, 0.7, 0.9])
def test_a_truncated_clip_lasts_as_long_as_it_decodes(tmp_path: Path, share: float) -> None:
    """The header still promises 3 s; frames are sampled from what is there, and not one of them is half a picture."""
    movflags = {"movflags": "faststart"}
    source = write_clip(
        tmp_path / "a.mp4",
        times_ms=every(40, 75),
        samples=sine(3, 48000),
        options={"bf": "0"},
        container_options=movflags,
    )
    data = source.read_bytes()
    path = tmp_path / "cut-off.mp4"
    path.write_bytes(data[: round(len(data) * share)])
    frames = decode(path).frames(FRAMES)
    count = round(frames.seconds * 25)
    assert 0 < count < 75
    assert [number_of(picture) for picture in frames.pixels] == [int(count * (i + 0.5) / 5) for i in range(5)]


def test_a_tail_that_does_not_decode_does_not_count(tmp_path: Path) -> None:
    """All packets are whole and in the index, but from the 51st on they are rubbish: the clip lasts 2 s, not 3."""
    options = {"bf": "0", "g": "10"}
    source = write_clip(tmp_path / "whole.mp4", times_ms=every(40, 75), samples=sine(3, 48000), options=options)
    path = damaged(source, tmp_path / "tail.mp4", "video", first=50)
    clip = decode(path)
    assert clip.frames(FRAMES).seconds == pytest.approx(2.0)
    assert numbers(clip) == [5, 15, 25, 35, 45]
    assert clip.sound(AUDIO).seconds == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("broken", ["audio", "video"])
def test_a_broken_stream_does_not_take_the_other_with_it(tmp_path: Path, plain: Path, broken: str) -> None:
    clip = decode(damaged(plain, tmp_path / "broken.mp4", broken))
    with pytest.raises(UnavailableError, match="decodes") as caught:
        clip.sound(AUDIO) if broken == "audio" else clip.frames(FRAMES)
    assert caught.value.reason is Reason.UNDECODABLE
    if broken == "audio":
        assert numbers(clip) == FRAMES_OF_3_S
    else:
        assert clip.sound(AUDIO).seconds == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize("channel", range(6))
def test_every_speaking_channel_of_surround_sound_is_kept(tmp_path: Path, channel: int) -> None:
    """FL FR FC LFE BL BR. Dialogue is in the centre: left and right alone would lose it. LFE is left out."""
    sound = np.zeros((6, 48000), np.float32)
    sound[channel] = sine(1, 48000)[0]
    samples = decode(write_clip(tmp_path / "surround.mp4", samples=sound, layout="5.1")).sound(AUDIO).samples
    measured = float(np.sqrt(np.mean(np.square(samples))))
    weights = np.array([np.sqrt(0.5), np.sqrt(0.5), 1, 0, 0.5, 0.5])
    expected = 0.5 / np.sqrt(2) * weights[channel] / weights.sum()
    assert measured == pytest.approx(expected, rel=0.05, abs=0.005)


def test_equal_channels_are_as_loud_as_one(tmp_path: Path) -> None:
    mono, stereo = (
        write_clip(tmp_path / f"{layout}.wav", samples=samples, layout=layout, rate_hz=16000, audio_codec="pcm_f32le")
        for layout, samples in (
            ("mono", sine(1, 16000, amplitude=0.9)),
            ("stereo", sine(1, 16000, amplitude=0.9).repeat(2, 0)),
        )
    )
    np.testing.assert_allclose(decode(stereo).sound(AUDIO).samples, decode(mono).sound(AUDIO).samples, atol=1e-6)


def test_sound_that_is_not_finite_is_undecodable(tmp_path: Path) -> None:
    samples = sine(1, 16000)
    samples[0, 5000] = np.nan
    path = write_clip(tmp_path / "nan.wav", samples=samples, rate_hz=16000, audio_codec="pcm_f32le")
    with pytest.raises(UnavailableError, match="not finite"):
        decode(path).sound(AUDIO)


def test_several_needs_of_one_clip(plain: Path) -> None:
    """Each need gets what it would get alone; pictures that two needs share are the same array."""
    audio = [AudioNeed(16000, 30.0), AudioNeed(8000, 1.0), AudioNeed(16000, 0.5, "stereo")]
    frames = [FramesNeed(5, 30.0), FramesNeed(3, 1.0), FramesNeed(1, 30.0)]
    together = decode_clip(plain, utterance(), [ClipNeeds(*pair) for pair in zip(audio, frames, strict=True)])
    for need in audio:
        alone = decode_clip(plain, utterance(), [ClipNeeds(audio=need)]).sound(need)
        np.testing.assert_array_equal(together.sound(need).samples, alone.samples)
    for need in frames:
        alone = decode_clip(plain, utterance(), [ClipNeeds(frames=need)]).frames(need)
        np.testing.assert_array_equal(np.stack(together.frames(need).pixels), np.stack(alone.pixels))
    assert together.sound(audio[1]).samples.shape == (8000,)
    assert together.sound(audio[2]).samples.shape == (2, 8000)
    assert [together.sound(need).cut for need in audio] == [False, True, True]
    assert together.sound(audio[1]).seconds == pytest.approx(3.0, abs=0.05)
    assert numbers(together, frames[1]) == [4, 12, 20]
    assert together.frames(frames[1]).cut
    assert together.frames(frames[2]).pixels[0] is together.frames(frames[0]).pixels[2]


def test_a_clip_is_decoded_once_and_no_further_than_needed(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = FrameReader.feed

    def counting(self: FrameReader, frame: object) -> None:
        fed.append(1)
        feed(self, frame)

    monkeypatch.setattr(FrameReader, "feed", counting)
    needs = [FramesNeed(5, 2.0), FramesNeed(2, 2.0)]
    decode_clip(session, utterance(), [ClipNeeds(frames=need) for need in needs])
    assert len(fed) == 46  # frame 45 is on screen at 1.8 s


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (10.0, 12.0, [255, 265, 275, 285, 295]),  # a key frame is at 10 s
        (11.0, 13.0, [280, 290, 300, 310, 320]),  # none is at 11 s
        (11.01, 13.01, [280, 290, 300, 310, 320]),  # on screen at 11.21 s is frame 280, since 11.2 s
        (None, 2.0, [5, 15, 25, 35, 45]),
        (29.0, None, [727, 732, 737, 742, 747]),
        (29.0, 40.0, [727, 732, 737, 742, 747]),
        (11.01, 11.03, [275, 275, 275, 275, 275]),  # shorter than a frame: the one on screen
    ],
)
def test_a_cut_of_a_session(session: Path, start: float | None, end: float | None, expected: list[int]) -> None:
    clip = decode(session, start, end)
    assert numbers(clip) == expected
    sound, frames = clip.sound(AUDIO), clip.frames(FRAMES)
    length = min(end or 30.0, 30.0) - (start or 0.0)
    assert frames.seconds == pytest.approx(length)
    assert sound.seconds == pytest.approx(length, abs=0.08 if (end or 40) > 30 else 1e-4)
    assert not frames.cut
    assert not sound.cut
    offset = (start or 0.0) + np.array(frames.times_s)
    np.testing.assert_allclose(offset, np.array(expected) / 25, atol=1e-9)


def test_the_sound_of_a_cut_is_that_of_the_whole_at_its_place(session: Path) -> None:
    """Seeking shifts no sample. (The first decoded block after a seek has no past; it lies before the cut.)"""
    need = AudioNeed(16000, 100.0)
    whole = decode_clip(session, utterance(), [ClipNeeds(audio=need)]).sound(need).samples
    cut = decode_clip(session, utterance(12.3456, 14.5), [ClipNeeds(audio=need)]).sound(need).samples
    assert len(cut) == round((14.5 - 12.3456) * 16000)
    begin = round(12.3456 * 16000)
    np.testing.assert_allclose(cut, whole[begin : begin + len(cut)], atol=2e-3)


def test_a_cut_is_not_decoded_from_the_beginning(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[float] = []
    push = source_module._Feed.push

    def counting(feed: object, packet: object) -> None:
        if packet is not None:
            pushed.append(float(packet.dts * packet.stream.time_base))  # type: ignore[attr-defined]
        push(feed, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(source_module._Feed, "push", counting)
    decode(session, 20.0, 21.0)
    assert min(pushed) > 17.0
    assert max(pushed) < 22.0


SPARSE = {"g": "250", "preset": "ultrafast", "sc_threshold": "0"}  # a key frame each 10 s


@pytest.mark.parametrize(
    ("ending", "options", "start_ms", "cut"),
    [("mkv", SPARSE, 1000, 18.0), ("ts", SPARSE, 1000, 18.0), ("ts", {"g": "75"}, 0, 5.0)],
)
def test_a_cut_whose_key_frame_is_far_before_it(
    tmp_path: Path, ending: str, options: dict[str, str], start_ms: int, cut: float
) -> None:
    """What decodes without a key frame is not a picture, and TS has no index to find one by. Cuts count from the
    beginning of the file, which may be at 1 s of its clock."""
    path = write_clip(
        tmp_path / f"long.{ending}",
        times_ms=every(40, 500, start_ms),
        samples=sine(20, 48000),
        sound_start_ms=start_ms,
        options=options,
    )
    clip = decode(path, cut, cut + 1)
    assert [number - numbers(clip)[0] for number in numbers(clip)] == [0, 5, 10, 15, 20]
    # the encoder's delay makes the file begin with its sound, 21 ms before the first frame
    assert numbers(clip)[0] == pytest.approx(25 * cut + 2, abs=1)
    assert clip.sound(AUDIO).seconds == pytest.approx(1.0)


def test_a_cut_beyond_the_end_is_too_short(session: Path) -> None:
    clip = decode(session, 31.0, 32.0)
    for access in (lambda: clip.sound(AUDIO), lambda: clip.frames(FRAMES)):
        with pytest.raises(UnavailableError, match=r"too-short|no sample|ends at") as caught:
            access()
        assert caught.value.reason is Reason.TOO_SHORT


def test_a_telephones_clip_is_turned_upright(tmp_path: Path, plain: Path) -> None:
    before = decode(plain).frames(FRAMES).pixels[0]
    after = decode(turned(plain, tmp_path / "turned.mp4")).frames(FRAMES).pixels[0]
    np.testing.assert_array_equal(after, np.rot90(before, -1))


def test_pictures_above_the_limit_are_refused_before_they_are_decoded(
    plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_PIXELS", 160 * 48 - 1)
    clip = decode(plain)
    with pytest.raises(UnavailableError, match="160x48 pixels") as caught:
        clip.frames(FRAMES)
    assert caught.value.reason is Reason.TOO_LARGE
    assert clip.sound(AUDIO).seconds > 2.9


def test_the_memory_for_pictures_and_sound_is_bounded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEPT_BYTES", 4 * 160 * 48 * 3)
    clip = decode(plain)
    with pytest.raises(UnavailableError, match="take fewer frames") as caught:
        clip.frames(FRAMES)
    assert caught.value.reason is Reason.TOO_LARGE
    with pytest.raises(UnavailableError, match="lower max_seconds"):
        clip.sound(AUDIO)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(plain.read_bytes())

    def replacing(*arguments: object) -> object:
        result = real(*arguments)  # type: ignore[arg-type]
        path.write_bytes(plain.read_bytes() + b"more")
        return result

    real = decode_module.decode
    monkeypatch.setattr(decode_module, "decode", replacing)
    with pytest.raises(UnavailableError, match="replaced or written") as caught:
        decode(path)
    assert caught.value.reason is Reason.CHANGED


def test_a_shared_file_is_hashed_once(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    real = clip_module.sha256_file
    monkeypatch.setattr(clip_module, "sha256_file", lambda path: hashed.append(path) or real(path))
    clip_module._digest.cache_clear()
    clips = [decode(session, start, start + 1.0) for start in (1.0, 5.0)]
    assert len(hashed) == 1
    assert clips[0].digest == clips[1].digest == real(session)


def test_an_undeclared_need_is_the_callers_mistake(plain: Path) -> None:
    clip = decode(plain)
    with pytest.raises(ValueError, match="was not among the needs"):
        clip.sound(AudioNeed(44100, 1.0))


def test_decoding_twice_gives_the_same_bits(plain: Path) -> None:
    one, two = decode(plain), decode(plain)
    np.testing.assert_array_equal(one.sound(AUDIO).samples, two.sound(AUDIO).samples)
    np.testing.assert_array_equal(np.stack(one.frames(FRAMES).pixels), np.stack(two.frames(FRAMES).pixels))


def test_times_are_exact() -> None:
    """A frame that begins at the very wanted time is the one that is shown, whatever binary fractions make of it."""
    timeline = Timeline(Fraction(1, 30), list(range(30)), 1)
    assert timeline.end == 1
    assert timeline.shown_at(Fraction(1, 10)) == Fraction(3, 30)
    assert timeline.shown_at(Fraction(1, 10) - Fraction(1, 10**9)) == Fraction(2, 30)
    assert timeline.cut_after(Fraction(1, 10)).end == Fraction(4, 30)


def test_importing_media_loads_no_decoder() -> None:
    code = "import sys, features.media.clip; sys.exit(any(name in sys.modules for name in ('av', 'numpy', 'cv2')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_errors_travel_between_processes(plain: Path, tmp_path: Path) -> None:
    clip = pickle.loads(pickle.dumps(decode(damaged(plain, tmp_path / "broken.mp4", "video"))))
    with pytest.raises(UnavailableError, match="no frame of the video decodes"):
        clip.frames(FRAMES)


@pytest.mark.shared_data
def test_a_real_clip(shared_data: Path) -> None:
    """720p H.264 with B-frames, AAC 5.1, and a third stream without a codec."""
    clip = decode(shared_data / "clips" / "dia1_utt0.mp4")
    sound, frames = clip.sound(AUDIO), clip.frames(FRAMES)
    assert sound.seconds == pytest.approx(2.46, abs=0.03)
    assert np.abs(sound.samples).max() > 0.1
    assert frames.seconds == pytest.approx(2.4608, abs=1e-3)
    assert [picture.shape for picture in frames.pixels] == [(720, 1280, 3)] * 5
    frame_s = 1127 / 27021
    wanted = [(i + 0.5) / 5 * frames.seconds for i in range(5)]
    assert frames.times_s == pytest.approx([int(time / frame_s) * frame_s for time in wanted])


@pytest.mark.shared_data
def test_a_real_clip_without_sound(shared_data: Path) -> None:
    clip = decode(shared_data / "clips" / "noise_no_audio.mp4")
    with pytest.raises(UnavailableError, match="no-audio: its streams: video"):
        clip.sound(AUDIO)
    assert [picture.shape for picture in clip.frames(FRAMES).pixels] == [(24, 24, 3)] * 5
    assert len({picture.tobytes() for picture in clip.frames(FRAMES).pixels}) == 5
