"""A package that brings encoders, as it lies in site-packages once it is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MODULE = """
import numpy as np
import torch

from features import OwnEncoder


def loudness(sounds, *, floor):
    levels = [20 * np.log10(np.abs(sound).clip(1e-5)) for sound in sounds]
    return [np.array([level.mean(), level.max(), (level > floor).mean()]) for level in levels]


def centred(texts):
    lengths = np.array([len(text) for text in texts], float)
    return list((lengths - lengths.mean())[:, None])


def drawn(texts):
    return [np.random.default_rng().random(3) for _ in texts]


def brightness(clips):
    return [np.array([np.mean([frame.mean() for frame in clip.frames]), len(clip.samples)]) for clip in clips]


def letters(texts, network):
    counted = torch.tensor([[float(text.lower().count(letter)) for letter in "aeiou"] for text in texts])
    return network(counted)


def load(device, dtype):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Dropout(0.5)).to(device)


def words(texts):
    return [np.array([[len(word)] for word in text.split()], np.float32) for text in texts]


loud = OwnEncoder("audio", loudness, version="1", settings={"floor": -40.0}, summary="mean and peak level")
beside = OwnEncoder("text", centred, version="1")
random = OwnEncoder("text", drawn, version="1")
seen = OwnEncoder("clip", brightness, version="1", frames=3)
network = OwnEncoder("text", letters, version="1", load=load)
lengths = OwnEncoder("text", words, version="1", kind="sequence")
fewer = OwnEncoder("text", lambda texts: [np.ones(2)], version="1")
something = 3
"""
NAMES = {
    "loudness": "loud",
    "beside": "beside",
    "random": "random",
    "seen": "seen",
    "vowels": "network",
    "word-lengths": "lengths",
    "fewer": "fewer",
    "something": "something",
    "gone": "nothing_of_the_name",
    "sentence": "loud",
}


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str = "1") -> None:
    """Write the package into `folder` and let this process find it. version: of its encoders"""
    from features.encoders import plugins

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "erc_tiny.py").write_text(MODULE.replace('version="1"', f'version="{version}"'))
    about = folder / "erc_tiny-0.3.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: erc-tiny\nVersion: 0.3\n")
    lines = [f"{name} = erc_tiny:{attribute}" for name, attribute in NAMES.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]) + "\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # else one of the same second and size is taken for this
    monkeypatch.delitem(sys.modules, "erc_tiny", raising=False)
    forget()


def forget() -> None:
    """What is remembered of the installed packages."""
    from features.encoders import plugins

    plugins._found.cache_clear()
    plugins.own_encoder.cache_clear()
