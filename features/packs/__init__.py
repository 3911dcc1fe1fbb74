"""Packs: stored features and their manifest in a folder that travels, is checked on arrival, and trains without clips.

layout.py     what lies where in a pack, and pack.json
write.py      a pack made of a store
check.py      every byte of a pack against what it says of itself
install.py    a pack's rows put into a store, bit for bit
mounted.py    a pack read where it lies: what is chosen of it arrives in the user's cache
places.py     packs sent to and fetched from a hub or any file system
"""
