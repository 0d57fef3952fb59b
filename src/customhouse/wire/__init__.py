"""HTTP/1.1 mechanics on httptools, shared by the door and the upstream pool."""
