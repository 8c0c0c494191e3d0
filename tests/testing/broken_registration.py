"""`breaks-light-registration`: its class stands where it is registered, and brings torch along."""

from collections.abc import Callable

from actbench import MethodInfo, hookimpl
from tests.testing.broken_codecs import Sound


class Heavy(Sound): ...


@hookimpl
def register_methods(register: Callable[[MethodInfo], None]) -> None:
    register(MethodInfo("breaks-light-registration", "Heavy", f"{__name__}:Heavy", "1"))
