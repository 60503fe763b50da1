package writers

import (
	"crypto/x509"
	"time"

	"cel.dev/cel-go/cel"

	"indelible/entry"
)

// variables are what an expression sees. It is a [cel.Activation].
type variables struct {
	of    *Principal
	entry *facts // nil for "who"
}

var _ cel.Activation = variables{}

// Parent implements cel.Activation.
func (v variables) Parent() cel.Activation { return nil }

// ResolveName implements cel.Activation: what no expression asks for is not
// computed.
func (v variables) ResolveName(name string) (any, bool) {
	switch name {
	case "principal.name":
		return v.of.Name, true
	case "principal.kind":
		return string(v.of.Kind), true
	case "principal.issuer":
		return v.of.Issuer, true
	case "principal.subject":
		return v.of.Subject, true
	case "principal.names":
		return v.of.Names, true
	case "principal.address":
		return v.of.Address, true
	case "claims":
		return v.of.Claims, true
	}
	if v.entry == nil {
		return nil, false
	}
	return v.entry.resolve(name)
}

// facts are what is known of an entry.
type facts struct {
	canonical []byte
	now       time.Time
	roots     *x509.CertPool // of the rule that is looked at
	keys      map[entry.IndexBy][]string
}

func (f *facts) resolve(name string) (any, bool) {
	switch name {
	case "entry.kind":
		kind, _ := entry.KindOf(f.canonical)
		return string(kind), true
	case "entry.version":
		_, version := entry.KindOf(f.canonical)
		return version, true
	case "entry.size":
		return len(f.canonical), true
	case "entry.keys":
		return f.by(entry.ByPublicKey)
	case "entry.subjects":
		return f.by(entry.BySubject)
	case "entry.issuers":
		return f.by(entry.ByIssuer)
	case "entry.artifacts":
		return f.by(entry.ByArtifact)
	case "entry.certified":
		return f.certified(), true
	}
	return nil, false
}

// by is false, which makes the expression fail, for an entry that cannot be read.
func (f *facts) by(what entry.IndexBy) (any, bool) {
	if f.keys == nil {
		keys, err := entry.IndexKeys(f.canonical)
		if err != nil {
			return nil, false
		}
		f.keys = make(map[entry.IndexBy][]string)
		for _, k := range keys {
			f.keys[k.By] = append(f.keys[k.By], k.Value)
		}
	}
	return f.keys[what], true
}

// certified reports whether each signer has a certificate by one of the rule's
// authorities, and there is a signer.
func (f *facts) certified() bool {
	p, err := entry.Parse(f.canonical)
	if err != nil || f.roots == nil || len(p.Signers()) == 0 {
		return false
	}
	for _, s := range p.Signers() {
		if s.Certificate == nil {
			return false
		}
		between := x509.NewCertPool()
		for _, c := range s.Chain {
			between.AddCert(c)
		}
		_, err := s.Certificate.Verify(x509.VerifyOptions{
			Roots: f.roots, Intermediates: between, CurrentTime: f.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if err != nil {
			return false
		}
	}
	return true
}
