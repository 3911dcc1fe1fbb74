"""Exports of several features at once, in the formats of tools that exist: a file a format.

mmsa          one pickle with train, valid and test, for MMSA
mertools      a folder of .npy a feature and label.npz, for MERTools' MERBench
conv_emotion  the tuple of nine that conv-emotion's DialogueRNN reads for MELD
hf            one Parquet file a split and a card, for Hugging Face datasets

request       what an export is made from, and what it tells of itself; corpus: splits, scores and labels
export        the targets, the side file and the sums; verify: comparing with these
sequences     vectors and sequences as a fixed number of steps; pickled: pickles that older Python and numpy read
"""
