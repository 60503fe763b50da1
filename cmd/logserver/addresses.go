package main

import (
	"fmt"
	"net"

	"indelible/internal/config"
)

// checkAddresses finds addresses that nobody could listen on.
func checkAddresses(v config.Values) error {
	taken := map[string]string{}
	for _, setting := range []string{"http", "grpc", "admin"} {
		addr := v.Text(setting)
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("--%s is %q, and not HOST:PORT, as in 127.0.0.1:8080, or :8080 for all of the host's addresses", setting, addr)
		}
		number, err := net.LookupPort("tcp", port)
		if err != nil {
			return fmt.Errorf("--%s is %q: %q is not a port; give 1 to 65535, or 0 for any free port", setting, addr, port)
		}
		if number == 0 {
			continue
		}
		same := fmt.Sprint(host, " ", number)
		if other, ok := taken[same]; ok {
			return fmt.Errorf("--%s and --%s are both %q: each needs an address of its own", other, setting, addr)
		}
		taken[same] = setting
	}
	return nil
}
