package trust

import (
	"bytes"
	"encoding/base64"
	"strings"
	"text/template"
)

// The lines of the snippets are kept short enough for a terminal.
//
// Kyverno's and policy-controller's key attestors read what cosign v2 writes,
// and so what went through Rekor v1. policy-controller takes ECDSA keys of logs
// only, asks the last log of a TrustRoot, and admits none without a certificate
// or timestamp authority.

const cosignText = `# cosign and the transparency log {{.Origin}}
# at {{.URL}}
#
# Run these in the folder with trusted_root.json{{if .Signs}} and signing_config.json{{end}}.
# cosign.key and cosign.pub are your own; cosign generate-key-pair makes them.
# Verifying needs no network, except that an image needs its registry.
{{if .Signs}}
# ---- cosign v3 ----

# A file:
cosign sign-blob --yes --key cosign.key \
  --signing-config signing_config.json --trusted-root trusted_root.json \
  --bundle FILE.sigstore.json FILE
cosign verify-blob --key cosign.pub --trusted-root trusted_root.json \
  --bundle FILE.sigstore.json FILE

# A statement about a file:
cosign attest-blob --yes --key cosign.key \
  --signing-config signing_config.json --trusted-root trusted_root.json \
  --predicate PREDICATE.json --type TYPE \
  --bundle FILE.att.sigstore.json FILE
cosign verify-blob-attestation --key cosign.pub \
  --trusted-root trusted_root.json --type TYPE \
  --bundle FILE.att.sigstore.json FILE

# A container image:
cosign sign --yes --key cosign.key \
  --signing-config signing_config.json --trusted-root trusted_root.json \
  IMAGE@DIGEST
cosign verify --key cosign.pub --trusted-root trusted_root.json IMAGE@DIGEST
{{end}}{{if .V1}}
# ---- cosign v2, by Rekor v1 ----

# A file:
cosign sign-blob --yes --key cosign.key --rekor-url {{.URL}} \
  --bundle FILE.bundle FILE
SIGSTORE_REKOR_PUBLIC_KEY=rekor-v1.pem \
  cosign verify-blob --key cosign.pub --rekor-url {{.URL}} \
  --bundle FILE.bundle FILE

# A container image:
cosign sign --yes --key cosign.key --rekor-url {{.URL}} \
  IMAGE@DIGEST
SIGSTORE_REKOR_PUBLIC_KEY=rekor-v1.pem \
  cosign verify --key cosign.pub --rekor-url {{.URL}} \
  IMAGE@DIGEST
{{end}}{{if .V2}}
# With a certificate instead of a key, Rekor v2 needs a timestamp authority:
# add it to trusted_root.json (timestampAuthorities) and to
# signing_config.json (tsaUrls).
{{end}}`

const logcliText = `# logcli and the transparency log {{.Origin}}
# at {{.URL}}

# Sign a file and log it, and verify it offline:
logcli add --url {{.URL}} --log-key log.vkey FILE
logcli verify --log-key log.vkey FILE

# Is everything about the log as its clients need it?
logcli doctor --url {{.URL}} --log-key log.vkey

# Audit all of it:
logcli fsck --url {{.URL}} --log-key log.vkey
`

const kyvernoText = `# Kyverno (1.17 or later): admit only images signed by your key and logged in
# {{.Origin}}
#
# Put your own image names and cosign.pub in. With a key, Kyverno looks for
# signatures in the form of cosign v2; cosign v3 makes them so:
#
#   cosign sign --key cosign.key --new-bundle-format=false \
#     --use-signing-config=false --rekor-url {{.URL}} IMAGE@DIGEST
#
# Kyverno 1.19 also fetches the public Sigstore root of trust (TUF), though it
# then uses the one below: its pods must reach that, or a mirror (cosign.tuf).
apiVersion: policies.kyverno.io/v1
kind: ImageValidatingPolicy
metadata:
  name: signed-and-logged
spec:
  validationActions:
    - Deny
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - apiGroups: [""]
        apiVersions: [v1]
        operations: [CREATE, UPDATE]
        resources: [pods]
  matchImageReferences:
    - glob: "registry.example.com/*"
  attestors:
    - name: signer
      cosign:
        key:
          data: |-
            (the lines of cosign.pub)
        ctlog:
          url: {{.URL}}
          rekorPubKey: |-
{{.V1PEM}}
        trustedRoot:
          value: |-
{{.TrustedRoot}}
  validations:
    - message: a container's image is not signed and logged
      expression: images.containers.all(image, verifyImageSignatures(image, [attestors.signer]) > 0)
    - message: an init container's image is not signed and logged
      expression: images.initContainers.all(image, verifyImageSignatures(image, [attestors.signer]) > 0)
    - message: an ephemeral container's image is not signed and logged
      expression: images.ephemeralContainers.all(image, verifyImageSignatures(image, [attestors.signer]) > 0)
`

// Flux looks at the log for certificates alone: given a public key, it ignores the
// log (source-controller 1.10.1, internal/oci/cosign).
const fluxText = `# Flux: apply only artifacts that were signed with a certificate and logged in
# {{.Origin}}
#
# Put your own URL and identities in, and your certificate authority into the
# root of trust (certificateAuthorities; cosign trusted-root create makes one).
# With a public key (verify.secretRef) Flux does not look at any log.
apiVersion: v1
kind: Secret
metadata:
  name: indelible-trusted-root
  namespace: flux-system
stringData:
  trusted_root.json: |-
{{.FluxRoot}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata:
  name: signed-and-logged
  namespace: flux-system
spec:
  interval: 5m
  url: oci://registry.example.com/manifests
  ref:
    tag: latest
  verify:
    provider: cosign
    trustedRootSecretRef:
      name: indelible-trusted-root
    matchOIDCIdentity:
      - issuer: ^https://issuer\.example\.com$
        subject: ^release@example\.com$
`

const policyControllerText = `# Sigstore's policy-controller: admit only images signed by your key and
# logged in {{.Origin}}
#
# Put your own image names and cosign.pub in. With keys, policy-controller looks
# for signatures in the form of cosign v2; cosign v3 makes them so:
#
#   cosign sign --key cosign.key --new-bundle-format=false \
#     --use-signing-config=false --rekor-url {{.URL}} IMAGE@DIGEST
#
# A TrustRoot must have a certificate authority, used or not. Put yours in
# (organization, commonName, the chain as PEM in base64), or any made by
#
#   openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
#     -keyout /dev/null -subj "/O=unused/CN=unused" | base64 | tr -d '\n'
#
# It trusts nobody here: the authority below is a key.
apiVersion: policy.sigstore.dev/v1alpha1
kind: TrustRoot
metadata:
  name: indelible
spec:
  sigstoreKeys:
    certificateAuthorities:
      - subject:
          organization: unused
          commonName: unused
        uri: https://unused.example.com
        certChain: (the certificate in base64)
    tLogs:
      - baseURL: {{.URL}}
        hashAlgorithm: sha-256
        publicKey: {{.V1Base64}}
---
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata:
  name: signed-and-logged
spec:
  images:
    - glob: "registry.example.com/**"
  authorities:
    - name: signed-and-logged
      key:
        hashAlgorithm: sha256
        data: |-
          (the lines of cosign.pub)
      ctlog:
        url: {{.URL}}
        trustRootRef: indelible
`

// words are what the snippets are filled with. All but Origin, which stands in
// comments only, is of harmless characters; an origin has no line breaks.
type words struct {
	Origin, URL, V1PEM, V1Base64, TrustedRoot, FluxRoot string
	V1, V2, Signs                                       bool
}

func (m material) snippets() []File {
	w := words{Origin: m.Origin, URL: m.base, V1: m.v1 != nil, V2: m.RekorV2, Signs: m.v1 != nil || m.RekorV2}
	list := []File{
		{"cosign.txt", plain, "Command lines for cosign v3 and v2.", nil},
		{"logcli.txt", plain, "Command lines for logcli.", filled(logcliText, w)},
	}
	if m.v1 != nil {
		data := m.v1.pem()
		root := string(bytes.TrimSpace(m.trustedRoot()))
		w.V1PEM, w.TrustedRoot, w.FluxRoot = indent(string(bytes.TrimSpace(data)), 12), indent(root, 12), indent(root, 4)
		w.V1Base64 = base64.StdEncoding.EncodeToString(data)
		list = append(list,
			File{"kyverno.yaml", yaml, "A Kyverno policy: only images that are signed and logged here.", filled(kyvernoText, w)},
			File{"flux.yaml", yaml, "A Flux source: only artifacts that are signed with a certificate and logged here.", filled(fluxText, w)},
			File{"policy-controller.yaml", yaml, "The same for Sigstore's policy-controller.", filled(policyControllerText, w)})
	}
	list[0].Data = filled(cosignText, w)
	return list
}

// filled fills a snippet. The templates are constants, and every one of them is
// made by the tests.
func filled(text string, w words) []byte {
	var out bytes.Buffer
	if err := template.Must(template.New("").Parse(text)).Execute(&out, w); err != nil {
		panic(err)
	}
	return out.Bytes()
}

func indent(s string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(s, "\n", "\n"+pad)
}
