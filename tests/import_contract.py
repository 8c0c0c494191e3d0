"""A contract for import-linter: some modules import nothing of a package but what is on a list."""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedContract(Contract):
    """`importing_modules`, with all below them, import of `actbench` the `allowed_modules` alone: a plain module by its
    name, a package with all below it but for `actbench` itself, of which only the names at its root are meant."""

    importing_modules = fields.ListField(subfield=fields.ModuleField())
    allowed_modules = fields.ListField(subfield=fields.ModuleField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """All direct imports that are not on the list."""
        allowed = {module.name for module in self.allowed_modules}
        importers = {module.name for module in self.importing_modules}
        importers |= {child for name in importers for child in graph.find_descendants(name)}
        found = [
            (importer, imported)
            for importer in sorted(importers)
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if imported.partition(".")[0] == "actbench" and not _is_allowed(imported, allowed)
        ]
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """One line an import."""
        for importer, imported in check.metadata["found"]:
            output.print_error(f"{importer} imports {imported}, which is not public")


def _is_allowed(module: str, allowed: set[str]) -> bool:
    return module in allowed or any(module.startswith(f"{name}.") for name in allowed - {"actbench"})
