// A coordinator for tailscaled, a DERP relay and a STUN server in one process, for `benchmarks/beside/tailnet.py`:
// Tailscale's own control server for tests, with everything in memory. Built by `.ci/peers`; takes this host's address.
package main

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

const (
	controlPort = "8080"
	derpPort    = 8443
	stunPort    = 3478
)

func listen(address, port string) net.Listener {
	listener, err := net.Listen("tcp", net.JoinHostPort(address, port))
	if err != nil {
		log.Fatal(err)
	}
	return listener
}

func relay(address string) {
	server := httptest.NewUnstartedServer(derpserver.Handler(derpserver.New(key.NewNode(), log.Printf)))
	server.Listener.Close()
	server.Listener = listen(address, strconv.Itoa(derpPort))
	server.Config.TLSNextProto = make(map[string]func(*http.Server, *tls.Conn, http.Handler))
	server.StartTLS()
	stun := stunserver.New(context.Background())
	if err := stun.Listen(netip.AddrPortFrom(netip.MustParseAddr(address), stunPort).String()); err != nil {
		log.Fatal(err)
	}
	go stun.Serve()
}

func main() {
	address := os.Args[1]
	relay(address)
	node := &tailcfg.DERPNode{
		Name: "one", RegionID: 1, HostName: address, IPv4: address, IPv6: "none",
		STUNPort: stunPort, DERPPort: derpPort, InsecureForTests: true, STUNTestIP: address,
	}
	regions := map[int]*tailcfg.DERPRegion{1: {RegionID: 1, RegionCode: "one", Nodes: []*tailcfg.DERPNode{node}}}
	control := &testcontrol.Server{
		DERPMap:          &tailcfg.DERPMap{Regions: regions, OmitDefaultRegions: true},
		AllNodesSameUser: true,
		AllOnline:        true,
		ExplicitBaseURL:  "http://" + net.JoinHostPort(address, controlPort),
		Logf:             func(string, ...any) {},
	}
	at := listen(address, controlPort)
	log.Print("serves")
	log.Fatal(http.Serve(at, control))
}
