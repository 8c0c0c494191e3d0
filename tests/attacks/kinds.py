"""All kinds of attacks."""

from __future__ import annotations

from tests.attacks.attempt import Kind
from tests.attacks.checkpoints import CHECKPOINTS
from tests.attacks.damaged import DAMAGED
from tests.attacks.forged import FORGED
from tests.attacks.injected import INJECTED
from tests.attacks.wrong_types import WRONG_TYPES

KINDS: tuple[Kind, ...] = (DAMAGED, INJECTED, WRONG_TYPES, CHECKPOINTS, FORGED)
