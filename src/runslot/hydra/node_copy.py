"""Copies of configurations, node by node.

Hydra copies a job's configuration four times before the job starts. omegaconf's own copies go
through `copy.deepcopy` for each node and for what it knows of each, which takes longer than all
else in a job that does nothing. `job` and `composition` have copies made here instead. What must
stay true: a copy is what omegaconf's own is; that of a kind of node which is not known here,
omegaconf makes.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, ListConfig, nodes
from omegaconf.base import ContainerMetadata, Metadata

_VALUES = frozenset(
    kind
    for kind in vars(nodes).values()
    if isinstance(kind, type)
    and issubclass(kind, nodes.ValueNode)
    and kind.__module__ == nodes.__name__
    and kind is not nodes.InterpolationResultNode  # which has no copies
)
_VALUE_WORDS = {"_metadata", "_val", "_parent", "_flags_cache", "enum_type"}
_CONTAINER_WORDS = {"_metadata", "_content", "_parent", "_flags_cache"}


@contextmanager
def quick_copies() -> Iterator[None]:
    """Have `copy.deepcopy` copy configurations so."""
    originals = {kind: kind.__deepcopy__ for kind in (DictConfig, ListConfig)}
    for kind, original in originals.items():
        kind.__deepcopy__ = _deepcopy(kind, original)
    try:
        yield
    finally:
        for kind, original in originals.items():
            kind.__deepcopy__ = original


def _deepcopy(kind: type, original: Callable[..., Any]) -> Callable[..., Any]:
    def deepcopy(node: Any, memo: dict[int, Any]) -> Any:
        # A memo that is not empty is of a greater whole, whose parts may be parts of others.
        if memo or type(node) is not kind:
            return original(node, memo)
        return copy_of(node)

    return deepcopy


def copy_of(node: Any) -> Any:
    """Return a copy of a configuration below the same parent."""
    values = node.__dict__
    if values.keys() != _CONTAINER_WORDS:
        return copy.deepcopy(node)
    copied = object.__new__(type(node))
    content = values["_content"]
    if type(content) is dict:
        content = {key: _child(child, copied) for key, child in content.items()}
    elif type(content) is list:
        content = [_child(child, copied) for child in content]
    cache = values["_flags_cache"]
    copied.__dict__.update(
        _metadata=_metadata(values["_metadata"]),
        _content=content,
        _parent=values["_parent"],
        _flags_cache=None if cache is None else dict(cache),
    )
    return copied


def _child(node: Any, parent: Any) -> Any:
    kind = type(node)
    if kind is DictConfig or kind is ListConfig:
        copied = copy_of(node)
    elif kind in _VALUES and node.__dict__.keys() <= _VALUE_WORDS:
        copied = object.__new__(kind)  # with the very value, as omegaconf has it
        copied.__dict__.update(node.__dict__)
        copied.__dict__["_metadata"] = _metadata(node.__dict__["_metadata"])
        copied.__dict__["_flags_cache"] = None
    else:
        copied = _others_copy(node)
    copied.__dict__["_parent"] = parent
    return copied


def _others_copy(node: Any) -> Any:
    before = node.__dict__["_parent"]
    node.__dict__["_parent"] = None  # which would be copied as well
    try:
        return copy.deepcopy(node)
    finally:
        node.__dict__["_parent"] = before


def _metadata(metadata: Metadata) -> Metadata:
    kind = type(metadata)
    if kind is not Metadata and kind is not ContainerMetadata:
        return copy.deepcopy(metadata)
    copied = object.__new__(kind)
    values = copied.__dict__
    values.update(metadata.__dict__)
    values["flags"] = None if metadata.flags is None else dict(metadata.flags)
    cache = metadata.resolver_cache
    values["resolver_cache"] = copy.deepcopy(cache) if cache else defaultdict(dict)
    return copied
