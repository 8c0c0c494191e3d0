"""All kinds of attacks."""

from __future__ import annotations

from tests.attacks.attempt import Kind
from tests.attacks.checkpoints import CHECKPOINTS
from tests.attacks.command_lines import COMMAND_LINE
from tests.attacks.damaged import DAMAGED
from tests.attacks.folders import FOLDERS
from tests.attacks.forged import FORGED
from tests.attacks.imports import AT_IMPORT
from tests.attacks.injected import INJECTED
from tests.attacks.runs import GLOBAL_STATE, HOSTILE_METHODS, PAYLOAD_CHEATS
from tests.attacks.wrong_types import WRONG_TYPES

KINDS: tuple[Kind, ...] = (
    *(DAMAGED, INJECTED, WRONG_TYPES, FORGED, HOSTILE_METHODS, PAYLOAD_CHEATS),
    *(GLOBAL_STATE, AT_IMPORT, CHECKPOINTS, FOLDERS, COMMAND_LINE),
)
