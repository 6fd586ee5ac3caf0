"""The Python interface: `load` a codec, `encode`, `decode`, `open` files; arrays in, arrays out.

Everything here runs the very code that the command line runs: the same recording gives the same codes, alone,
in a batch, in pieces or from a file. Audio is float32 [C, n], channels first, full scale at 1; where audio is
taken, [n] is mono, torch tensors and float64 are taken too, and lists of recordings give lists of results.
"""
