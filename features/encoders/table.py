"""The table of encoders: what the command line needs to know of each without importing it."""

from __future__ import annotations

from features.encoders.entry import Entry, Options
from features.encoders.plugins import own_entry, own_names
from features.errors import UsageError, nearest

_FROM_TOP: Options = {
    "from_top": (0, "store the states below the last so many layers, and these layers beside them: a head trains them"),
}
_CONTEXT_OPTIONS: Options = {
    "scope": ("utterance", "utterance, or context: the past turns with speaker names before it"),
    "over": ("target", "with scope=context, pool over target (this utterance's tokens) or all"),
}

_FRAME_RATE: Options = {"frame_rate": (10.0, "with pooling=sequence: vectors a second, each a mean over its time")}
_MAX_SECONDS: Options = {"max_seconds": (30.0, "longer sound is cut (counted)")}
_FRAMES: Options = {
    "frames": (5, "equidistant frames"),
    "max_seconds": (30.0, "a longer clip is cut (counted)"),
}
_FACES: Options = {
    **_FRAMES,
    "size": (240, "shorter side of the frames that faces are looked for in, in pixels; larger frames are shrunk"),
}
_PUBLISHED_SAMPLES: Options = {
    "samples": (200_000, "interleaved samples of 44.1 kHz stereo: 150000, 200000 or 250000 in the report"),
}

ENCODERS: dict[str, Entry] = {
    "gpt2": Entry(
        "text",
        "features.encoders.text.gpt2:Gpt2Encoder",
        "the dialogue so far as a prompt, last token's hidden state of any causal Hugging Face model",
        {
            "layer": ("-1", "hidden layer: -1 is the last, after the final norm"),
            **_FROM_TOP,
            "max_tokens": (1024, "window of the past in tokens; at most the model's own"),
        },
        model=True,
        default_model="openai-community/gpt2",
        device=True,
        published={"layer": ("-1", "hidden layer: -1 is the last, after the final norm")},
    ),
    "sentence": Entry(
        "text",
        "features.encoders.text.sentence:SentenceEncoder",
        "any Hugging Face text encoder, pooled over tokens",
        {
            "pooling": (
                "mean+max",
                "mean, max, mean+max, weightedmean, cls or last over tokens; mask: the state at the template's <mask>;"
                " own: as the model's folder of sentence-transformers says, which is the default for such a --model",
            ),
            "layers": ("-3,-2,-1", "hidden layers: one (-1), several joined (-3,-2,-1), or stack:-3,-2,-1 kept apart"),
            "prefix": ("", "what stands before every text, such as 'query: '; by default the folder's own prompt"),
            "chat": (False, "the text (and prefix) as a user's message in the model's chat template"),
            **_CONTEXT_OPTIONS,
            "template": (
                "For utterance: {text} {speaker} feels {mask}",
                "with pooling=mask: how the utterance is asked about (masked language models only)",
            ),
            "max_tokens": (256, "window, special tokens included; a longer text is cut (counted)"),
        },
        model=True,
        default_model="packaged:all-MiniLM-L6-v2",
        device=True,
    ),
    "sentence-tokens": Entry(
        "text",
        "features.encoders.text.sentence_tokens:SentenceTokensEncoder",
        "the sequence of token vectors of any Hugging Face text encoder",
        {
            "layer": ("-1", "hidden layer: -1 is the last"),
            **_FROM_TOP,
            **_CONTEXT_OPTIONS,
            "max_tokens": (256, "window, special tokens included; a longer text is cut (counted)"),
        },
        model=True,
        default_model="packaged:all-MiniLM-L6-v2",
        device=True,
    ),
    "glove": Entry(
        "text",
        "features.encoders.text.glove:GloveEncoder",
        "mean of GloVe word vectors",
        {
            "scope": ("utterance", "utterance, or context: the words of the past turns too (needs over=all)"),
            "over": ("target", "target, or with scope=context all"),
        },
        model=True,
        default_model="packaged:glove-6b-50d",
        published={},
    ),
    "glove-tokens": Entry(
        "text",
        "features.encoders.text.glove_tokens:GloveTokensEncoder",
        "the sequence of GloVe word vectors",
        model=True,
        default_model="packaged:glove-6b-50d",
    ),
    "surface": Entry(
        "text",
        "features.encoders.text.surface:SurfaceEncoder",
        "counts that encoders lose: ! ? ... capitals, elongation, interjections",
    ),
    "wav2vec2": Entry(
        "audio",
        "features.encoders.audio.wav2vec2:Wav2Vec2Encoder",
        "any Hugging Face speech encoder (HuBERT and WavLM too), pooled over time",
        {
            "pooling": ("mean+max", "mean, max or mean+max over time, or sequence: one vector a frame, in float16"),
            "layers": (
                "-1",
                "hidden layers: one (-1), several joined (-2,-1), kept apart (stack:-2,-1 or last:2), or all",
            ),
            **_FROM_TOP,
            **_FRAME_RATE,
            **_MAX_SECONDS,
        },
        model=True,
        default_model="facebook/wav2vec2-base",
        device=True,
        published=_PUBLISHED_SAMPLES,
    ),
    "speech-spectrogram": Entry(
        "audio",
        "features.encoders.audio.speech_spectrogram:SpeechSpectrogramEncoder",
        "Whisper's encoder, wav2vec2-BERT, AST or CLAP's audio part (Hugging Face), pooled over the sound",
        {
            "pooling": ("mean+max", "mean, max or mean+max over the states that stand for the sound"),
            "layers": ("-1", "hidden layers: one (-1), several joined (-2,-1), or kept apart (last:2, all); CLAP: -1"),
            **_MAX_SECONDS,
        },
        model=True,
        default_model="openai/whisper-base",
        device=True,
    ),
    "logmel": Entry(
        "audio",
        "features.encoders.audio.logmel:LogmelEncoder",
        "log-mel, MFCC, pitch and energy statistics, or these of each frame",
        {
            "pooling": ("statistics", "statistics of the whole utterance, or sequence: one vector a frame, in float16"),
            **_FRAME_RATE,
            **_MAX_SECONDS,
        },
    ),
    "egemaps": Entry(
        "audio",
        "features.encoders.audio.egemaps:EgemapsEncoder",
        "openSMILE's eGeMAPSv02 functionals (an extra: `erc doctor` says how to install it)",
        _MAX_SECONDS,
    ),
    "voice": Entry(
        "audio",
        "features.encoders.audio.voice:VoiceEncoder",
        "who speaks: the GE2E voice encoder over windows of 1.6 s",
        _MAX_SECONDS,
        model=True,
        default_model="packaged:ge2e-voice",
        device=True,
    ),
    "waveform": Entry(
        "audio",
        "features.encoders.audio.waveform:WaveformEncoder",
        "the samples themselves, 8 kHz mono",
        _MAX_SECONDS,
        published=_PUBLISHED_SAMPLES,
    ),
    "resnet50": Entry(
        "visual",
        "features.encoders.visual.resnet50:ResNet50Encoder",
        "sampled frames through ResNet-50, packaged:mobilenet-v2, another torchvision backbone or a Hugging Face model",
        {
            "pooling": ("mean", "mean, max or mean+max over frames; sequence keeps one vector a frame"),
            "tokens": (
                "",
                "of a Hugging Face model: cls, pooler, projection (CLIP) or patches, their mean; by default the feature"
                " that its authors publish",
            ),
            **_FRAMES,
        },
        model=True,
        default_model="resnet50",
        device=True,
        published={},
    ),
    "mobilenet": Entry(
        "visual",
        "features.encoders.visual.resnet50:ResNet50Encoder",
        "sampled frames through MobileNetV2, with packaged weights of ImageNet",
        {"pooling": ("mean", "mean, max or mean+max over frames; sequence keeps one vector a frame"), **_FRAMES},
        model=True,
        default_model="packaged:mobilenet-v2",
        device=True,
    ),
    "faces": Entry(
        "visual",
        "features.encoders.visual.faces:FacesEncoder",
        "boxes and landmarks of the faces in sampled frames, by RetinaFace or --model packaged:mtcnn",
        _FACES,
        model=True,
        default_model="retinaface",
        device=True,
        published={},
    ),
    "retinaface-resnet50": Entry(
        "visual",
        "features.encoders.visual.retinaface_resnet50:RetinaFaceResNet50Encoder",
        "only the faces of sampled frames through ResNet-50; extracts `faces` first where they are not stored",
        {
            "mode": ("blackout", "blackout: all but the faces is black, or crop: each face on its own"),
            "confidence": (0.5, "faces below this score do not count"),
            "weight": ("equal", "with mode=crop, faces count equal, or by area"),
            **_FACES,
            "detector": ("", "the detector's weights: what --model is for `faces`"),
        },
        model=True,
        default_model="resnet50",
        device=True,
        published={"detector": ("", "the detector's weights: what --model is for `faces`")},
        derives="faces",
    ),
    "video": Entry(
        "visual",
        "features.encoders.visual.video:VideoEncoder",
        "sampled frames together through VideoMAE, TimeSformer or V-JEPA 2 (Hugging Face)",
        {
            "pooling": ("mean", "mean, max or mean+max over patches; cls: the class token (TimeSformer)"),
            "frames": ("own", "equidistant frames: own is as many as the model was trained on (V-JEPA 2: any even)"),
            "max_seconds": (30.0, "a longer clip is cut (counted)"),
        },
        model=True,
        default_model="MCG-NJU/videomae-base",
        device=True,
    ),
    "hog-colour": Entry(
        "visual",
        "features.encoders.visual.hog_colour:HogColourEncoder",
        "HOG and colour statistics of sampled frames",
        _FRAMES,
    ),
}

PRESETS: dict[str, tuple[str, ...]] = {
    "report": ("gpt2", "wav2vec2", "resnet50"),
    "embedded": ("sentence", "logmel", "mobilenet"),
}
DEFAULT_PRESET = "report"


def known_encoders() -> list[str]:
    """All names: those of the table, then those that other packages bring."""
    return [*ENCODERS, *(name for name in own_names() if name not in ENCODERS)]


def entry(name: str) -> Entry:
    """What is known of a name: the table's line, or what the package says that brings it.

    Raises UsageError that names the nearest and lists all, or that says why a package's encoder cannot be had.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    if name in own_names():
        return own_entry(name)
    raise UsageError(f"no encoder {name!r}: {nearest(name, known_encoders())}")


def find_entry(name: str) -> Entry | None:
    """`entry`, or None where there is no such encoder that can be had."""
    try:
        return entry(name)
    except UsageError:
        return None


def options_of(name: str, as_published: bool = False) -> Options:
    """The settings that an encoder takes. Raises UsageError where the report has no such encoder to be as published."""
    line = entry(name)
    if not as_published:
        return line.options
    if line.published is None:
        there = ", ".join(other for other, item in ENCODERS.items() if item.published is not None)
        raise UsageError(f"the report has no encoder {name!r}: --as-published is for {there}")
    return line.published
