"""From audio file to `.rvq` file and back: `encode_file`, `decode_file`, with their options and reports."""

from rvqcodec.codec.decoding import DecodeOptions, DecodeReport, decode_file
from rvqcodec.codec.encoding import EncodeOptions, EncodeReport, encode_file

__all__ = ["DecodeOptions", "DecodeReport", "EncodeOptions", "EncodeReport", "decode_file", "encode_file"]
