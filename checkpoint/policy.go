package checkpoint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxPolicySize bounds a policy file, in bytes: some 500 ML-DSA-44 keys.
	maxPolicySize = 1 << 20

	noQuorum = "none"
)

// Policy says which logs are trusted, and which witnesses must have cosigned.
type Policy struct {
	Logs      []PolicyLog
	Witnesses []PolicyWitness
	Groups    []PolicyGroup // in the order of definition: members before groups
	Quorum    string        // name of a witness or group, or "none"
}

// PolicyLog is a log line. The key's name is the log's origin.
type PolicyLog struct {
	Key Verifier
	URL string
}

// PolicyWitness is a witness line. Name is the policy's own name for it.
type PolicyWitness struct {
	Name string
	Key  Verifier
	URL  string
}

// PolicyGroup is met when at least Threshold of its members are.
type PolicyGroup struct {
	Name      string
	Threshold int
	Members   []string // names of witnesses and groups
}

// Open opens a checkpoint of any of the policy's logs that meets the quorum.
func (p *Policy) Open(note []byte) (Opened, error) {
	log := make([]Verifier, len(p.Logs))
	for i, l := range p.Logs {
		log[i] = l.Key
	}
	o, err := Open(note, log, p.Cosigners()...)
	if err != nil {
		return Opened{}, err
	}
	if err := p.Check(o); err != nil {
		return Opened{}, err
	}
	return o, nil
}

// Cosigners returns the keys of all witnesses, to open a checkpoint with whose
// log key is known from elsewhere.
func (p *Policy) Cosigners() []Verifier {
	keys := make([]Verifier, len(p.Witnesses))
	for i, w := range p.Witnesses {
		keys[i] = w.Key
	}
	return keys
}

// Cosigned returns the witnesses of the policy that cosigned o.
func (p *Policy) Cosigned(o Opened) []PolicyWitness {
	var cosigned []PolicyWitness
	for _, w := range p.Witnesses {
		if o.VerifiedBy(w.Key) {
			cosigned = append(cosigned, w)
		}
	}
	return cosigned
}

// Check returns nil if the witnesses that cosigned o meet the quorum. o must
// have been opened with [Policy.Cosigners].
func (p *Policy) Check(o Opened) error {
	if p.MetBy(o.Verified) {
		return nil
	}
	names := []string{}
	for _, w := range p.Cosigned(o) {
		names = append(names, w.Name)
	}
	return unverified("the quorum %q is not met: of %d witnesses, %d cosigned the checkpoint of %q [%s]",
		p.Quorum, len(p.Witnesses), len(names), o.Origin, strings.Join(names, " "))
}

// MetBy reports whether the quorum would be met by cosignatures of these keys.
func (p *Policy) MetBy(keys []Verifier) bool {
	return p.Quorum == noQuorum || p.met(keys)[p.Quorum]
}

// met evaluates every witness and group, bottom-up.
func (p *Policy) met(keys []Verifier) map[string]bool {
	met := make(map[string]bool)
	for _, w := range p.Witnesses {
		met[w.Name] = slices.ContainsFunc(keys, w.Key.Equal)
	}
	for _, g := range p.Groups {
		n := 0
		for _, member := range g.Members {
			if met[member] {
				n++
			}
		}
		met[g.Name] = n >= g.Threshold
	}
	return met
}

// ParsePolicy parses a policy file. It may name no log, for use by somebody who
// knows the log from elsewhere; [Policy.Open] then opens nothing.
func ParsePolicy(data []byte) (*Policy, error) {
	if len(data) > maxPolicySize {
		return nil, malformed("policy: %d bytes; at most %d are accepted", len(data), maxPolicySize)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		return nil, malformed("policy: the last line does not end in a newline")
	}
	p := policyParser{defined: map[string]bool{}, member: map[string]string{}, keys: map[string]string{}}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if err := p.line(strings.TrimSuffix(line, "\n")); err != nil {
			return nil, fmt.Errorf("policy line %d: %w", number, err)
		}
	}
	// SPEC: tlog-policy: exactly one quorum line.
	if p.policy.Quorum == "" {
		return nil, malformed("policy: no quorum line; \"quorum none\" asks for no witness")
	}
	return &p.policy, nil
}

type policyParser struct {
	policy  Policy
	defined map[string]bool   // witnesses and groups share one namespace
	member  map[string]string // the group that each name is a member of
	keys    map[string]string // what each public key was given for, by "log" or "witness" and key
}

func (p *policyParser) line(line string) error {
	// SPEC: tlog-policy: octets 09, 0A, 20-7E, 80-FF only.
	if i := strings.IndexFunc(line, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }); i >= 0 {
		return malformed("line: control character 0x%02x; only tab and newline are allowed", line[i])
	}
	// SPEC: tlog-policy: fields are separated by spaces and tabs only.
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	// SPEC: tlog-policy: only a # that starts the line starts a comment.
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return nil
	}
	switch fields[0] {
	case "log":
		return p.log(fields[1:])
	case "witness":
		return p.witness(fields[1:])
	case "group":
		return p.group(fields[1:])
	case "quorum":
		return p.quorum(fields[1:])
	default:
		return malformed("line: %q; a line starts with log, witness, group or quorum", abbreviate(fields[0]))
	}
}

func (p *policyParser) log(args []string) error {
	if len(args) != 1 && len(args) != 2 {
		return malformed("line: log has %d fields; it is: log <vkey> [<url>]", len(args))
	}
	key, err := p.key("log", args[0])
	if err != nil {
		return err
	}
	if key.alg == CosignatureV1Ed25519 {
		return malformed("line: log %s has a key of type 0x04, which is a witness's", key.name)
	}
	p.policy.Logs = append(p.policy.Logs, PolicyLog{Key: key, URL: optional(args, 1)})
	return nil
}

func (p *policyParser) witness(args []string) error {
	if len(args) != 2 && len(args) != 3 {
		return malformed("line: witness has %d fields; it is: witness <name> <vkey> [<url>]", len(args))
	}
	if err := p.define(args[0]); err != nil {
		return err
	}
	key, err := p.key("witness", args[1])
	if err != nil {
		return err
	}
	// SPEC: tlog-policy: the signature type must suit a witness.
	if !key.IsCosigner() {
		return malformed("line: witness %q has a key of type 0x%02x; a witness cosigns with 0x04 or 0x06", args[0], key.alg)
	}
	p.policy.Witnesses = append(p.policy.Witnesses, PolicyWitness{Name: args[0], Key: key, URL: optional(args, 2)})
	return nil
}

func (p *policyParser) group(args []string) error {
	if len(args) < 3 {
		return malformed("line: group has %d fields; it is: group <name> all|any|<k> <member>…", len(args))
	}
	name, members := args[0], args[2:]
	threshold, err := parseThreshold(args[1], len(members))
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := p.join(name, m); err != nil {
			return err
		}
	}
	// Only now, so that a group cannot be a member of itself.
	if err := p.define(name); err != nil {
		return err
	}
	p.policy.Groups = append(p.policy.Groups, PolicyGroup{Name: name, Threshold: threshold, Members: slices.Clone(members)})
	return nil
}

func (p *policyParser) quorum(args []string) error {
	if len(args) != 1 {
		return malformed("line: quorum has %d fields; it is: quorum <name>|none", len(args))
	}
	if p.policy.Quorum != "" {
		return malformed("line: a second quorum line; there must be one")
	}
	// SPEC: tlog-policy: the name is defined on a preceding line.
	if args[0] != noQuorum && !p.defined[args[0]] {
		return malformed("line: quorum %q is no witness or group of a line above", args[0])
	}
	p.policy.Quorum = args[0]
	return nil
}

// define takes name as that of a new witness or group.
func (p *policyParser) define(name string) error {
	// SPEC: tlog-policy: none is predefined; one namespace for witnesses and groups.
	if name == noQuorum {
		return malformed("line: the name none is reserved")
	}
	if p.defined[name] {
		return malformed("line: the name %q is defined twice", name)
	}
	p.defined[name] = true
	return nil
}

// join makes member a member of group.
func (p *policyParser) join(group, member string) error {
	if !p.defined[member] {
		return malformed("line: member %q of group %q is no witness or group of a line above", member, group)
	}
	// SPEC: tlog-policy: a name is a group member at most once in the whole file.
	if other, ok := p.member[member]; ok {
		return malformed("line: %q is a member of group %q already; a witness or group counts once", member, other)
	}
	p.member[member] = group
	return nil
}

// key parses a vkey that must be new among the logs, or among the witnesses.
func (p *policyParser) key(role, vkey string) (Verifier, error) {
	v, err := ParseVerifier(vkey)
	if err != nil {
		return Verifier{}, err
	}
	// SPEC: tlog-policy: duplicates are judged by the public key alone.
	k := role + " " + string(v.key)
	if other, ok := p.keys[k]; ok {
		return Verifier{}, malformed("line: %s %s has the same public key as %s", role, v.name, other)
	}
	p.keys[k] = v.name
	return v, nil
}

func parseThreshold(s string, members int) (int, error) {
	switch s {
	case "any":
		return 1, nil
	case "all":
		return members, nil
	}
	// SPEC: tlog-policy: decimal, 1 <= k <= n.
	k, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(k) != s || k < 1 || k > members {
		return 0, malformed("line: threshold %q; it is all, any, or a number from 1 to %d, the number of members", abbreviate(s), members)
	}
	return k, nil
}

func optional(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
