"""Names of audio formats: what is written and read, under which endings, with which sample types. Imports nothing.

A new format is a row of SUBTYPES, its endings, a sink in `output`, and what `tags` it has places for.
"""

# The sample types of every format that is written, the default first; libsndfile's names except where people say it
# shorter.
SUBTYPES = {
    "wav": ("PCM_16", "PCM_24", "PCM_32", "FLOAT", "U8"),
    "flac": ("PCM_16", "PCM_24"),
    "ogg": ("VORBIS", "OPUS"),
    "raw": ("S16LE", "F32LE"),
}
FORMATS = tuple(SUBTYPES)
NAMED = tuple(name for name in FORMATS if name != "raw")
"""What people choose by name; headerless PCM has an option of its own."""

ENDINGS = {
    ".wav": "wav", ".wave": "wav", ".flac": "flac", ".ogg": "ogg", ".oga": "ogg", ".opus": "ogg",
    ".raw": "raw", ".pcm": "raw",
}  # fmt: skip
SHOWN_ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".raw")
"""Those that help texts name."""

READ_ENDINGS = (
    *ENDINGS,
    *(".mp3", ".mp2", ".aiff", ".aif", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64", ".bwf"),
    *(".spx", ".m4a", ".m4b", ".aac", ".wma", ".wv", ".ape", ".mka", ".tta", ".ac3", ".amr", ".dsf", ".mpc"),
)
"""Endings of what is read, the last row by ffmpeg: what is taken from a folder, and what a result's name drops."""

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
RAW_FORMATS = {"s16le": "PCM_16", "f32le": "FLOAT"}
"""Sample formats of headerless PCM, under libsndfile's names."""

MIN_RATE, MAX_RATE = 8_000, 192_000
"""Hz of audio in and out."""

# INFO ids by the RIFF specification (IPRT and ITRK are both in use for the track's number; ITRK is written).
INFO_TAGS = {
    b"INAM": "TITLE",
    b"IART": "ARTIST",
    b"IPRD": "ALBUM",
    b"ICRD": "DATE",
    b"IGNR": "GENRE",
    b"ICMT": "COMMENT",
    b"IPRT": "TRACKNUMBER",
    b"ITRK": "TRACKNUMBER",
    b"ICOP": "COPYRIGHT",
}
# libsndfile's names; its "software" is left out: it says who wrote the input, not who wrote our output.
SOUNDFILE_TAGS = (
    "title", "artist", "album", "date", "genre", "comment", "tracknumber", "copyright", "license",
)  # fmt: skip

_SOUNDFILE_KEYS = frozenset(name.upper() for name in SOUNDFILE_TAGS)
TAGS: dict[str, frozenset[str] | None] = {
    "wav": frozenset(INFO_TAGS.values()),
    "flac": None,
    "ogg": _SOUNDFILE_KEYS,
    "raw": frozenset(),
}
"""The keys that each format has a place for; None: every key."""
