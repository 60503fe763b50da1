package conformance

import (
	"context"
	"fmt"
	"strings"
)

// verdict is what a check finds.
type verdict struct {
	state  State
	detail string
}

func pass(format string, args ...any) verdict { return verdict{Passed, fmt.Sprintf(format, args...)} }

func fail(format string, args ...any) verdict { return verdict{Failed, fmt.Sprintf(format, args...)} }

func untested(format string, args ...any) verdict {
	return verdict{NotTested, fmt.Sprintf(format, args...)}
}

// unless is a failure if there are complaints.
func unless(complaints []string) verdict {
	if len(complaints) > 0 {
		return fail("%s", strings.Join(complaints, "; "))
	}
	return pass("")
}

// rule is a rule of the spec, and how it is tried.
type rule struct {
	name          string
	level         Level
	section, says string
	check         func(context.Context, *session) verdict
}

// The sections of the specs.
const (
	inAdd         = "tlog-witness, add-checkpoint"
	inSubtree     = "tlog-witness, sign-subtree"
	inMonitor     = "tlog-witness, Monitor Retrieval Mechanism"
	inHTTP        = "tlog-witness, HTTP Interface"
	inNote        = "signed-note, Signatures"
	inNoteFormat  = "signed-note, Format"
	inCosignature = "tlog-cosignature, Format"
	inEd25519     = "tlog-cosignature, Ed25519 signed message"
)

// rules are all rules, in the order in which they are tried: those of an empty
// witness first, and those that look back at the answers last.
func rules() []rule {
	var all []rule
	for _, part := range [][]rule{
		firstRules(), growthRules(), grown(grammarRules()), grown(refusalRules()), grown(noteRules()), grown(raceRules()),
		monitorRules(), grown(subtreeRules()), grown(forkRules()), answerRules(), unseenRules(),
	} {
		all = append(all, part...)
	}
	return all
}

// grown are rules that need a tree of some size.
func grown(rules []rule) []rule {
	for i, r := range rules {
		rules[i].check = func(ctx context.Context, s *session) verdict {
			if s.size < minGrown {
				return untested("the witness has cosigned size %d, and the rule needs %d", s.size, minGrown)
			}
			return r.check(ctx, s)
		}
	}
	return rules
}

// notFresh is why a rule of an empty witness cannot be tried.
func notFresh(s *session) verdict {
	if s.fresh {
		return untested("only a witness that has cosigned nothing of the log shows it, and this one has just cosigned size %d, which it should have refused", s.size)
	}
	return untested("only a witness that has cosigned nothing of the log shows it, and this one has cosigned size %d; a new log shows it", s.before)
}
