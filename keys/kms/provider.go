package kms

import (
	"context"
	"crypto"
	"fmt"
	"strings"
	"unicode"

	"github.com/sigstore/sigstore/pkg/signature/kms/aws"
	"github.com/sigstore/sigstore/pkg/signature/kms/azure"
	"github.com/sigstore/sigstore/pkg/signature/kms/gcp"
	"github.com/sigstore/sigstore/pkg/signature/kms/hashivault"
)

// provider opens the keys of one service.
type provider struct {
	check func(uri string) error
	open  func(ctx context.Context) (client, error) // ctx outlives the client
	// reopen: its client takes a token once, and its requests do not end with
	// their context.
	reopen bool
}

// Is reports whether a key's place is a URI, and not a file.
func Is(place string) bool { return strings.Contains(place, "://") }

// Check finds what is wrong with a key's URI. It asks nobody.
func Check(uri string) error {
	_, err := providerOf(uri)
	return err
}

func providerOf(uri string) (provider, error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	// What comes before an @ may be a secret, and is not repeated.
	if strings.ContainsAny(rest, "@?#") {
		return provider{}, fmt.Errorf("key %.20s://…: it holds one of @, ? and #: a key's URI carries no credentials and no options, which come from the environment", scheme)
	}
	if strings.ContainsFunc(uri, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return provider{}, fmt.Errorf("key %.200q: it holds white space", uri)
	}
	p, err := provided(scheme+"://", uri)
	if err != nil {
		return p, err
	}
	if err := p.check(uri); err != nil {
		return p, fmt.Errorf("key %.200s: %w", uri, err)
	}
	return p, nil
}

// provided is the choice of services.
func provided(scheme, uri string) (provider, error) {
	switch scheme {
	case aws.ReferenceScheme:
		return provider{check: aws.ValidReference, open: func(ctx context.Context) (client, error) { return aws.LoadSignerVerifier(ctx, uri) }}, nil
	case azure.ReferenceScheme:
		return provider{check: azure.ValidReference, open: func(ctx context.Context) (client, error) { return azure.LoadSignerVerifier(ctx, uri) }}, nil
	case gcp.ReferenceScheme:
		return provider{check: gcp.ValidReference, open: func(ctx context.Context) (client, error) { return gcp.LoadSignerVerifier(ctx, uri) }}, nil
	case hashivault.ReferenceScheme, hashivault.AlternativeScheme:
		open := func(context.Context) (client, error) { return hashivault.LoadSignerVerifier(uri, crypto.SHA256) }
		return provider{check: hashivault.ValidReference, open: open, reopen: true}, nil
	}
	return provider{}, fmt.Errorf("key %.20s…: there is no such key management service; there are awskms://, azurekms://, gcpkms://, hashivault:// and openbao://", scheme)
}
