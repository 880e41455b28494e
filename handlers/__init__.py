"""What is touched: one outside thing per handler, behind one port, strangers to each other."""
