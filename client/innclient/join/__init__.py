"""How this machine becomes a peer: by an invitation (`install`), or from innernet's client (`from_innernet`)."""
