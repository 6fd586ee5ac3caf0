"""Families of published checkpoints (EnCodec, DAC, Mimi) in Hugging Face folders; transformers has the networks."""
