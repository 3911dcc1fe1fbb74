"""From turns that nobody has labelled to emotions, through the encoders and settings that a run recorded.

turns.py         what is predicted: talks and their turns, and the JSON files they come in
transcript.py    turns of one recording, from subtitles or a transcriber's JSON
talk_manifest.py talks as a manifest, which is what encoders and heads read
run_encoders.py  the encoders of a run, built again and held against its fingerprints
temperature.py   calibrated probabilities
predictor.py     Predictor: loads once, predicts many
"""

from pipeline.predict.predictor import Conversation, Predicted, Predictor
from pipeline.predict.turns import Turn

__all__ = ["Conversation", "Predicted", "Predictor", "Turn"]
