"""An ONNX graph in its wire format (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

Written by hand, as the library that writes it is large and nothing else needs it.
"""

from __future__ import annotations

FLOAT, INT64, STRING = 1, 7, 8  # TensorProto.DataType


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _field(number: int, value: int | bytes | str) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _value(name: str, kind: int, *shape: int | str) -> bytes:
    """A ValueInfoProto; a dimension that is text may have any size."""
    sizes = (_field(1, _field(1 if isinstance(each, int) else 2, each)) for each in shape)
    tensor = _field(1, kind) + _field(2, b"".join(sizes))
    return _field(1, name) + _field(2, _field(1, tensor))


def _node(operator: str, inputs: list[str], outputs: list[str]) -> bytes:
    parts = [*(_field(1, each) for each in inputs), *(_field(2, each) for each in outputs)]
    return b"".join(parts) + _field(3, operator) + _field(4, operator)


def _model(nodes: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    graph = b"".join(_field(1, each) for each in nodes) + _field(2, "graph")
    graph += b"".join(_field(11, each) for each in inputs)
    graph += b"".join(_field(12, each) for each in outputs)
    opset = _field(1, "") + _field(2, 17)
    return _field(1, 8) + _field(7, graph) + _field(8, opset)


def doubling() -> bytes:
    """Takes rows of two numbers as one tensor, and gives twice of each."""
    return _model(
        [_node("Add", ["x", "x"], ["y"])],
        [_value("x", FLOAT, "n", 2)],
        [_value("y", FLOAT, "n", 2)],
    )


def of_columns() -> bytes:
    """Takes the columns a and b, and gives their sum and b as it is."""
    return _model(
        [_node("Add", ["a", "b"], ["sum"]), _node("Identity", ["b"], ["same"])],
        [_value("a", FLOAT, "n", 1), _value("b", FLOAT, "n", 1)],
        [_value("sum", FLOAT, "n", 1), _value("same", FLOAT, "n", 1)],
    )
