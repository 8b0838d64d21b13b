"""Whether the promises hold here: attacks on boxes of our own, and what is concluded from them."""
