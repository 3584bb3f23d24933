"""What the cases share: the cluster's API, programs in pods, and the way to them."""
