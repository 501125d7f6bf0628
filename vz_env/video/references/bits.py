"""Numbers in the bits of NAL units, as H.264 and HEVC write them, and the bytes that keep start codes from appearing.

What is read here is never trusted: `UnknownSyntax` is raised at whatever is not understood, and the caller decodes
without this knowledge. Every head is read up to its alignment bits, which a misreading would miss.
"""

from __future__ import annotations

__all__ = ["Bits", "UnknownSyntax", "escaped_length", "se", "ue", "with_escapes", "without_escapes"]


class UnknownSyntax(Exception):
    """Raised at what is not understood; never leaves `vz_env.video`."""


class Bits:
    """Bits read from the left.

    Args:
        data: without emulation prevention bytes.
    """

    def __init__(self, data: bytes) -> None:
        """Start at the first bit."""
        self.text = bin(int.from_bytes(b"\1" + data, "big"))[3:]
        self.position = 0

    def u(self, count: int) -> int:
        """An unsigned number of so many bits."""
        start, self.position = self.position, self.position + count
        if self.position > len(self.text):
            raise UnknownSyntax("the data end")
        return int(self.text[start : self.position], 2) if count else 0

    def flag(self) -> bool:
        """One bit."""
        return self.u(1) == 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb number."""
        first = self.text.find("1", self.position)
        zeros = first - self.position
        if first < 0 or zeros > 32:
            raise UnknownSyntax("no number here")
        self.position = first
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        """A signed Exp-Golomb number."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def skip_ue(self, count: int) -> None:
        """Read over so many unsigned Exp-Golomb numbers."""
        for _ in range(count):
            self.ue()


def ue(number: int) -> str:
    """An unsigned Exp-Golomb number as bits."""
    digits = bin(number + 1)[2:]
    return "0" * (len(digits) - 1) + digits


def se(number: int) -> str:
    """A signed Exp-Golomb number as bits."""
    return ue(2 * number - 1 if number > 0 else -2 * number)


def without_escapes(data: bytes) -> bytes:
    """Drop the emulation prevention bytes of a NAL unit."""
    return data.replace(b"\0\0\3", b"\0\0")


def with_escapes(head: bytes) -> bytes:
    """Put emulation prevention bytes in: after two zeros no byte below four may stand."""
    written, zeros = bytearray(), 0
    for byte in head:
        if zeros >= 2 and byte <= 3:
            written.append(3)
            zeros = 0
        written.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(written)


def escaped_length(data: bytes, count: int) -> int:
    """How many bytes of escaped data hold so many bytes."""
    zeros = done = 0
    for position, byte in enumerate(data):
        if zeros >= 2 and byte == 3:
            zeros = 0
            continue
        if done == count:
            return position
        done += 1
        zeros = zeros + 1 if byte == 0 else 0
    return len(data)
