"""How many elements a protobuf body holds, before it is decoded: two bytes of it can become a hundred in memory."""

from typing import Any

MOST = 2_000_000
"""Messages and fields of one body; 64 MiB of ordinary spans hold about a million."""

_Shape = dict[int, Any]

_VALUE: _Shape = {}
_ATTRIBUTE: _Shape = {2: _VALUE}
_VALUE.update({5: {1: _VALUE}, 6: {1: _ATTRIBUTE}})
_RESOURCE: _Shape = {1: _ATTRIBUTE}
_SCOPE: _Shape = {3: _ATTRIBUTE}
_SPAN: _Shape = {9: _ATTRIBUTE, 11: {3: _ATTRIBUTE}, 13: {4: _ATTRIBUTE}, 15: {}}
_RECORD: _Shape = {5: _VALUE, 6: _ATTRIBUTE}
SHAPES: dict[str, _Shape] = {
    "ExportTraceServiceRequest": {1: {1: _RESOURCE, 2: {1: _SCOPE, 2: _SPAN}}},
    "ExportLogsServiceRequest": {1: {1: _RESOURCE, 2: {1: _SCOPE, 2: _RECORD}}},
}
"""Message -> the fields that hold messages, and theirs."""


def too_many(body: bytes, message: str, most: int = MOST) -> bool:
    """Whether a body has more than `most` elements; what is no protobuf at all is not our question."""
    if len(body) < 2 * most:  # the smallest element takes two bytes
        return False
    left, stack = most, [(0, len(body), SHAPES[message])]
    try:
        while stack:
            at, end, shape = stack.pop()
            while at < end:
                left -= 1
                if left < 0:
                    return True
                tag, at = _varint(body, at)
                kind = tag & 7
                if kind == 2:
                    size, at = _varint(body, at)
                    inner = shape.get(tag >> 3)
                    if inner is not None and size:
                        stack.append((at, min(at + size, end), inner))
                    at += size
                elif kind == 0:
                    _, at = _varint(body, at)
                elif kind in (1, 5):
                    at += 8 if kind == 1 else 4
                else:
                    return False
    except IndexError:
        pass
    return False


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = body[at]
    at += 1
    if value < 128:
        return value, at
    value &= 127
    shift = 7
    while shift < 64:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise IndexError("a varint has at most ten bytes")
