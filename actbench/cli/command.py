"""A command that refuses what would otherwise pass unseen."""

from __future__ import annotations

from collections import Counter
from typing import Any

from typer.core import TyperCommand
from typing_extensions import override


class Command(TyperCommand):
    """A command that refuses an option given twice, of which only the last would count; an empty value, which as a
    path would be the current folder; and a NUL byte, which no path can have."""

    @override
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            self._check(ctx, args)
        return super().parse_args(ctx, args)

    def _check(self, ctx: Any, args: list[str]) -> None:
        values, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter, times in Counter(order).items():
            name = parameter.opts[-1]
            if times > 1 and not getattr(parameter, "multiple", False):
                ctx.fail(f"{name} is given more than once")
            given = values.get(parameter.name or "")
            for value in given if isinstance(given, list | tuple) else [given]:
                if value == "":
                    ctx.fail(f"{name} is empty: give a value, or leave it out")
                if isinstance(value, str) and "\0" in value:
                    ctx.fail(f"{name} has a NUL byte in it")
