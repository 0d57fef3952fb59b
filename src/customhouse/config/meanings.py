"""What a field means: the docstring below it in the source, for pages of the manual and for schemas that editors read."""

import ast
import functools
import importlib
import inspect
import itertools
from collections.abc import Mapping

import msgspec


def field_meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Field to the docstring below it; a field without one is left out."""
    found = {}
    for field, after in itertools.pairwise(_classes(struct.__module__)[struct.__name__]):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found


@functools.cache
def _classes(module: str) -> Mapping[str, list[ast.stmt]]:
    source = ast.parse(inspect.getsource(importlib.import_module(module)))
    return {node.name: node.body for node in source.body if isinstance(node, ast.ClassDef)}
