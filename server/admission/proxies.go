package admission

import (
	"fmt"
	"net/netip"
)

// ParseProxies reads addresses, and networks in CIDR notation, such as
// 10.0.0.0/8, 192.0.2.1 and 2001:db8::/32.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, s := range list {
		if at, err := netip.ParseAddr(s); err == nil && at.Zone() == "" {
			at = plain(at)
			prefixes = append(prefixes, netip.PrefixFrom(at, at.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is no network and no address; give one such as 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32", s)
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("%q is a network of IPv4 addresses in IPv6 form; give it in IPv4 form, such as 10.0.0.0/8", s)
		case p.Masked() != p:
			return nil, fmt.Errorf("%q has address bits beyond its length; give %s, or the address alone", s, p.Masked())
		case p.Bits() == 0:
			return nil, fmt.Errorf("%q trusts every address; name the networks of the proxies", s)
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}
