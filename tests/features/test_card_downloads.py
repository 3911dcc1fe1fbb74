"""The `downloads` of a card: strict, and all that is wrong told at once."""

from __future__ import annotations

from typing import Any

import pytest

from features.card_downloads import AddressSource, HubSource, KaggleSource, downloads_problems
from features.cards import DatasetCard
from features.errors import ManifestError

ADDRESS = {"address": "https://example.org/a/MELD.Raw.tar.gz?download=1"}


def card(*sources: Any, **more: Any) -> DatasetCard:
    section = {"sources": list(sources), "ingest": "meld {folder}", **more}
    return DatasetCard.from_dict({"dataset": "mine", "downloads": section}, "card.yaml")


def test_each_kind_is_told_by_its_key() -> None:
    downloads = card(
        {**ADDRESS, "sha256": "0" * 64, "bytes": 5},
        {"hub": "org/name", "allow": ["*.csv"], "revision": "v1", "about_gb": 1.5},
        {"kaggle": "me/name", "version": 2},
    ).downloads
    assert downloads is not None
    address, hub, kaggle = downloads.sources
    assert isinstance(address, AddressSource)
    assert (address.name, address.size, address.digest) == ("MELD.Raw.tar.gz", 5, ("sha256", "0" * 64))
    assert isinstance(hub, HubSource)
    assert (hub.size, hub.place) == (1_500_000_000, "Hugging Face dataset org/name at v1 (*.csv)")
    assert isinstance(kaggle, KaggleSource)
    assert kaggle.handle == "me/name/versions/2"


def test_a_file_may_be_named() -> None:
    downloads = card({**ADDRESS, "file": "clips.tar.gz"}).downloads
    assert downloads is not None
    assert [source.name for source in downloads.sources] == ["clips.tar.gz"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("sources", "more", "problem"),
    [
        ([], {}, "must name sources, or say by_hand"),
        ([{}], {}, r"sources\[1\] must have one of address, hub, kaggle"),
        ([{**ADDRESS, "hub": "a/b"}], {}, r"sources\[1\] must have one of"),
        (["https://x.org/a"], {}, r"sources\[1\] must have one of"),
        ([{"address": "ftp://x.org/a"}], {}, r"sources\[1\]\.address: must be http"),
        ([{"address": "file:///etc/passwd"}], {}, r"sources\[1\]\.address: must be http"),
        ([{"address": "https://me:secret@x.org/a"}], {}, "without a user's name"),
        ([{"address": "https://x.org/"}], {}, r"'' cannot be a file's name: add `file: NAME`"),
        ([{"address": "https://x.org/%2e%2e"}], {}, r"'\.\.' cannot be a file's name"),
        ([{**ADDRESS, "file": "../up"}], {}, r"'\.\./up' cannot be a file's name"),
        ([{**ADDRESS, "file": "a/b"}], {}, r"'a/b' cannot be a file's name"),
        ([{**ADDRESS, "file": ".hidden"}], {}, r"'\.hidden' cannot be a file's name"),
        ([{**ADDRESS, "file": "downloads.json"}], {}, r"'downloads\.json' cannot be a file's name"),
        ([{**ADDRESS, "sha256": "abc"}], {}, r"sources\[1\]\.sha256: "),
        ([{**ADDRESS, "sha256": "A" * 64}], {}, r"sources\[1\]\.sha256: "),
        ([{**ADDRESS, "bytes": "5"}], {}, r"sources\[1\]\.bytes: "),
        ([{**ADDRESS, "bytes": 0}], {}, r"sources\[1\]\.bytes: "),
        ([{**ADDRESS, "shasum": "0"}], {}, r"sources\[1\]\.shasum: is unknown: did you mean 'sha256'"),
        ([{"hub": "name"}], {}, r"sources\[1\]\.hub: "),
        ([{"hub": "../../x"}], {}, r"sources\[1\]\.hub: "),
        ([{"kaggle": "me/name", "version": -1}], {}, r"sources\[1\]\.version: "),
        ([ADDRESS, ADDRESS], {}, r"two files the name 'MELD\.Raw\.tar\.gz'"),
        ([ADDRESS], {"ingest": ""}, r"downloads\.ingest must say"),
        ([ADDRESS], {"ingest": "meld"}, r"with \{folder\} where the sources are"),
        ([ADDRESS], {"ingest": "meld {folder}; rm -rf ~"}, r"downloads\.ingest must say"),
        ([ADDRESS], {"ingest": "meld {folder} {0}"}, r"downloads\.ingest must say"),
        ([ADDRESS], {"by_hands": "x"}, "downloads has no key 'by_hands': did you mean 'by_hand'"),
    ],
)
def test_what_is_wrong_is_told(sources: list[Any], more: dict[str, Any], problem: str) -> None:
    with pytest.raises(ManifestError, match=problem) as raised:
        card(*sources, **more)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("card.yaml: downloads")


def test_all_problems_are_told_at_once() -> None:
    problems = downloads_problems({"sources": [{**ADDRESS, "bytes": 0, "sha256": "x"}, {"hub": "x"}], "ingest": 3})
    assert len(problems) == 5


def test_a_section_that_is_no_mapping_is_refused() -> None:
    assert downloads_problems(["x"]) == ["downloads must be a mapping of sources, by_hand and ingest"]
