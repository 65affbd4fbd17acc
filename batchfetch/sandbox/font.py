"""
Bitmap font of the drawn pages: five columns of seven dots for each character.
"""

from collections.abc import Mapping
from types import MappingProxyType

ROWS = 7
COLUMNS = 5

# Five columns from left to right, two hexadecimal digits each; the lowest bit is the top dot.
_TABLE = """
    0 3e5149453e  1 00427f4000  2 4261514946  3 2141454b31  4 1814127f10  5 2745454539
    6 3c4a494930  7 0171090503  8 3649494936  9 064949291e  A 7e1111117e  B 7f49494936
    C 3e41414122  D 7f4141221c  E 7f49494941  F 7f09090901  G 3e4149497a  H 7f0808087f
    I 00417f4100  J 2040413f01  K 7f08142241  L 7f40404040  M 7f020c027f  N 7f0408107f
    O 3e4141413e  P 7f09090906  Q 3e4151215e  R 7f09192946  S 4649494931  T 01017f0101
    U 3f4040403f  V 1f2040201f  W 3f4038403f  X 6314081463  Y 0708700807  Z 6151494543
    - 0808080808  . 0060600000  , 0050300000  _ 4040404040  / 2010080402  : 0036360000
"""
_ENTRIES = _TABLE.split()
_UNKNOWN = bytes.fromhex("7f4141417f")

GLYPHS: Mapping[str, bytes] = MappingProxyType(
    {" ": bytes(COLUMNS)}
    | {char: bytes.fromhex(dots) for char, dots in zip(_ENTRIES[::2], _ENTRIES[1::2], strict=True)}
)


def dots(char: str, row: int) -> list[bool]:
    """
    Return whether each dot of *row* is ink, from the left; a character without a glyph is a box.
    """
    glyph = GLYPHS.get(char.upper(), _UNKNOWN)
    return [bool(column >> row & 1) for column in glyph]
