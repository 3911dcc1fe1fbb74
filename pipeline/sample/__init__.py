"""The generated sample corpus: drawn faces with synthesised voices, in MELD's own layout.

script    who says what, and which emotion each modality shows (seeded; the annotation)
text      sentences of an emotion
voice     prosody of an emotion, and the sound of a sentence in a speaker's voice
face      expressions, and the frames of a talking face
clip      an H.264/AAC mp4 of sound and frames
corpus    the folder: clips, CSV files, SYNTHETIC.md
"""
