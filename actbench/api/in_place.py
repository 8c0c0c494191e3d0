"""A model that becomes of another class, and its own again: what is added to it is in no checkpoint of it."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, TypeVar, cast

from torch import nn

from actbench.errors import UserError


class InPlace(nn.Module):
    """What a model's class is derived from while something is added to the model. Copies are of the same class."""

    _instead: ClassVar[str] = "save its state_dict()"
    """What to do rather than pickle such a model."""

    def _undo(self) -> None:
        """Takes out of the model what was added to it."""
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[int, Any]) -> InPlace:
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__ = copy.deepcopy(self.__dict__, memo)
        return copied

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise UserError(f"a compressed model cannot be pickled: {self._instead}")


Model = TypeVar("Model", bound=nn.Module)
Kind = TypeVar("Kind", bound=InPlace)


def become(model: nn.Module, kind: type[Kind]) -> Kind:
    """Has a model be of a class of both its own kind and another, of which it takes the methods."""
    own = type(model)
    model.__class__ = type(f"Compressed{own.__name__}", (kind, own), {"__module__": own.__module__})
    return cast(Kind, model)


def restore(model: Model) -> Model:
    """Takes out of a model what `compress` or `compress_training` put into it; one that is not compressed stays as it
    is. Weights that were trained meanwhile stay trained."""
    if isinstance(model, InPlace):
        model._undo()
        model.__class__ = type(model).__bases__[1]
    return model
