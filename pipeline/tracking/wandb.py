"""W&B, by its own client: a suite is a group there, and a run's job type says whether it is a seed, an experiment or
the suite.

Offline unless somebody is logged in: a key in WANDB_API_KEY or in the netrc file that `wandb login` writes, or
WANDB_IDENTITY_TOKEN_FILE. WANDB_MODE says otherwise. Nothing is asked for.
"""

from __future__ import annotations

import netrc
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from features.digests import digest_of
from features.errors import UsageError
from pipeline.tracking.item import Content, Item
from pipeline.tracking.ledger import Destination

if TYPE_CHECKING:
    from wandb import Settings

PROJECT = "erc"
"""Where WANDB_PROJECT names none."""
_PUBLIC = "api.wandb.ai"
_OFFLINE = ("offline", "dryrun")
# Seconds that a server has to answer at the beginning, and to take everything at the end.
_BEGIN_S, _END_S = 30, 120


class WandbTracker:
    """folder: of offline runs, and of what online runs keep here, where WANDB_DIR names no other."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError where WANDB_MODE asks for what cannot be."""
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # to W&B's makers; read when it is imported
        import wandb

        os.environ.setdefault("WANDB_DISABLE_WEAVE", "true")  # else it advertises that beside heads that train
        self._wandb = wandb
        self._folder = Path(os.environ.get("WANDB_DIR") or folder)
        settings = wandb.setup().settings
        self.offline = _is_offline(settings)
        self._project = settings.project or PROJECT
        address = f"{settings.base_url}/{settings.entity or ''}/{self._project}"
        self.destination: Destination = self._folder if self.offline else address

    def is_there(self, name: str) -> bool:
        return not self.offline or (self._folder / "wandb").is_dir()

    def open(self, item: Item, parent: str | None) -> str | None:
        return None

    def send(self, item: Item, content: Content, parent: str | None, earlier: str | None, opened: bool) -> str:
        """Of experiments and suites an earlier one is written over. Of a seed it stays on a server; offline it is taken
        away, unless it was synchronised."""
        name = digest_of("wandb", item.group, item.name, content.numbers, content.environment)[:16]
        if earlier and item.kind != "seed":
            name = earlier
        before = self._offline_folders(earlier) if earlier else []
        self._folder.mkdir(parents=True, exist_ok=True)
        run = self._wandb.init(
            project=self._project,
            id=name,
            name=item.name,
            group=item.group,
            job_type=item.kind,
            dir=str(self._folder),
            mode="offline" if self.offline else "online",
            resume=None if self.offline else "allow",
            config={**content.parameters, "environment": content.environment},
            settings=self._settings(),
        )
        try:
            for point in content.points:
                run.log(dict(point.values), step=point.epoch)
            run.summary.update(content.numbers)
            self._attach(run, content)
        finally:
            run.finish()
        for folder in before:
            shutil.rmtree(folder)
        return name

    def _settings(self) -> Settings:
        """Nothing printed, nothing patched, nothing told of this machine but what `environment` says."""
        return self._wandb.Settings(
            console="off",
            silent=True,
            disable_code=True,
            disable_git=True,
            reinit="create_new",
            init_timeout=_BEGIN_S,
            finish_timeout=_END_S,
            finish_timeout_raises=True,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )

    def _attach(self, run: Any, content: Content) -> None:
        """As files of the run, copied into its folder."""
        for name, file in content.files.items():
            copy = Path(run.dir) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            run.save(str(copy), base_path=run.dir, policy="now")

    def _offline_folders(self, name: str) -> list[Path]:
        """Of a run that is not synchronised."""
        found = self._folder.glob(f"wandb/offline-run-*-{name}")
        return [folder for folder in found if not list(folder.glob("*.synced"))]


def _is_offline(settings: Settings) -> bool:
    mode = os.environ.get("WANDB_MODE") or settings.mode
    if mode == "disabled":
        raise UsageError(
            "W&B is switched off (WANDB_MODE=disabled or `wandb disabled`): leave it out, or `wandb enabled`"
        )
    if mode in _OFFLINE:
        return True
    if _logged_in(settings):
        return False
    if os.environ.get("WANDB_MODE"):
        raise UsageError(f"WANDB_MODE={mode}, and you are not logged in: set WANDB_API_KEY, or WANDB_MODE=offline")
    return True


def _logged_in(settings: Settings) -> bool:
    if settings.api_key or os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    hosts = [urlsplit(settings.base_url).netloc, *([] if os.environ.get("WANDB_BASE_URL") else [_PUBLIC])]
    for file in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            known = netrc.netrc(str(Path(file).expanduser())) if file else None
        except (OSError, netrc.NetrcParseError):
            continue
        if known and any(host in known.hosts for host in hosts):
            return True
    return False
