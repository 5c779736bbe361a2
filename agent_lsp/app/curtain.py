"""Owns what stands between the workspace and language models: the private files, and a veil for each run."""

from dataclasses import dataclass
from typing import Final

from agent_lsp.agent.private_files import PrivateFiles
from agent_lsp.agent.veil import SecretFinder, Veil
from agent_lsp.domain.repository_map import RepositoryMaps
from agent_lsp.settings.model import Settings
from agent_lsp.storage.mask_key import mask_key
from agent_lsp.workspace.private_texts import PrivateTexts
from agent_lsp.workspace.snapshot import GitTrees

IGNORE_FILE: Final = ".agentignore"
_LARGEST_BYTES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Curtain:
    """Makes them for one workspace."""

    trees: GitTrees
    finder: SecretFinder
    maps: RepositoryMaps

    def private(self, settings: Settings) -> PrivateFiles:
        """What the settings and the workspace's `.agentignore` name; that file can only add."""
        return PrivateFiles((*settings.context.private, *self._ignored()))

    def veil(self, private: PrivateFiles) -> Veil:
        """A fresh one, for one run."""
        texts = PrivateTexts(self.trees)
        key = mask_key(self.trees.layout.cache / "placeholders.key")
        return Veil(self.finder, key, lambda: texts.lines(private.__contains__))

    def _ignored(self) -> tuple[str, ...]:
        try:
            with (self.trees.root / IGNORE_FILE).open("rb") as file:
                rows = file.read(_LARGEST_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            return ()
        return tuple(row for row in rows if row.strip() and not row.startswith(("#", "!")))
