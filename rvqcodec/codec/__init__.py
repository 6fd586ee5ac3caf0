"""From audio file to `.rvq` file and back: `encode_file`, `decode_file`, with their options and reports."""

from rvqcodec.codec.decoding import decode_file
from rvqcodec.codec.encoding import encode_codes, encode_file
from rvqcodec.codec.options import DecodeOptions, DecodeReport, EncodeOptions, EncodeReport, Remarks

__all__ = [
    "DecodeOptions",
    "DecodeReport",
    "EncodeOptions",
    "EncodeReport",
    "Remarks",
    "decode_file",
    "encode_codes",
    "encode_file",
]
