"""What `erc doctor` looks at: one file a kind of thing, each a function that gives Findings.

    libraries.py  Python, the packages that this one needs, its extras, pairs that do not go together
    machine.py    cores, memory, disk, devices and how fast they multiply
    media.py      what FFmpeg decodes, which fonts figures have
    weights.py    which encoders' weights are here, and how large the others are

Nothing here downloads, and nothing is written but a probe of the disk that is taken away.
"""
