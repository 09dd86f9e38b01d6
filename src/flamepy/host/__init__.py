"""What the machine is like: addresses, descriptors, paths, sockets, what a platform lacks."""
