"""Imports every room's tables, so that the metadata is whole."""

import importlib
import pkgutil

import watchkeeper

for _found in pkgutil.iter_modules(watchkeeper.__path__):
    if _found.ispkg:
        for _module in pkgutil.iter_modules([f"{watchkeeper.__path__[0]}/{_found.name}"]):
            if _module.name == "tables" and _found.name != "migrations":
                importlib.import_module(f"watchkeeper.{_found.name}.tables")
