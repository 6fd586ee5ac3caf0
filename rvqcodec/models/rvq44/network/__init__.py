"""The model in torch: for training, and for CUDA. `cpu` is the same in numpy; tables and constants lie beside both."""

from rvqcodec.models.rvq44.network.model import Network as Network
