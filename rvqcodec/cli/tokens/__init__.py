"""`rvq tokens`: codes as token sequences for language models, and back; one file for each way."""

import click

from rvqcodec.cli.tokens.decode import decode
from rvqcodec.cli.tokens.encode import encode


@click.group()
def tokens() -> None:
    """Codes as token sequences for language models, and back.

    \b
    rvq tokens encode song.wav -b 3kbps --pattern delay
    rvq tokens decode song.npz -o song.wav
    """


tokens.add_command(encode)
tokens.add_command(decode)
