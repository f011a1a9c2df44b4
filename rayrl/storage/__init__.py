"""What the disk holds: spaces as JSON, hashes, files written whole, manifests."""
