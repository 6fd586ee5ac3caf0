"""The model in numpy: what the CPU runs; `network` is the same in torch, for training and CUDA."""
