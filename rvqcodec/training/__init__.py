"""Training: data, losses, discriminators, the loop; nothing outside this folder imports it but the verb `train`."""
