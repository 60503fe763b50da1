package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"indelible/internal/config"
	"indelible/internal/outage"
	"indelible/writers"
	"indelible/writers/gate"
)

// The names of the facts about tokens begin with these, and end with the hash in
// base64url.
const (
	tokenFact   = "token-"
	revokedFact = "revoked-"
)

// issued is what the database has of a token beside its hash.
type issued struct {
	Principal string `json:"principal"`
	By        string `json:"by"`
	At        string `json:"at"`
}

// apiToken is a token of the database.
type apiToken struct {
	issued
	hash    [32]byte
	revoked string // when; empty if it counts
}

// tokensOf reads the tokens of a log, the oldest first.
func (o *opened) tokensOf(ctx context.Context) (list []apiToken, err error) {
	all, err := o.store.Facts(ctx, o.record.ID, tokenFact)
	if err != nil {
		return nil, err
	}
	revoked, err := o.store.Facts(ctx, o.record.ID, revokedFact)
	if err != nil {
		return nil, err
	}
	for name, value := range all {
		text := strings.TrimPrefix(name, tokenFact)
		raw, err := base64.RawURLEncoding.DecodeString(text)
		t := apiToken{}
		if err != nil || len(raw) != len(t.hash) || json.Unmarshal([]byte(value), &t.issued) != nil {
			return nil, fmt.Errorf("the fact %q of the log is not a token's", name)
		}
		t.hash = [32]byte(raw)
		if r, ok := revoked[revokedFact+text]; ok {
			var end issued
			t.revoked = "before now"
			if json.Unmarshal([]byte(r), &end) == nil {
				t.revoked = end.At
			}
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b apiToken) int { return strings.Compare(a.At+string(a.hash[:]), b.At+string(b.hash[:])) })
	return list, nil
}

// tokensAge is how old the tokens may be that a server knows: a revoked one counts for
// no longer.
const tokensAge = 2 * time.Second

// loadTokens has the policy know the tokens that count.
func (o *opened) loadTokens(ctx context.Context, who *gate.Gate) error {
	list, err := o.tokensOf(ctx)
	if err != nil {
		return err
	}
	tokens := make(gate.Tokens)
	for _, t := range list {
		if t.revoked == "" {
			tokens[t.hash] = t.Principal
		}
	}
	who.SetTokens(tokens)
	return nil
}

// followTokens loads the tokens again and again until ctx ends. While the database does
// not answer, those from before count.
func (o *opened) followTokens(ctx context.Context, who *gate.Gate, logger *slog.Logger) {
	failing := outage.New(logger)
	for tick := time.Tick(tokensAge); ; {
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
		if err := o.loadTokens(ctx, who); ctx.Err() == nil {
			failing.Step("read the API tokens of writers", err)
		}
	}
}

const tokensOnSQLite = "On SQLite, which takes one process, the server is stopped before; or put the hash of logserver writers token\ninto the policy."

func (p *program) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Issue and revoke API tokens of writers, in the database"}
	cmd.AddCommand(
		&cobra.Command{
			Use: "create PRINCIPAL FILE", Short: "Make an API token of a principal of the policy, in a new file", Args: cobra.ExactArgs(2),
			Long: "Make an API token of a principal of the policy (--writers), in a new file that only you can read. The database keeps\n" +
				"its hash, so that all servers of the log know it within seconds.\n\n" + tokensOnSQLite,
			RunE: func(cmd *cobra.Command, args []string) error {
				return p.with(func(ctx context.Context, v config.Values) error { return p.createToken(ctx, v, args[0], args[1]) })(cmd, nil)
			},
		},
		&cobra.Command{
			Use: "list", Short: "List the API tokens: hash, principal, when and by whom they were made and revoked", Args: cobra.NoArgs,
			RunE: p.with(p.listTokens),
		},
		&cobra.Command{
			Use: "revoke HASH", Short: "Revoke an API token by its hash, or the beginning of it", Args: cobra.ExactArgs(1),
			Long: "Revoke an API token by its hash as logserver token list prints it, or by the beginning of it. All servers of the log\n" +
				"refuse it within seconds.\n\n" + tokensOnSQLite,
			RunE: func(cmd *cobra.Command, args []string) error {
				return p.with(func(ctx context.Context, v config.Values) error { return p.revokeToken(ctx, v, args[0]) })(cmd, nil)
			},
		},
	)
	return cmd
}

func (p *program) createToken(ctx context.Context, v config.Values, principal, file string) error {
	if err := writers.CheckPrincipal(principal); err != nil {
		return fmt.Errorf("principal %q: %w", principal, err)
	}
	o, err := open(ctx, v, false, false)
	if err != nil {
		return err
	}
	defer o.close()
	hash, err := newToken(file)
	if err != nil {
		return err
	}
	if err := o.note(ctx, tokenFact, hash, principal); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s is the hash of a token of %s, which is in %s\n", writers.FormatHash(hash), principal, file)
	return err
}

// note records what was done with a token.
func (o *opened) note(ctx context.Context, fact string, hash [32]byte, principal string) error {
	value, err := json.Marshal(issued{Principal: principal, By: operator(), At: time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		return err
	}
	_, err = o.store.SetOnce(ctx, o.record.ID, fact+base64.RawURLEncoding.EncodeToString(hash[:]), string(value))
	return err
}

func (p *program) listTokens(ctx context.Context, v config.Values) error {
	o, err := open(ctx, v, false, false)
	if err != nil {
		return err
	}
	defer o.close()
	list, err := o.tokensOf(ctx)
	if err != nil {
		return err
	}
	tw := tabwriter.NewWriter(p.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "HASH\tPRINCIPAL\tMADE\tBY\tREVOKED")
	for _, t := range list {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", writers.FormatHash(t.hash), t.Principal, t.At, t.By, t.revoked)
	}
	return tw.Flush()
}

func (p *program) revokeToken(ctx context.Context, v config.Values, prefix string) error {
	if len(prefix) < len("sha256:")+8 {
		return errors.New("give at least sha256: and the first 8 digits of the token's hash: logserver token list prints it")
	}
	o, err := open(ctx, v, false, false)
	if err != nil {
		return err
	}
	defer o.close()
	list, err := o.tokensOf(ctx)
	if err != nil {
		return err
	}
	found := make(map[[32]byte]string)
	for _, t := range list {
		if strings.HasPrefix(writers.FormatHash(t.hash), strings.ToLower(prefix)) {
			found[t.hash] = t.Principal
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("%d tokens have this hash; logserver token list prints them all", len(found))
	}
	hash := slices.Collect(maps.Keys(found))[0]
	if err := o.note(ctx, revokedFact, hash, found[hash]); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "%s of %s is revoked\n", writers.FormatHash(hash), found[hash])
	return err
}
