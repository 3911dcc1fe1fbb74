"""The top layers of an encoder, apart from the rest of it: cut off, kept in a file, built again, run on stored states.

A feature of kind sequence may hold the hidden states *below* the last k layers, for each token or frame, and beside its
shards the file of those layers (FILE). What stands below is frozen and was computed once; a head that reads the feature
begins with the k layers and trains them.

    cut.py       an encoder's network -> Top: which of its tensors the last k layers use, and how they are called
    proof.py     that they give what the whole network gives
    top.py       Top: description and tensors, as one safetensors file and back
    network.py   TopNetwork: the layers as a module, from a description alone
    stand_ins.py modules in it for what is left out
    elements.py  what one stored element holds: a state, and two flags
"""

FILE = "top.safetensors"
