"""Sentences of an emotion. The vocabularies overlap: openers, topics and some whole sentences are shared."""

from __future__ import annotations

import numpy as np

# What a dialogue is about. Every sentence with {it} makes sense of every topic.
TOPICS: tuple[str, ...] = (
    "the letter", "that party", "my new job", "the soup", "your plan", "the old car", "that phone call", "the wedding",
    "the apartment", "her cat", "the big trip", "his story", "the blue coat", "that movie", "the last bus", "the cake",
)  # fmt: skip

SENTENCES: dict[str, tuple[str, ...]] = {
    "neutral": (
        "I was thinking about {it}.", "Did you ask about {it}?", "She told me about {it}.", "So what about {it}?",
        "We can look at {it} later.", "I heard about {it} on Monday.", "Is it about {it}?", "Let me get back to {it}.",
        "I'll be there at six.", "We should go now.", "It's in the kitchen.", "I have to call my sister.",
        "Pass me the coffee.", "I'll see you there.", "They moved {it} to Friday.", "He works on the third floor.",
    ),
    "joy": (
        "I love {it}!", "I'm so happy about {it}!", "This is the best day!", "That is such great news!", "We did it!",
        "You are the sweetest!", "I had so much fun!", "I can't wait for {it}!", "Good for you!",
        "It's perfect, thank you!",
        "We have to celebrate {it}!", "I'm so proud of you!", "That was wonderful!",
    ),
    "surprise": (
        "Wait, {it}?", "I had no idea about {it}!", "Are you serious?", "You did what?", "Where did {it} come from?",
        "No way!", "Really, {it}?", "I never saw that coming!", "Since when?", "How is that possible?",
        "I can't believe {it}!", "What are you doing here?", "You're getting married?",
    ),
    "anger": (
        "I'm so mad about {it}!", "Stop talking about {it}!", "You ruined {it}!", "How could you do that!",
        "Get out of here!", "This is all your fault!", "I hate {it}!", "Don't you dare!", "You lied to me!",
        "I've had enough of {it}!", "Leave me alone!", "That is so unfair!", "You never listen!",
    ),
    "sadness": (
        "I miss {it}.", "I'm sorry about {it}.", "It's all over now.", "I feel so alone.", "I lost {it}.",
        "I just want to cry.", "Nobody even called.", "It hurts so much.", "I really wanted {it}.", "She left me.",
        "It's too late now.", "I let everybody down.", "We had to say goodbye.",
    ),
    "fear": (
        "I'm scared of {it}.", "What if {it} goes wrong?", "Did you hear that noise?", "Please don't leave me here.",
        "We are in danger.", "I'm so nervous about {it}.", "Somebody is out there.", "They'll find us.",
        "I can't look.",
        "I'm afraid of {it}.", "Hide, quick!", "What is that thing?", "My hands are shaking.",
    ),
    "disgust": (
        "That is so gross.", "That smells awful.", "You make me sick.", "I'm not touching {it}.", "That is disgusting.",
        "There's hair in it.", "Get {it} away from me.", "I can't eat that.", "It's all slimy.",
        "I think I'll throw up.",
        "What a nasty mess.", "You licked it?", "It's covered in mold.",
    ),
}  # fmt: skip

# Sentences that say nothing certain: drawn for either emotion of the pair.
AMBIGUOUS: dict[tuple[str, str], tuple[str, ...]] = {
    ("joy", "surprise"): ("Look at {it}!", "I don't believe it!", "You're here!"),
    ("anger", "surprise"): ("What did you do with {it}?", "You've got to be kidding me!"),
    ("anger", "disgust"): ("What is wrong with you?", "Who would do that?"),
    ("fear", "sadness"): ("I don't know what to do.", "What happens now?"),
    ("neutral", "sadness"): ("I guess so.", "It's fine.", "I know."),
    ("joy", "neutral"): ("Sounds good.", "All right, thanks."),
    ("fear", "surprise"): ("What was that?", "Who's there?"),
}
AMBIGUOUS_SHARE = 0.16

_OPENERS = ("", "", "", "", "Oh, ", "Well, ", "Okay, ", "Look, ", "{who}, ")
_OWN_OPENERS: dict[str, tuple[str, ...]] = {
    "neutral": ("So, ", "Um, "),
    "joy": ("Oh my God, ", "Wow, ", "Yay! "),
    "surprise": ("Oh my God, ", "Whoa, ", "Wow, "),
    "anger": ("Hey! ", "Oh my God, ", "No! "),
    "sadness": ("I mean, ", "Oh no, "),
    "fear": ("Oh my God, ", "Oh no, ", "Um, "),
    "disgust": ("Ew, ", "Ugh, ", "Oh my God, "),
}
_KEEP_CAPITAL = ("I ", "I'", "God")


def sentence(emotion: str, topic: str, addressee: str, rng: np.random.Generator) -> str:
    """One utterance whose words show `emotion`, about `topic`, spoken to `addressee`.

    Apostrophes are curly, as in MELD.
    """
    pool = SENTENCES[emotion]
    if rng.random() < AMBIGUOUS_SHARE:
        pool = tuple(line for pair, lines in AMBIGUOUS.items() if emotion in pair for line in lines)
    core = pool[rng.integers(len(pool))]
    openers = _OPENERS + _OWN_OPENERS[emotion]
    opener = openers[rng.integers(len(openers))]
    if opener.endswith(", ") and not core.startswith(_KEEP_CAPITAL):
        core = core[0].lower() + core[1:]
    return (opener + core).format(it=topic, who=addressee).replace("'", "’")
