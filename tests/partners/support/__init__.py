"""What the partner tests share: starting real programs, and talking to them."""
