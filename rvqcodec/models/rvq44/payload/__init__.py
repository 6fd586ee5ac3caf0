"""Codes of rvq44 to bytes and back by what is likely (`likely`): the `Coder` of payload 1.

Codes come in the order in which they are handed out (`order`), and what one is likely to be depends on the demands and
on codes before it alone. So encoder and decoder agree, and a lower bitrate is the beginning of a higher one.
"""

from rvqcodec.models.rvq44.payload.coder import PayloadCoder as PayloadCoder
from rvqcodec.models.rvq44.payload.order import known_levels as known_levels
