"""How fast recurrent layers are, side by side with others: what `rondo bench` measures."""
