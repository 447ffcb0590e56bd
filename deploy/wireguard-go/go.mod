// The wireguard-go that the Debian package brings: this version, by the hashes of go.sum. Another one: change the line
// below, then `go mod tidy -e` (go.sum), and NEWEST in innerd/wireguard/daemon.py.
module innerd/wireguard-go

go 1.23.1

require golang.zx2c4.com/wireguard v0.0.0-20260522210424-ecfc5a8d5446
