"""The script of the corpus: who says what, how it is annotated, and which emotion each modality shows.

Everything here is drawn from `generator(seed, split, dialogue, turn, stream)`, so that a dialogue depends on the seed
and on its own place alone: not on how many dialogues there are, nor on who renders it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.sample.speakers import CAST
from pipeline.sample.text import TOPICS, sentence
from pipeline.sample.voice import Prosody, plan_prosody

EMOTIONS = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
SPLITS = ("train", "dev", "test")
# Dialogue number g of the corpus goes to the split at g modulo 5: three fifths train; three dialogues fill all splits.
SPLIT_CYCLE = ("train", "dev", "test", "train", "train")
MIN_DIALOGUES = 3
FRAMES_PER_SECOND = 10

Blemish = Literal["no-audio", "no-video", "absent"]
# (split, dialogue, turn) -> what is wrong with the clip. Real corpora have such clips; so has this one.
BLEMISHES: dict[tuple[str, int, int], Blemish] = {
    ("train", 1, 1): "no-audio",
    ("dev", 1, 1): "absent",
    ("test", 1, 1): "no-video",
}

# How a turn without a past is drawn: MELD's order of classes, with the rare ones a little less rare.
PRIOR = {"neutral": 0.58, "joy": 0.14, "surprise": 0.09, "anger": 0.08, "sadness": 0.05, "fear": 0.03, "disgust": 0.03}
INERTIA = 0.30  # a speaker keeps the emotion of their own last turn
CONTAGION = 0.22  # else: the emotion answers that of the turn before
MOOD = 0.25  # else: the dialogue's own mood rather than the prior

ANSWERS: dict[str, tuple[str, ...]] = {
    "anger": ("anger", "sadness", "fear"),
    "disgust": ("disgust", "anger"),
    "fear": ("fear", "surprise"),
    "joy": ("joy", "joy", "surprise"),
    "neutral": ("neutral",),
    "sadness": ("sadness", "neutral"),
    "surprise": ("surprise", "joy", "neutral"),
}

Modality = Literal["text", "audio", "visual"]
# What an emotion is taken for, where the modality does not show it. Voices confuse arousal, faces confuse features.
CONFUSED: dict[Modality, dict[str, tuple[str, ...]]] = {
    "text": {
        "anger": ("disgust", "surprise"), "disgust": ("anger",), "fear": ("sadness", "surprise"), "joy": ("surprise",),
        "neutral": ("joy", "sadness", "surprise"), "sadness": ("anger", "fear"), "surprise": ("joy", "anger"),
    },
    "audio": {
        "anger": ("joy",), "disgust": ("sadness",), "fear": ("surprise", "sadness"), "joy": ("anger", "surprise"),
        "neutral": ("sadness", "disgust", "joy"), "sadness": ("disgust", "neutral"), "surprise": ("joy", "fear"),
    },
    "visual": {
        "anger": ("disgust",), "disgust": ("anger", "sadness"), "fear": ("surprise",), "joy": ("surprise", "neutral"),
        "neutral": ("anger", "joy", "sadness"), "sadness": ("fear", "disgust"), "surprise": ("fear", "joy"),
    },
}  # fmt: skip
# modality -> chance that it shows the annotated emotion, chance that it shows a confused one; else it stays neutral.
SHOWS: dict[Modality, tuple[float, float]] = {"text": (0.76, 0.12), "audio": (0.80, 0.12), "visual": (0.72, 0.14)}
NEUTRAL_SHOWS = 0.84  # a neutral turn looks, sounds and reads neutral

_SENTIMENT = {"neutral": "neutral", "joy": "positive"}


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance, whole: its annotation, and all that its clip is rendered from.

    shown:     modality -> the emotion that it shows, which may differ from `emotion`
    start_ms:  within the episode
    num_frames: the clip's length, at FRAMES_PER_SECOND
    """

    seed: int
    split: str
    dialogue: int
    turn: int
    speaker: str
    emotion: str
    sentiment: str
    text: str
    shown: dict[Modality, str]
    prosody: Prosody
    season: int
    episode: int
    start_ms: int
    num_frames: int
    blemish: Blemish | None

    @property
    def name(self) -> str:
        """MELD's name of the clip, without its ending."""
        return f"dia{self.dialogue}_utt{self.turn}"

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.num_frames * 1000 // FRAMES_PER_SECOND

    def generator(self, stream: int) -> np.random.Generator:
        return generator(self.seed, self.split, self.dialogue, self.turn, stream)


def generator(seed: int, split: str, dialogue: int, turn: int = -1, stream: int = 0) -> np.random.Generator:
    """The source of chance of one turn (or of the dialogue: turn -1) for one purpose (`stream`)."""
    key = (SPLITS.index(split), dialogue, turn + 1, stream)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def write_script(dialogues: int, seed: int) -> list[Line]:
    """The lines of the whole corpus, in the order of splits, dialogues and turns."""
    placed = [SPLIT_CYCLE[number % len(SPLIT_CYCLE)] for number in range(dialogues)]
    return [
        line for split in SPLITS for dialogue in range(placed.count(split)) for line in _dialogue(seed, split, dialogue)
    ]


def _dialogue(seed: int, split: str, dialogue: int) -> list[Line]:
    rng = generator(seed, split, dialogue)
    first = dialogue == 0
    turns = int(rng.integers(9, 13)) if first else int(rng.integers(4, 13))
    cast = [CAST[index].name for index in rng.permutation(len(CAST))[: rng.integers(2, 5)]]
    speakers = _speakers(cast, turns, rng)
    emotions = _emotions(speakers, rng)
    if first:
        _show_every_emotion(emotions, rng)
    topic = TOPICS[rng.integers(len(TOPICS))]
    episode_place = dialogue % 4
    clock_ms = 60_000 + episode_place * 300_000 + int(rng.integers(0, 60_000))
    lines = []
    for turn, (speaker, emotion) in enumerate(zip(speakers, emotions, strict=True)):
        line = _line(seed, split, dialogue, turn, speaker, emotion, topic, speakers, clock_ms)
        clock_ms = line.end_ms + int(rng.integers(0, 800))
        lines.append(line)
    return lines


def _line(
    seed: int,
    split: str,
    dialogue: int,
    turn: int,
    speaker: str,
    emotion: str,
    topic: str,
    speakers: list[str],
    start_ms: int,
) -> Line:
    rng = generator(seed, split, dialogue, turn)
    shown = {modality: _shown(modality, emotion, rng) for modality in SHOWS}
    others = sorted(set(speakers) - {speaker})
    text = sentence(shown["text"], topic, others[rng.integers(len(others))] if others else "You", rng)
    prosody = plan_prosody(text, shown["audio"], rng)
    if emotion == "surprise":
        sentiment = ("negative", "positive")[rng.integers(2)]
    else:
        sentiment = _SENTIMENT.get(emotion, "negative")
    return Line(
        seed=seed,
        split=split,
        dialogue=dialogue,
        turn=turn,
        speaker=speaker,
        emotion=emotion,
        sentiment=sentiment,
        text=text,
        shown=shown,
        prosody=prosody,
        season=1 + SPLITS.index(split),
        episode=1 + dialogue // 4,
        start_ms=start_ms,
        num_frames=int(np.ceil(prosody.seconds * FRAMES_PER_SECOND)),
        blemish=BLEMISHES.get((split, dialogue, turn)),
    )


def _speakers(cast: list[str], turns: int, rng: np.random.Generator) -> list[str]:
    """Who speaks at each turn; seldom twice in a row."""
    speakers = [cast[rng.integers(len(cast))]]
    while len(speakers) < turns:
        others = [name for name in cast if name != speakers[-1]]
        speakers.append(speakers[-1] if rng.random() < 0.12 else others[rng.integers(len(others))])
    return speakers


def _emotions(speakers: list[str], rng: np.random.Generator) -> list[str]:
    """Emotions with inertia within a speaker and contagion between speakers, so that the past tells of the present."""
    names, weights = list(PRIOR), np.array(list(PRIOR.values()))
    loud = np.where([name == "neutral" for name in names], 0.0, weights)
    mood = names[rng.choice(len(names), p=loud / loud.sum())]
    last: dict[str, str] = {}
    emotions: list[str] = []
    for speaker in speakers:
        draw = rng.random()
        if speaker in last and draw < INERTIA:
            emotion = last[speaker]
        elif emotions and draw < INERTIA + CONTAGION:
            answers = ANSWERS[emotions[-1]]
            emotion = answers[rng.integers(len(answers))]
        elif rng.random() < MOOD:
            emotion = mood
        else:
            emotion = names[rng.choice(len(names), p=weights)]
        last[speaker] = emotion
        emotions.append(emotion)
    return emotions


def _show_every_emotion(emotions: list[str], rng: np.random.Generator) -> None:
    """Replace repeated emotions until all seven occur. In the first dialogue of a split, no split lacks a class."""
    for wanted in EMOTIONS:
        if wanted not in emotions:
            repeated = [turn for turn, emotion in enumerate(emotions) if emotions.count(emotion) > 1]
            emotions[repeated[rng.integers(len(repeated))]] = wanted


def _shown(modality: Modality, emotion: str, rng: np.random.Generator) -> str:
    """The emotion that a modality shows for an annotated one; modalities are drawn independently."""
    confused = CONFUSED[modality][emotion]
    other = confused[rng.integers(len(confused))]
    draw = rng.random()
    if emotion == "neutral":
        return "neutral" if draw < NEUTRAL_SHOWS else other
    right, wrong = SHOWS[modality]
    return emotion if draw < right else other if draw < right + wrong else "neutral"
