"""What FFmpeg (in PyAV's wheel) decodes and encodes, and which scripts figures have fonts for."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.doctor.finding import Finding

_NEEDED = {"h264": "video of MELD and of most others", "aac": "sound of MELD and of most others"}
_WANTED = ("hevc", "vp9", "av1", "mpeg4", "mp3", "opus", "vorbis", "flac", "ac3", "pcm_s16le")
_ENCODERS = {"libx264": "video of `erc sample` and `erc demo`", "aac": "sound of `erc sample` and `erc demo`"}
_SCRIPTS = {"Chinese": "\u4f60", "Japanese": "\u3042", "Korean": "\ud55c", "Devanagari": "\u0928", "Thai": "\u0e01"}
_INSTALL = "pip install --force-reinstall av"


def media() -> Iterator[Finding]:
    try:
        import av
        from av.codec import Codec
    except ImportError as error:
        yield Finding("media", "FFmpeg", "failed", f"PyAV cannot be loaded ({error})", _INSTALL)
        return

    def known(name: str, mode: str) -> bool:
        try:
            Codec(name, mode)
        except ValueError:
            return False
        return True

    version = av.library_versions["libavcodec"]
    yield Finding("media", "FFmpeg", "ok", f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, version))}")
    for name, purpose in _NEEDED.items():
        if not known(name, "r"):
            yield Finding("media", name, "failed", f"cannot be decoded: {purpose}", _INSTALL)
    here = [name for name in (*_NEEDED, *_WANTED) if known(name, "r")]
    yield Finding("media", "decoders", "ok", ", ".join(here))
    absent = [name for name in _WANTED if name not in here]
    if absent:
        yield Finding("media", "decoders", "absent", f"clips in {', '.join(absent)} would be failed rows", _INSTALL)
    for name, purpose in _ENCODERS.items():
        if not known(name, "w"):
            yield Finding("media", name, "note", f"cannot be encoded: {purpose}", _INSTALL)


def fonts() -> Finding:
    from pipeline.pages.fonts import families_for

    lacking = sorted(script for script, letter in _SCRIPTS.items() if families_for(frozenset(letter))[1])
    if lacking:
        text = f"none for {', '.join(lacking)}: labels in PNG figures would be boxes (pages take the browser's)"
        return Finding("media", "fonts", "note", text, "install Noto fonts, such as the package fonts-noto-cjk")
    return Finding("media", "fonts", "ok", f"for Latin, Greek, Cyrillic, Arabic, {', '.join(_SCRIPTS)}")
